"""Batches: the rays of a training step, of keyframes and of ranges, on any backend."""
from instant_nerf_ros.nerf.capture import rays

EVERY = 2  # rays of which one is of a range sensor: they take few samples
GUESSED_EVERY = 3  # of the others, one is of a guessed range: more would blur what colours tell
GUESSES = 1000  # of a keyframe; of fewer, fewer are drawn, as they may be what is wrong of many
# Rays drawn from a keyframe until its guesses have had their say: they find the surface where
# colours alone would not, but not as exactly as colours then do.
ENOUGH = 8000


def draw(keyframes, ranges, guesses, backend, count, generator, error_share):
    """Return Rays of keyframes, then those of ranges and of guesses; and Drawn, of the first.

    guesses are Ranges, too. See rays.draw for the other arguments. RuntimeError if there are no
    keyframes.
    """
    if not len(keyframes):
        raise RuntimeError('there is no keyframe yet: add an image first')
    others = []
    if len(ranges):
        others.append(ranges.draw(count // EVERY, generator))
        count -= len(others[-1])
    if len(guesses):
        share = min(len(guesses) / (GUESSES * len(keyframes)), 1.0) / GUESSED_EVERY
        others.append(guesses.draw(
            int(count * share), generator, keyframes.numbers[keyframes.draws < ENOUGH]))
        count -= len(others[-1])
    how = keyframes, count, generator, error_share
    if backend.DRAWS:
        values, drawn = backend.draw(*how)
        batch = rays.Rays(*values)
    else:
        batch, drawn = rays.draw(*how)
    for measured in others:
        batch = batch.followed_by(measured.to(backend.DEVICE))
    return batch, drawn


def take_in(keyframes, backend, drawn, *shown):
    """Tell keyframes what the field showed of a batch; see Keyframes.learn for the arguments."""
    own = [values[: len(drawn.keyframes)] for values in shown]
    if backend.DRAWS:
        backend.take_in(keyframes, drawn, *own)
    else:
        keyframes.learn(drawn, *(values.numpy() for values in own))

"""Batches: the rays of a training step, of keyframes and of ranges, on any backend."""
from instant_nerf_ros.nerf import rays

EVERY = 2  # rays of which one is of a range sensor: they take few samples
GUESSED_EVERY = 8  # rays of which one is of a guessed range: more would blur what colours tell


def draw(keyframes, ranges, guesses, backend, count, generator, error_share):
    """Return Rays of keyframes, then those of ranges and of guesses; and Drawn, of the first.

    guesses are Ranges, too. See rays.draw for the other arguments. RuntimeError if there are no
    keyframes.
    """
    if not len(keyframes):
        raise RuntimeError('there is no keyframe yet: add an image first')
    others = [store.draw(count // every, generator)
              for store, every in ((ranges, EVERY), (guesses, GUESSED_EVERY)) if len(store)]
    how = keyframes, count - sum(map(len, others)), generator, error_share
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

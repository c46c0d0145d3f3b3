"""Batches: the rays of a training step, of keyframes and of range sensors, on any backend."""
from instant_nerf_ros.nerf import rays

EVERY = 2  # rays of which one is of a range sensor: they take few samples


def draw(keyframes, ranges, backend, count, generator, error_share):
    """Return Rays of keyframes, then those of ranges, if there are any; and Drawn, of the first.

    See rays.draw for the arguments. RuntimeError if there are no keyframes.
    """
    if not len(keyframes):
        raise RuntimeError('there is no keyframe yet: add an image first')
    measured = count // EVERY if len(ranges) else 0
    how = keyframes, count - measured, generator, error_share
    if backend.DRAWS:
        values, drawn = backend.draw(*how)
        batch = rays.Rays(*values)
    else:
        batch, drawn = rays.draw(*how)
    if measured:
        batch = batch.followed_by(ranges.draw(measured, generator).to(backend.DEVICE))
    return batch, drawn


def take_in(keyframes, backend, drawn, *shown):
    """Tell keyframes what the field showed of a batch; see Keyframes.learn for the arguments."""
    own = [values[: len(drawn.keyframes)] for values in shown]
    if backend.DRAWS:
        backend.take_in(keyframes, drawn, *own)
    else:
        keyframes.learn(drawn, *(values.numpy() for values in own))

"""Triton kernels of Adam: the grid, of which only what has a gradient is touched; the matrices."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf.backends.cuda.kernels.hash_grid import FEATURES


@triton.jit
def _finite(terms):
    """Return 1 if the loss of the step is a number, else 0: then the step changes nothing."""
    total = tl.sum(tl.load(terms + tl.arange(0, 8), mask=tl.arange(0, 8) < 5, other=0.0), 0)
    return (total - total == 0).to(tl.int32)


@triton.jit
def _correction(log2_beta, steps):
    """Return 1 - beta ** steps."""
    return 1 - tl.exp2(log2_beta * steps)


@triton.jit
def grid(
    table, half, gradients, first, second, updates, terms, size,
    rate, beta1, beta2, log2_beta1, log2_beta2, epsilon, gain, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take the step of reference.Adam for entries (N, FEATURES), and forget their slopes.

    Slopes are gain times the gradients; half is the table as our kernels read it, or None; updates
    (N,) counts. All slopes are read, in a row, since a list of the touched ones would
    cost more; the other 80 bytes of an entry are, where there is a gradient. Slopes that have
    overflowed are forgotten only.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = n[:, None] * FEATURES + tl.arange(0, FEATURES)[None, :]
    inside = (n < size)[:, None]
    gradient = tl.load(gradients + place, mask=inside, other=0.0).to(tl.float32)
    touched = tl.max((gradient != 0).to(tl.int32), 1) > 0
    sound = tl.min((gradient - gradient == 0).to(tl.int32), 1) * _finite(terms)
    changed = touched & (sound > 0)
    steps = tl.load(updates + n, mask=changed, other=0) + 1
    tl.store(updates + n, steps, mask=changed)
    steps = steps.to(tl.float32)[:, None]
    row = changed[:, None]
    gradient = gradient * gain
    mean = tl.load(first + place, mask=row, other=0.0)
    square = tl.load(second + place, mask=row, other=0.0)
    mean = mean * beta1 + gradient * (1 - beta1)
    square = square * beta2 + gradient * gradient * (1 - beta2)
    tl.store(first + place, mean, mask=row)
    tl.store(second + place, square, mask=row)
    root = tl.sqrt(square / _correction(log2_beta2, steps)) + epsilon
    value = tl.load(table + place, mask=row, other=0.0)
    value -= rate * mean / _correction(log2_beta1, steps) / root
    tl.store(table + place, value, mask=row)
    if half is not None:
        tl.store(half + place, value.to(tl.float16), mask=row)
    tl.store(gradients + place, tl.zeros_like(gradient).to(tl.float16), mask=inside & touched[:, None])


@triton.jit
def matrices(
    values, gradients, first, second, updates, terms, size,
    rate, beta1, beta2, log2_beta1, log2_beta2, epsilon, decay, gain, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take the step of reference.Adam for the values (N,) of all matrices.

    updates (blocks,) counts those of each block of values.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = n < size
    gradient = tl.load(gradients + n, mask=inside, other=0.0)
    tl.store(gradients + n, tl.zeros_like(gradient), mask=inside)
    if tl.min((gradient - gradient == 0).to(tl.int32), 0) * _finite(terms) > 0:
        steps = tl.load(updates + tl.program_id(0)) + 1
        tl.store(updates + tl.program_id(0), steps)
        steps = steps.to(tl.float32)
        value = tl.load(values + n, mask=inside, other=0.0)
        gradient = gradient * gain + decay * value
        mean = tl.load(first + n, mask=inside, other=0.0)
        square = tl.load(second + n, mask=inside, other=0.0)
        mean = mean * beta1 + gradient * (1 - beta1)
        square = square * beta2 + gradient * gradient * (1 - beta2)
        tl.store(first + n, mean, mask=inside)
        tl.store(second + n, square, mask=inside)
        root = tl.sqrt(square / _correction(log2_beta2, steps)) + epsilon
        tl.store(
            values + n, value - rate * mean / _correction(log2_beta1, steps) / root, mask=inside)

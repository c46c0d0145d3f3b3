"""Triton kernels of Adam: one for the hash table, one for the matrices of the networks."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.hash_grid import FEATURES

TERMS = tl.constexpr(len(constants.LOSS_TERMS))


@triton.jit
def _loss_is_finite(terms):
    """Return 1 if the loss of the step is finite, else 0: the step then changes nothing."""
    total = tl.sum(tl.load(terms + tl.arange(0, 8), mask=tl.arange(0, 8) < TERMS, other=0.0), 0)
    return (total - total == 0).to(tl.int32)


@triton.jit
def _bias_correction(log2_beta, steps):
    """Return 1 - beta ** steps."""
    return 1 - tl.exp2(log2_beta * steps)


@triton.jit
def update_table(
    table, table_half, gradients, first, second, updates, terms, size, learning_rate, beta1, beta2,
    log2_beta1, log2_beta2, epsilon, inverse_gain, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take the step of reference.Adam for the entries (N, FEATURES) of the table.

    The gradients, scaled by a gain, are zero afterwards. table_half is the copy of the table that
    the kernels read, or None; first and second are the moments; updates (N,) counts the updates of
    each entry. All gradients are read in sequence, since a list of the touched entries would cost
    more; the other 80 bytes of an entry are accessed only where there is a gradient. A gradient
    that has overflowed is only cleared.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    index = n[:, None] * FEATURES + tl.arange(0, FEATURES)[None, :]
    mask = (n < size)[:, None]
    scaled = tl.load(gradients + index, mask=mask, other=0.0).to(tl.float32)
    touched = tl.max((scaled != 0).to(tl.int32), 1) > 0
    finite = tl.min((scaled - scaled == 0).to(tl.int32), 1) * _loss_is_finite(terms)
    changed = touched & (finite > 0)
    steps = tl.load(updates + n, mask=changed, other=0) + 1
    tl.store(updates + n, steps, mask=changed)
    steps = steps.to(tl.float32)[:, None]
    row = changed[:, None]
    gradient = scaled * inverse_gain
    mean = tl.load(first + index, mask=row, other=0.0)
    square = tl.load(second + index, mask=row, other=0.0)
    mean = mean * beta1 + gradient * (1 - beta1)
    square = square * beta2 + gradient * gradient * (1 - beta2)
    tl.store(first + index, mean, mask=row)
    tl.store(second + index, square, mask=row)
    root = tl.sqrt(square / _bias_correction(log2_beta2, steps)) + epsilon
    value = tl.load(table + index, mask=row, other=0.0)
    value -= learning_rate * mean / _bias_correction(log2_beta1, steps) / root
    tl.store(table + index, value, mask=row)
    if table_half is not None:
        tl.store(table_half + index, value.to(tl.float16), mask=row)
    tl.store(
        gradients + index, tl.zeros_like(scaled).to(tl.float16), mask=mask & touched[:, None])


@triton.jit
def update_matrices(
    values, gradients, first, second, updates, terms, size, learning_rate, beta1, beta2,
    log2_beta1, log2_beta2, epsilon, weight_decay, inverse_gain, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take the step of reference.Adam for the values (N,) of all matrices.

    The gradients, scaled by a gain, are zero afterwards. updates (blocks,) counts the updates of
    each block of values.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = n < size
    scaled = tl.load(gradients + n, mask=mask, other=0.0)
    tl.store(gradients + n, tl.zeros_like(scaled), mask=mask)
    if tl.min((scaled - scaled == 0).to(tl.int32), 0) * _loss_is_finite(terms) > 0:
        steps = tl.load(updates + tl.program_id(0)) + 1
        tl.store(updates + tl.program_id(0), steps)
        steps = steps.to(tl.float32)
        value = tl.load(values + n, mask=mask, other=0.0)
        gradient = scaled * inverse_gain + weight_decay * value
        mean = tl.load(first + n, mask=mask, other=0.0)
        square = tl.load(second + n, mask=mask, other=0.0)
        mean = mean * beta1 + gradient * (1 - beta1)
        square = square * beta2 + gradient * gradient * (1 - beta2)
        tl.store(first + n, mean, mask=mask)
        tl.store(second + n, square, mask=mask)
        root = tl.sqrt(square / _bias_correction(log2_beta2, steps)) + epsilon
        tl.store(
            values + n, value - learning_rate * mean / _bias_correction(log2_beta1, steps) / root,
            mask=mask)

"""Layers of networks, and the gradients of their matrices, in float32."""
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, copy, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BLOCK, NO_FLOOR, product


def make_packed(depth, width):
    """Return an array for a matrix (depth, width) in the layout that `layer` reads."""
    return aligned_zeros((depth, width))


@jit
def pack(matrix, result):
    """Write a matrix to an array of make_packed."""
    for n in range(len(matrix)):
        copy(matrix[n], result[n])


@jit
def layer(inputs, matrix, results, rows, adds, floor):
    """Write results = max(floor, inputs @ matrix) for the first rows, adding results if adds.

    inputs (S, depth or more), matrix (depth, width), packed, results (S, width), contiguous; the
    number of rows that are written is rounded up to whole blocks.
    """
    depth, width = matrix.shape
    product(
        inputs.ctypes.data, inputs.shape[1], 1, matrix.ctypes.data, width,
        results.ctypes.data, results.shape[1], -(-rows // BLOCK) * BLOCK, width, depth, adds,
        floor,
    )  # fmt: skip


@jit
def outer(gradients, inputs, results, rows):
    """Add gradients.T @ inputs of the first rows: (S, outputs), (S, width) to (outputs, width)."""
    outputs, width = results.shape
    product(
        gradients.ctypes.data, 1, gradients.shape[1], inputs.ctypes.data, inputs.shape[1],
        results.ctypes.data, width, outputs, width, rows, True, NO_FLOOR,
    )  # fmt: skip

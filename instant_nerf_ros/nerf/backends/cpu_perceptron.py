"""Multilayer perceptrons on all cores: oneDNN's matrix products on blocks of rows.

torch's own threads are not used (see cpu.py). A block goes through all layers on one core, so that
its activations stay in that core's cache; and all blocks have one size, since oneDNN compiles a
product for every shape it meets, which takes longer than the product.

P padded rows, a multiple of ROWS. Matrices are (outputs, inputs), without bias; ReLU between them.
"""
import concurrent.futures
import functools

import numba
import torch

from instant_nerf_ros.nerf.backends.numba_grid import relu_backward

ROWS = 2048


def padded(count):
    """Return the rows of a matrix for count samples."""
    return -(-count // ROWS) * ROWS


def padded_rows(matrix, kind):
    """Return a matrix in another type, with rows of zeros up to the padded count."""
    result = torch.empty(padded(len(matrix)), matrix.shape[1], dtype=kind)
    result[: len(matrix)] = matrix
    result[len(matrix) :] = 0
    return result


def forward(inputs, matrices):
    """Return the values of all layers, [(P, inputs), ..., (P, outputs)]."""
    layers = [inputs]
    layers += [inputs.new_empty(len(inputs), len(matrix)) for matrix in matrices]

    def work(rows):
        for depth, matrix in enumerate(matrices):
            result = layers[depth + 1][rows]
            torch.mm(layers[depth][rows], matrix.T, out=result)
            if depth + 1 < len(matrices):
                _bits(result).clamp_min_(0)  # ReLU: negative as integers are the negative ones

    _on_all_cores(work, len(inputs))
    return layers


def backward(gradient, layers, matrices):
    """Return the gradients of the inputs (P, inputs) and, float32, of the matrices.

    gradient is that of the last layer, (P, outputs).
    """
    result = torch.empty_like(layers[0])

    def work(rows):
        upper = gradient[rows]
        gradients = []
        for depth in reversed(range(len(matrices))):
            lower = layers[depth][rows]
            gradients.append(torch.mm(upper.T, lower).float())
            if depth == 0:
                torch.mm(upper, matrices[0], out=result[rows])
                return gradients[::-1]
            upper = torch.mm(upper, matrices[depth])
            relu_backward(_bits(upper).numpy(), _bits(lower).numpy())

    parts = _on_all_cores(work, len(gradient))
    zeros = [torch.zeros(matrix.shape) for matrix in matrices]
    return result, [sum(part, zero) for zero, part in zip(zeros, zip(*parts) if parts else zeros)]


def _bits(matrix):
    return matrix.view(torch.int16 if matrix.dtype == torch.bfloat16 else torch.int32)


def _on_all_cores(work, count):
    """Return [work(rows)] for the blocks of rows."""
    blocks = [slice(first, first + ROWS) for first in range(0, count, ROWS)]
    threads = numba.get_num_threads()
    return list((_pool(threads).map if threads > 1 else map)(work, blocks))


@functools.lru_cache(maxsize=1)
def _pool(threads):
    return concurrent.futures.ThreadPoolExecutor(threads, 'perceptron')

"""Numba kernels of the color network: directions and geometry -> colors."""
import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import copy, exp, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import layer
from instant_nerf_ros.nerf.backends.cpu.kernels.products import NO_FLOOR, RELU

COLORS = 3


@jit
def color_network(first, last, count, rays, field, chunk):
    """Write the colors of the visible samples of rays first to last, and the hidden layers."""
    for i in range(last - first):
        _spherical_harmonics(rays.directions[first + i], chunk.harmonics[i])
    layer(chunk.harmonics, field.directions, chunk.directions_layer, last - first, False, NO_FLOOR)
    for n in range(count):
        copy(chunk.directions_layer[chunk.ray_indices[n]], chunk.hidden1[n])
    layer(chunk.geometry, field.features, chunk.hidden1, count, True, RELU)
    layer(chunk.hidden1, field.hidden2, chunk.hidden2, count, False, RELU)
    layer(chunk.hidden2, field.colors, chunk.colors, count, False, NO_FLOOR)
    one = np.float32(1)
    for n in range(count):
        row = chunk.colors[n]
        for column in range(COLORS):
            row[column] = one / (one + exp(-row[column]))


@jit
def _spherical_harmonics(direction, result):
    """Evaluate reference.spherical_harmonics for one direction."""
    x, y, z = direction[0], direction[1], direction[2]
    xx, yy, zz = x * x, y * y, z * z
    result[0] = 0.28209479177387814
    result[1] = -0.48860251190291987 * y
    result[2] = 0.48860251190291987 * z
    result[3] = -0.48860251190291987 * x
    result[4] = 1.0925484305920792 * x * y
    result[5] = -1.0925484305920792 * y * z
    result[6] = 0.94617469575755997 * zz - 0.31539156525251999
    result[7] = -1.0925484305920792 * x * z
    result[8] = 0.54627421529603959 * (xx - yy)
    result[9] = 0.59004358992664352 * y * (yy - 3 * xx)
    result[10] = 2.8906114426405538 * x * y * z
    result[11] = 0.45704579946446572 * y * (1 - 5 * zz)
    result[12] = 0.3731763325901154 * z * (5 * zz - 3)
    result[13] = 0.45704579946446572 * x * (1 - 5 * zz)
    result[14] = 1.4453057213202769 * z * (xx - yy)
    result[15] = 0.59004358992664352 * x * (3 * yy - xx)

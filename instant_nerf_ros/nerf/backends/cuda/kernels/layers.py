"""Functions for Triton kernels: loads of weights, spherical harmonics, layers of the networks.

Matrices are multiplied in half precision and summed in float32. Their widths are powers of two of
at least 16; what is beyond the real width of a layer is zero.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants

HARMONICS = tl.constexpr(constants.HARMONICS)
GEOMETRY = tl.constexpr(constants.GEOMETRY)
MAX_LOG_DENSITY = tl.constexpr(constants.MAX_LOG_DENSITY)


@triton.jit
def load_weights(
    matrix, outputs, inputs, stride, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """Return a float32 matrix (outputs, inputs) as half, padded, and transposed if TRANSPOSED."""
    if TRANSPOSED:
        o, i = tl.arange(0, OUTPUTS)[None, :], tl.arange(0, INPUTS)[:, None]
    else:
        o, i = tl.arange(0, OUTPUTS)[:, None], tl.arange(0, INPUTS)[None, :]
    mask = (o < outputs) & (i < inputs)
    return tl.load(matrix + (o * stride + i), mask=mask, other=0.0).to(tl.float16)


@triton.jit
def add_gradients(gradients, sums, outputs, inputs, stride):
    """Add sums (OUTPUTS, INPUTS), padded, to the gradients (outputs, inputs) of a matrix."""
    o, i = tl.arange(0, sums.shape[0])[:, None], tl.arange(0, sums.shape[1])[None, :]
    tl.atomic_add(
        gradients + (o * stride + i), sums, mask=(o < outputs) & (i < inputs), sem='relaxed')


@triton.jit
def relu(values):
    """Return the positive part, in half precision; NaN stays NaN."""
    return tl.where(values <= 0, 0.0, values).to(tl.float16)


@triton.jit
def column(matrix, COLUMN: tl.constexpr):
    """Return a column (B,) of a matrix."""
    c = tl.arange(0, matrix.shape[1])[None, :]
    return tl.sum(tl.where(c == COLUMN, matrix, 0.0), 1)


@triton.jit
def density_of(logarithm):
    """Return the density for a log density, the first output of the field; NaN stays NaN."""
    return tl.where(
        logarithm == logarithm, tl.exp(tl.minimum(logarithm, MAX_LOG_DENSITY)), logarithm)


@triton.jit
def spherical_harmonics(x, y, z):
    """Evaluate reference.spherical_harmonics: unit vectors (B,) -> (B, HARMONICS) half."""
    c = tl.arange(0, HARMONICS)[None, :]
    x, y, z = x[:, None], y[:, None], z[:, None]
    xx, yy, zz = x * x, y * y, z * z
    s = tl.where(c == 0, 0.28209479177387814, -0.48860251190291987 * y)
    s = tl.where(c == 2, 0.48860251190291987 * z, s)
    s = tl.where(c == 3, -0.48860251190291987 * x, s)
    s = tl.where(c == 4, 1.0925484305920792 * x * y, s)
    s = tl.where(c == 5, -1.0925484305920792 * y * z, s)
    s = tl.where(c == 6, 0.94617469575755997 * zz - 0.31539156525251999, s)
    s = tl.where(c == 7, -1.0925484305920792 * x * z, s)
    s = tl.where(c == 8, 0.54627421529603959 * (xx - yy), s)
    s = tl.where(c == 9, 0.59004358992664352 * y * (yy - 3 * xx), s)
    s = tl.where(c == 10, 2.8906114426405538 * x * y * z, s)
    s = tl.where(c == 11, 0.45704579946446572 * y * (1 - 5 * zz), s)
    s = tl.where(c == 12, 0.3731763325901154 * z * (5 * zz - 3), s)
    s = tl.where(c == 13, 0.45704579946446572 * x * (1 - 5 * zz), s)
    s = tl.where(c == 14, 1.4453057213202769 * z * (xx - yy), s)
    s = tl.where(c == 15, 0.59004358992664352 * x * (3 * yy - xx), s)
    return s.to(tl.float16)


@triton.jit
def color_network(
    harmonics, geometry, directions_weights, features_weights, hidden2_weights, colors_weights,
):  # fmt: skip
    """Return the colors (B, 16), of which the first three are real, and both hidden layers.

    The first layer has two matrices, one for the harmonics and one for the geometry.
    """
    hidden1 = relu(tl.dot(harmonics, directions_weights, tl.dot(geometry, features_weights)))
    hidden2 = relu(tl.dot(hidden1, hidden2_weights))
    return tl.sigmoid(tl.dot(hidden2, colors_weights)), hidden1, hidden2

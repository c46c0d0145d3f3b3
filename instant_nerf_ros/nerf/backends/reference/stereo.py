"""Stereo matching in NumPy: costs of planes at several depths, smoothed, and the best ones.

`backends.cpu.kernels.stereo` does the same, faster.
"""
import warnings

import numpy as np
from numpy.typing import NDArray

MAX_COST = 60.0  # of a pixel


def plane_costs(
    image: NDArray[np.float32], others: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32], inverse_depths: NDArray[np.float32], before: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Return how unlike an image (H, W) is others, at each of D inverse depths, (H, W, D) float32.

    others (P, h, w) float32; affine (P, 3, 3) and shift (P, 3) take the homogeneous pixel
    (u, v, 1) of the image at an inverse depth i to affine @ (u, v, 1) + i * shift in theirs. The
    first `before` of them are of one side, the rest of another: a place may be hidden from either,
    so the better side counts (Kang, Szeliski and Chai 2001, "Handling occlusions in dense
    multi-view stereo"). A plane in which no image shows the pixel costs what the others do in the
    mean: nothing is known of it, so it neither stands out nor lets another.
    """
    height, width = image.shape
    v, u = np.mgrid[:height, :width]
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float32)
    unlike = np.reshape(
        [_dissimilarity(image, other, pixels @ A.T, a, inverse_depths)
         for other, A, a in zip(others, affine, shift)],
        (-1, height, width, len(inverse_depths)))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # where none shows it
        sides = [np.nanmean(side, axis=0) for side in (unlike[:before], unlike[before:])]
        result = np.nanmin(sides, axis=0)
        others_cost = np.nan_to_num(np.nanmean(result, axis=-1, keepdims=True))
    return np.where(np.isnan(result), others_cost, result).astype(np.float32)


def _dissimilarity(
    image: NDArray[np.float32], other: NDArray[np.float32], pixels: NDArray[np.float32],
    shift: NDArray[np.float32], inverse_depths: NDArray[np.float32],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the costs (H, W, D) of one other image, NaN where it does not show the pixel."""
    at = pixels[:, :, None] + inverse_depths[:, None] * shift
    ahead = at[..., 2] > 0
    with np.errstate(divide='ignore', invalid='ignore'):
        u, v = at[..., 0] / at[..., 2], at[..., 1] / at[..., 2]
        inside = (ahead & (u > -0.5) & (v > -0.5)
                  & (u < other.shape[1] - 0.5) & (v < other.shape[0] - 0.5))
    column, row = (np.where(inside, x + np.float32(0.5), 0).astype(np.int32) for x in (u, v))
    return np.where(inside, abs(other[row, column] - image[..., None]).clip(max=MAX_COST), np.nan)


def smooth_costs(
    costs: NDArray[np.float32], gray: NDArray[np.uint8], step: float, jump: float, edge: float,
) -> NDArray[np.float32]:  # fmt: skip
    """Return costs (H, W, D) summed along paths from four sides (Hirschmueller 2008, eq. 13).

    A neighbour in the next plane costs `step` more, in another one `jump`, or less where the image
    gray (H, W) has an edge: jump * edge / (edge + difference), but no less than `step`.
    """
    total = np.zeros_like(costs)
    gray = gray.astype(np.float32)
    for turn in ((lambda x: x), (lambda x: x[::-1]), (lambda x: x.swapaxes(0, 1)),
                 (lambda x: x.swapaxes(0, 1)[::-1])):
        own, light, result = turn(costs), turn(gray), turn(total)
        path = own[0]
        result[0] += path
        for line in range(1, len(own)):
            change = abs(light[line] - light[line - 1])
            least = path.min(-1, keepdims=True)
            leap = np.maximum(np.float32(jump) * edge / (edge + change), step)[:, None]
            beside = np.full_like(path, np.inf)
            beside[:, 1:] = path[:, :-1]
            beside[:, :-1] = np.minimum(beside[:, :-1], path[:, 1:])
            path = own[line] + np.minimum(
                np.minimum(path, beside + np.float32(step)), least + leap) - least
            result[line] += path
    return total


def best_planes(
    total: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the place (H, W) of the least of D costs, between planes, and its margin (H, W).

    The margin is the share by which the next minimum elsewhere is worse; it is 0, and says
    nothing, where the least is the first or last.
    """
    count = total.shape[-1]
    place = total.argmin(-1)
    least = np.take_along_axis(total, place[..., None], -1)[..., 0]
    far = abs(np.arange(count) - place[..., None]) > 2
    second = np.where(far, total, np.inf).min(-1)
    inner = (place > 0) & (place < count - 1)
    beside = [(place + side).clip(0, count - 1)[..., None] for side in (-1, 1)]
    left, right = (np.take_along_axis(total, index, -1)[..., 0] for index in beside)
    bend = left - 2 * least + right
    with np.errstate(divide='ignore', invalid='ignore'):
        offset = np.where(inner & (bend > 0), (left - right) / (2 * bend), 0)
        margin = np.where(inner, (second - least) / second, 0)
    return (place + offset).astype(np.float32), margin.astype(np.float32)

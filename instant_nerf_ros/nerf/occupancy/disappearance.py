"""Disappearance: occupied voxels that a later depth image looks through.

Votes alone need as many keyframes without a person as they had with one. But an image that
measures only what lies behind a voxel, all over it and around it, leaves no doubt: what was there
has gone. Noise cannot do that to what is still there, as it would have to move a surface out of a
voxel and out of those around it. (Pomerleau et al. 2014, "Long-term 3D map maintenance in dynamic
environments", compare measured distances with those of the map in the same way.)

What has gone is followed from there, as edges are with hysteresis (Canny 1986): a voxel beside one
that has gone has gone, too, if the image looks through its middle. So nothing is left where a foot
stood on the floor, around which the image measures the floor.
"""
from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.alpha import without
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
from instant_nerf_ros.nerf.constants import EMPTY_MISSES, EMPTY_ODDS, OCCUPIED
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

AROUND = 1.0  # voxels around the middle of one that are looked through
RADII = 2, 3, 4, 6, 8, 11, 16, 23, 32  # pixels, to which AROUND is rounded up; others: no evidence
MIDDLE = 1  # pixel around the middle, of a voxel beside one that has gone
BEHIND, BEHIND_MIDDLE = 2.0, 1.0  # voxels, from the middle to what is measured behind it
NOISE = 0.005  # [1/m], times the distance squared, of a depth image: three standard deviations
MIN_VOXELS = 12  # of a thing that has gone; fewer may be a thin one that the image missed
DOUBT, FEW_VOXELS = 2, 3  # votes of hits per vote of misses; with less, so few are enough
GROWTH = 4  # voxels, from there, in which what is crossed has gone, too
NEIGHBORS = np.ones((3, 3, 3), bool)

Image = NDArray[np.float32]


def forget_disappeared(
    distances: Image, directions: NDArray[np.float32], camera: Camera, step: int,
    T_world_camera: Pose, occupancy: OccupancyGrid,
) -> None:  # fmt: skip
    """Forget the hits on occupied voxels that a depth image looks through.

    distances (h, w) [m] along the rays of every step-th pixel of a camera, 0 where unknown, and
    unit directions (h, w, 3) of these in the frame of the pose (4, 4), which is local.
    """
    axes = [distances * directions[..., axis] for axis in range(3)]
    corners = np.array([[min(axis.min(), 0.0) for axis in axes],  # 0 is the camera
                        [max(axis.max(), 0.0) for axis in axes]])
    voxels = _occupied(T_world_camera[:3, 3] + corners, occupancy)
    size = occupancy.voxel_size
    points = occupancy.corner + (voxels + 0.5) * size - T_world_camera[:3, 3]
    points = points @ T_world_camera[:3, :3]
    pixels = (camera.project(points) / step).round()
    pixels = np.where(np.isfinite(pixels), pixels, -1).astype(np.int64)
    lengths = np.linalg.norm(points, axis=-1)
    farther = lengths + NOISE * lengths**2
    # Of most images nothing is left here.
    crossed = np.flatnonzero(_at(distances, pixels, 0) > farther + BEHIND_MIDDLE * size)
    voxels, pixels, lengths, farther = (
        values[crossed] for values in (voxels, pixels, lengths, farther))
    radii = AROUND * size * min(camera.fx, camera.fy) / step / lengths.clip(1e-9)
    level = np.where(radii < RADII[0], len(RADII), np.searchsorted(RADII, radii))
    gone = np.zeros(len(voxels), bool)
    least, reach = distances, 0
    for number in range(level[level < len(RADII)].max(initial=-1) + 1):
        least, reach = _eroded(least, RADII[number] - reach), RADII[number]
        chosen = level == number
        gone[chosen] = _at(least, pixels[chosen], reach) > farther[chosen] + BEHIND * size
    if gone.any():
        beside = (_at(_eroded(distances, MIDDLE), pixels, MIDDLE)
                  > farther + BEHIND_MIDDLE * size)
        place = tuple(voxels.T)
        doubtful = (occupancy.hits[place] < DOUBT * occupancy.misses[place]).cpu().numpy()
        occupancy.forget(_gone(voxels, gone, beside, doubtful))


def without_disappeared(
    rays: Rays, sources: RaySources, occupancy: OccupancyGrid,
) -> tuple[Rays, RaySources]:  # fmt: skip
    """Return rays of which others are in place of those that show what has gone.

    The voxel in which such a ray ends, and those behind it that noise could have meant, are surely
    free. The first rays are those of the sources; others are of range sensors, and stay.
    """
    if not occupancy.has_disappeared:
        return rays, sources
    count, size = len(sources), occupancy.voxel_size
    first, others = (
        Rays(*(values[part] for values in rays.tensors()))
        for part in (slice(count), slice(count, None)))
    noise = BEHIND * size + NOISE * first.surfaces.square()

    def free(share: float, chosen: Tensor | slice) -> Tensor:
        along = (first.surfaces + share * noise)[chosen, None] * first.directions[chosen]
        return _surely_free(first.origins[chosen] + along, occupancy)

    gone = (first.surfaces > 0) & free(0.0, slice(None))
    # Few of the rays, if the host may know which without waiting for them.
    chosen = gone.nonzero()[:, 0] if gone.device.type == 'cpu' else slice(None)
    gone[chosen] &= free(0.5, chosen) & free(1.0, chosen)
    replaced, sources = without(first, sources, gone)
    if replaced is first:
        return rays, sources
    return replaced.concatenated(others), sources


def _surely_free(positions: Tensor, occupancy: OccupancyGrid) -> Tensor:
    """Return whether positions (N, 3) are in voxels that are surely free."""
    inside = ((positions >= occupancy.origin) & (positions < occupancy.end)).all(-1)
    cells = ((positions - occupancy.origin) / occupancy.voxel_size).floor().long()
    place = tuple(axis.clamp(0, size - 1) for axis, size in zip(cells.T, occupancy.shape))
    hits, misses = occupancy.hits[place].int(), occupancy.misses[place].int()
    return inside & (misses >= EMPTY_MISSES) & (misses > EMPTY_ODDS * hits)


def _occupied(
    corners: NDArray[np.float64], occupancy: OccupancyGrid,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the occupied voxels (N, 3) in a box with lowest and highest corners (2, 3) [m]."""
    window = occupancy.window()
    low, high = np.floor((corners - occupancy.corner) / occupancy.voxel_size).astype(int)
    low = np.maximum(low, [axis.start for axis in window])
    high = np.minimum(high + 1, [axis.stop for axis in window])
    part = tuple(map(slice, low, np.maximum(high, low)))
    states = occupancy.backend.states(occupancy.hits[part], occupancy.misses[part])
    found = torch.nonzero(states == OCCUPIED).cpu().numpy()
    return np.asarray(found + low, np.int64)


def _eroded(image: Image, reach: int) -> Image:
    """Return the least value within so many pixels along both axes; not valid at the border."""
    for axis in (0, 1):
        done = 0
        while done < reach:
            more = min(2 * done + 1, reach - done)
            image = np.minimum(image, np.minimum(
                np.roll(image, more, axis), np.roll(image, -more, axis)))
            done += more
    return image


def _at(eroded: Image, pixels: NDArray[np.int64], reach: int) -> Image:
    """Return the values (N,) of an image at pixels (N, 2), 0 where it is not valid."""
    size = np.array(eroded.shape)[::-1]
    inside = np.all((pixels >= reach) & (pixels < size - reach), axis=-1)
    u, v = np.where(inside[:, None], pixels, 0).T
    return np.where(inside, eroded[v, u], np.float32(0))


def _gone(
    voxels: NDArray[np.int64], surely: NDArray[np.bool_], crossed: NDArray[np.bool_],
    doubtful: NDArray[np.bool_],
) -> NDArray[np.int64]:  # fmt: skip
    """Return the voxels (M, 3) of large things that have surely gone, and what is joined to them.

    surely, crossed (N,): whether an image looks through voxels (N, 3), around them or not.
    """
    low, high = voxels[surely].min(0) - GROWTH, voxels[surely].max(0) + GROWTH + 1
    near = ((voxels >= low) & (voxels < high)).all(-1)
    masks = np.zeros((3, *(high - low)), bool)
    for mask, chosen in zip(masks, (surely, crossed, surely & doubtful)):
        mask[tuple((voxels[chosen & near] - low).T)] = True
    parts, _ = ndimage.label(masks[0], NEIGHBORS)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large, few = sizes[parts] >= MIN_VOXELS, sizes[parts] >= FEW_VOXELS
    gone = ndimage.binary_dilation(
        large | (few & masks[2]), NEIGHBORS, iterations=GROWTH, mask=masks[0] | masks[1])
    return np.argwhere(gone) + low

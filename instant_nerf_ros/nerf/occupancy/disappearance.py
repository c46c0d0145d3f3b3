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
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.alpha import without
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
from instant_nerf_ros.nerf.constants import EMPTY_MISSES, EMPTY_ODDS
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.view_voxels import NOISE, Distances, ViewVoxels, at, box_mask

AROUND = 1.0  # voxels around the middle of one that are looked through
RADII = 2, 3, 4, 6, 8, 11, 16, 23, 32  # pixels, to which AROUND is rounded up; others: no evidence
MIDDLE = 1  # pixel around the middle, of a voxel beside one that has gone
BEHIND, BEHIND_MIDDLE = 2.0, 1.0  # voxels, from the middle to what is measured behind it
MIN_VOXELS = 12  # of a thing that has gone; fewer may be a thin one that the image missed
DOUBT, FEW_VOXELS = 2, 3  # votes of hits per vote of misses; with less, so few are enough
GROWTH = 4  # voxels, from there, in which what is crossed has gone, too
NEIGHBORS = np.ones((3, 3, 3), bool)


def forget_disappeared(
    distances: Distances, view: ViewVoxels, camera: Camera, step: int, occupancy: OccupancyGrid,
) -> None:  # fmt: skip
    """Forget the hits on occupied voxels that a depth image looks through.

    distances (h, w) [m] along the rays of every step-th pixel of a camera, 0 where unknown; view:
    what they see.
    """
    size = occupancy.voxel_size
    # Of most images nothing is left here.
    view = view.where(
        at(distances, view.pixels) > view.lengths + view.noise() + BEHIND_MIDDLE * size)
    pixels, farther = view.pixels, view.lengths + view.noise()
    radii = AROUND * size * min(camera.fx, camera.fy) / step / view.lengths.clip(1e-9)
    level = np.where(radii < RADII[0], len(RADII), np.searchsorted(RADII, radii))
    gone = np.zeros(len(radii), bool)
    least, reach = distances, 0
    for number in range(level[level < len(RADII)].max(initial=-1) + 1):
        least, reach = _eroded(least, RADII[number] - reach), RADII[number]
        chosen = level == number
        gone[chosen] = at(least, pixels[chosen], reach) > farther[chosen] + BEHIND * size
    if gone.any():
        beside = (at(_eroded(distances, MIDDLE), pixels, MIDDLE)
                  > farther + BEHIND_MIDDLE * size)
        place = tuple(view.voxels.T)
        doubtful = (occupancy.hits[place] < DOUBT * occupancy.misses[place]).cpu().numpy()
        occupancy.forget(_gone(view.voxels, gone, beside, doubtful))


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


def _eroded(distances: Distances, reach: int) -> Distances:
    """Return the least value within so many pixels along both axes; not valid at the border."""
    for axis in (0, 1):
        done = 0
        while done < reach:
            more = min(2 * done + 1, reach - done)
            distances = np.minimum(distances, np.minimum(
                np.roll(distances, more, axis), np.roll(distances, -more, axis)))
            done += more
    return distances


def _gone(
    voxels: NDArray[np.int64], surely: NDArray[np.bool_], crossed: NDArray[np.bool_],
    doubtful: NDArray[np.bool_],
) -> NDArray[np.int64]:  # fmt: skip
    """Return the voxels (M, 3) of large things that have surely gone, and what is joined to them.

    surely, crossed (N,): whether an image looks through voxels (N, 3), around them or not.
    """
    low, high = voxels[surely].min(0) - GROWTH, voxels[surely].max(0) + GROWTH + 1
    gone_around, gone_middle, in_doubt = (
        box_mask(voxels[chosen], low, high) for chosen in (surely, crossed, surely & doubtful))
    parts, _ = ndimage.label(gone_around, NEIGHBORS)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large, few = sizes[parts] >= MIN_VOXELS, sizes[parts] >= FEW_VOXELS
    gone = ndimage.binary_dilation(
        large | (few & in_doubt), NEIGHBORS, iterations=GROWTH, mask=gone_around | gone_middle)
    return np.argwhere(gone) + low

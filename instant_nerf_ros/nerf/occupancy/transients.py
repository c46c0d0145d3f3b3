"""Transients: things that one image alone has measured, and that a later one misses.

Disappearance wants a measurement behind what has gone. A robot that follows a person has none, as
what is behind the person is beyond the range of its sensor; and each place of the person is in one
image. But later, there is no return from that place. This alone is little evidence, as some
surfaces never have one. It counts for a thing that one image alone has measured, that stands
alone, and that faces the camera: what is fixed touches something that several images have
measured, and a surface that is seen at a grazing angle need not have a return. Nor is it evidence
where the sensor never has one, as at the borders of depth that is registered to a color image.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.constants import (
    EDGE_WEIGHT,
    MASKED_ALPHA,
    SURFACE_WEIGHT,
    THIN_WEIGHT,
)
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.view_voxels import Distances, ViewVoxels, at, box_mask

ONE_HIT = SURFACE_WEIGHT, EDGE_WEIGHT, THIN_WEIGHT  # hits of one image
MAX_RANGE = 0.9  # of the largest distance of an image: up to there it measures what is there
MIN_RANGE = 0.3  # m, at least: what is nearer is too near for a depth camera
MIN_VOXELS = 12  # of a thing in which the image measures nothing
MIN_SHARE = 0.25  # of the voxels of a thing
AROUND = 12  # voxels around these, in which the rest of a thing is looked for
BLOCK = 2  # voxels; those in blocks that touch are one thing
MAX_CONFIRMED = 0.1  # voxels in which the image measures it, per voxel in which it does not
MAX_OCCUPIED = 0.05  # share of the voxels beside a thing that others have measured
MIN_FACING = 0.5  # cosine of the angle between the ray and the normal of what an image misses
OTHERS = 32  # images of a camera that are asked whether a pixel ever has a return
NEIGHBORS = np.ones((3, 3, 3), bool)


def forget_transients(
    distances: Distances, view: ViewVoxels, step: int, keyframes: Keyframes, k: int,
    occupancy: OccupancyGrid,
) -> None:  # fmt: skip
    """Forget the hits on what one image alone has measured and keyframe k does not.

    distances (h, w) [m] along the rays of every step-th pixel of its camera, 0 where unknown;
    view: what they see.
    """
    hits = occupancy.hits[tuple(view.voxels.T)].cpu().numpy()
    single = np.isin(hits, ONE_HIT)
    things, others = view.where(single), view.voxels[~single & (hits > 0)]
    missed, confirmed = _missed_and_confirmed(distances, things, occupancy.voxel_size)
    if missed.sum() < MIN_VOXELS:
        return
    missed[missed] = _expects_return(keyframes, k, things.pixels[missed] * step)
    if missed.sum() < MIN_VOXELS:
        return
    low, high = (extreme(things.voxels[missed], axis=0) for extreme in (np.min, np.max))
    low, high = low - AROUND, high + AROUND
    near = ((things.voxels >= low) & (things.voxels <= high)).all(-1)
    things, missed, confirmed = things.where(near), missed[near], confirmed[near]
    blocks = (things.voxels - low) // BLOCK
    labels, _ = ndimage.label(box_mask(blocks, np.zeros(3, int), blocks.max(0) + 1), NEIGHBORS)
    label = labels[tuple(blocks.T)]
    counts, misses, confirmations = (
        np.bincount(label, weights) for weights in (None, missed, confirmed))
    candidates = np.flatnonzero(
        (misses >= MIN_VOXELS) & (misses >= MIN_SHARE * counts)
        & (confirmations <= MAX_CONFIRMED * misses))
    gone = [things.voxels[label == part] for part in candidates
            if _faces_camera(things.points[(label == part) & missed])
            and _stands_alone(things.voxels[label == part], others)]
    if gone:
        occupancy.forget(np.concatenate(gone))


def _missed_and_confirmed(
    distances: Distances, things: ViewVoxels, voxel_size: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """Return whether an image measures nothing at voxels (N,), and whether it measures them.

    A measurement farther away is nothing; one that is nearer hides the voxel.
    """
    measured = distances[distances > 0]
    near = max(float(measured.min(initial=np.inf)), MIN_RANGE)
    far = MAX_RANGE * float(measured.max(initial=0.0))
    size = np.array(distances.shape)[::-1]
    visible = (
        (things.points[:, 2] > 0) & (things.lengths > near) & (things.lengths < far)
        & ((things.pixels >= 0) & (things.pixels < size)).all(-1))
    found = at(distances, things.pixels)
    tolerance = things.noise() + voxel_size
    missed = visible & ((found == 0) | (found > things.lengths + tolerance))
    return missed, visible & (found > 0) & (np.abs(found - things.lengths) <= tolerance)


def _expects_return(
    keyframes: Keyframes, k: int, pixels: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Return whether pixels (N, 2) of keyframe k are unmasked, and have depth in other images."""
    index = pixels[:, 1] * keyframes.widths[k] + pixels[:, 0]
    same = np.flatnonzero(keyframes.first_direction == keyframes.first_direction[k])
    same = same[:: -(-len(same) // OTHERS)]
    expected = (keyframes.depths[keyframes.first[same, None] + index] > 0).any(0)
    if (alpha := keyframe_alpha(keyframes, k)) is not None:
        expected &= alpha.ravel()[index] != MASKED_ALPHA
    return np.asarray(expected)


def _faces_camera(points: NDArray[np.float64]) -> bool:
    """Return whether the plane through points (N, 3) [m, camera] faces the camera."""
    middle = points.mean(0)
    normal = np.linalg.eigh(np.cov((points - middle).T))[1][:, 0]
    return bool(abs(normal @ middle) >= MIN_FACING * np.linalg.norm(middle))


def _stands_alone(thing: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Return whether few of the voxels around a thing (N, 3) are among others (M, 3)."""
    low, high = thing.min(0) - 1, thing.max(0) + 2
    mask = box_mask(thing, low, high)
    around = ndimage.binary_dilation(mask, NEIGHBORS) & ~mask
    return bool((around & box_mask(others, low, high)).sum() < MAX_OCCUPIED * around.sum())

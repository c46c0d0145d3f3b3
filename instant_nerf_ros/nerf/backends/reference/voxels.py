"""Updates of the occupancy grid in plain PyTorch: densities of samples, votes of rays."""
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from instant_nerf_ros.nerf.constants import (
    EMPTY,
    EMPTY_MISSES,
    EMPTY_ODDS,
    FREE,
    MAX_MISSES,
    MAX_VOTES,
    MIN_HITS,
    MISS_WEIGHT,
    OCCUPIED,
    SOLID,
    UNKNOWN,
    UNVISITED,
)


def update_density(
    positions: Tensor, densities: Tensor, density: Tensor, density_state: Tensor,
    grid_origin: Tensor, voxel_size: float, decay: float, threshold: Tensor | float,
) -> None:  # fmt: skip
    """Update the density of the voxels in which positions (N, 3) lie, one after the other.

    The density of a voxel becomes max(decay * density, densities[n]) (instant-ngp's rule). An
    UNVISITED voxel starts at twice the threshold, so that it takes some updates to become EMPTY.
    Writes density (nx, ny, nz) float32 [1/m] and density_state (nx, ny, nz) uint8: EMPTY if the
    density is below the threshold, else SOLID. grid_origin (3,): the corner of voxel (0, 0, 0).
    """
    threshold = float(threshold)
    cells = ((positions - grid_origin) / voxel_size).floor().long().tolist()
    shape = density.shape
    for cell, value in zip(map(tuple, cells), densities.tolist()):
        if all(0 <= index < size for index, size in zip(cell, shape)):
            unvisited = density_state[cell] == UNVISITED
            old = 2 * threshold if unvisited else density[cell].item()
            density[cell] = max(decay * old, value)
            density_state[cell] = EMPTY if density[cell].item() < threshold else SOLID


def integrate_rays(
    origins: Tensor, directions: Tensor, distances: Tensor, clear_distances: Tensor,
    measured: bool, weight: int, pixels: Tensor, keyframe: int, hits: Tensor, misses: Tensor,
    last_keyframe: Tensor, colors: Tensor, density_state: Tensor, grid_origin: Tensor,
    voxel_size: float,
) -> None:  # fmt: skip
    """Count the votes of the rays of one keyframe: hits where they end, misses where they pass.

    A keyframe has one vote on a voxel: a hit of the given weight if a ray ends there, else a miss
    of MISS_WEIGHT if a ray crosses it before its clear distance; none if last_keyframe is this one
    already. Where hits and misses together are MAX_VOTES, both are halved before the next vote, so
    that old votes fade. Misses alone end at MAX_MISSES. The color of a voxel moves by a quarter
    towards the pixel of each hit that has a color; black stands for no color yet. A voxel that
    measured rays cross becomes EMPTY if it is surely free (see `surely_free`), so that training
    does not sample it. Rays that were rendered are less certain: the first one on a voxel without
    any vote only sets last_keyframe.

    Args: origins, directions (R, 3); distances (R,) [m] of the ends, 0 if unknown;
    clear_distances (R,) [m] along which the rays crossed nothing; measured: by a sensor, not
    rendered; weight: of a hit; pixels (R, 3) RGB, negative without color; keyframe: its tag, 1 to
    255.
    Writes hits, misses, last_keyframe, density_state (nx, ny, nz) uint8 and colors
    (nx, ny, nz, 3) uint8.
    """
    shape = hits.shape
    starts = ((origins.double() - grid_origin.double()) / voxel_size).tolist()
    alongs = (directions.double() / voxel_size).tolist()
    for start, along, distance, pixel in zip(
            starts, alongs, distances.tolist(), pixels.tolist()):
        end = tuple(math.floor(s + a * distance) for s, a in zip(start, along))
        if distance > 0 and _inside(end, shape) and last_keyframe[end] != keyframe:
            _vote(hits, weight, hits, misses, last_keyframe, end, keyframe, measured)
            olds = colors[end].tolist()
            known = hits[end] > weight and any(olds)
            for channel, (value, old) in enumerate(zip(pixel, olds)):
                if value >= 0:
                    colors[end][channel] = (3 * old + value + 2) // 4 if known else value
    for start, along, clear_distance in zip(starts, alongs, clear_distances.tolist()):
        for cell in _crossed(start, along, clear_distance):
            if _inside(cell, shape) and last_keyframe[cell] != keyframe:
                _vote(misses, MISS_WEIGHT, hits, misses, last_keyframe, cell, keyframe, measured)
                if measured and surely_free(int(hits[cell]), int(misses[cell])):
                    density_state[cell] = EMPTY


def state(hits: int, misses: int) -> int:
    """Return OCCUPIED, FREE or UNKNOWN for the weighted votes on a voxel.

    The majority decides: without a state in between, noise leaves no gaps in free space. A voxel
    without votes, or with a hit of a single rendered ray, is unknown.
    """
    if hits >= max(misses, MIN_HITS):
        return OCCUPIED
    return FREE if misses > hits else UNKNOWN


def surely_free(hits: int, misses: int) -> bool:
    """Return whether the votes on a voxel leave no doubt that it is free."""
    return misses >= EMPTY_MISSES and misses > EMPTY_ODDS * hits


def states(hits: Tensor, misses: Tensor) -> Tensor:
    """Return `state` of every voxel, int8, in the shape of hits and misses (uint8)."""
    hits, misses = hits.int(), misses.int()
    result = torch.full(hits.shape, UNKNOWN, dtype=torch.int8, device=hits.device)
    result[misses > hits] = FREE
    result[(hits >= MIN_HITS) & (hits >= misses)] = OCCUPIED
    return result


def _crossed(start: list[float], along: list[float], length: float) -> list[tuple[int, ...]]:
    """Return the voxels that a ray crosses in 0 <= t <= length, found from its face crossings."""
    if length <= 0:
        return []
    cuts = {0.0, length}
    for s, a in zip(start, along):
        if a != 0:
            low, high = sorted((s, s + a * length))
            cuts |= {(face - s) / a for face in range(math.ceil(low), math.floor(high) + 1)}
    inner = sorted(cut for cut in cuts if 0 <= cut <= length)
    middles = [(a + b) / 2 for a, b in zip(inner, inner[1:]) if b - a > 1e-6]
    return [tuple(math.floor(s + a * m) for s, a in zip(start, along)) for m in middles]


def _inside(cell: Sequence[int], shape: Sequence[int]) -> bool:
    return all(0 <= index < size for index, size in zip(cell, shape))


def _vote(
    counts: Tensor, weight: int, hits: Tensor, misses: Tensor, last_keyframe: Tensor,
    cell: tuple[int, ...], keyframe: int, measured: bool,
) -> None:  # fmt: skip
    if hits[cell] + misses[cell] >= MAX_VOTES:
        hits[cell] //= 2
        misses[cell] //= 2
    if measured or last_keyframe[cell]:
        counts[cell] += weight
        if not hits[cell]:
            misses[cell].clamp_(max=MAX_MISSES)
    last_keyframe[cell] = keyframe

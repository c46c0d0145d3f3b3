"""Hole votes: free space in front of what depth images do not measure, as it is too far.

A pixel without depth, a hole, sees something beyond the range of the sensor, or something black,
glossy or glass. The field may know which from other images. That alone is no evidence: a voxel is
free where two viewpoints agree, and where nothing else votes.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
from instant_nerf_ros.nerf.constants import MILLIMETRE, MISS_WEIGHT, OCCUPIED, OPAQUE_ALPHA
from instant_nerf_ros.nerf.occupancy.field_space import Density
from instant_nerf_ros.nerf.occupancy.hole_edges import HoleEdges
from instant_nerf_ros.nerf.occupancy.integration import rendered_distances
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.voters import TAGS, tag

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.field.train_step import StepResult

MIN_TRAINED_RAYS = 4096  # of a keyframe, before its holes vote: what is freed once stays free
RAYS_PER_VOTE = 8  # rays of a batch, of which one votes at most, for the sake of time
BASELINE = 0.5  # m, between two viewpoints: those of closer ones share their errors
# Up to where a ray may free voxels: a share of the distance to its end, which no sensor has
# measured, and of the range, as things that are much farther look the same from all viewpoints.
CLEAR_SHARE, RANGE_SHARE = 0.8, 1.5
EDGE_SHARE = 0.9  # of the range, least mean depth below the holes of a tile


def integrate_holes(
    keyframes: Keyframes, edges: HoleEdges, batch: Rays, sources: RaySources, result: StepResult,
    medians: Tensor, density: Density, occupancy: OccupancyGrid,
) -> None:  # fmt: skip
    """Let the holes vote that are in a batch of rays, of which the first ones have sources.

    result and medians (R,) [m] are what the field, of a density, has rendered of the batch.
    """
    chosen, limits = _beyond_range(keyframes, edges, batch, sources, medians)
    if not len(chosen):
        return
    ray, along, voxels = _unknown(batch.where(chosen), limits, occupancy)
    kept, ray = ray.unique(return_inverse=True)  # the others cannot tell anything new
    if not len(kept):
        return
    kept = chosen[kept]
    rays = batch.where(kept)
    _, clear_distances = rendered_distances(
        density, rays, result.colors[kept], medians[kept], result.opacities[kept],
        occupancy.voxel_size)
    clear = along < clear_distances[ray]
    source = torch.as_tensor(sources.keyframes, device=kept.device)[kept]
    _vote(rays.origins, source, ray[clear], voxels[clear], keyframes, occupancy)


def _beyond_range(
    keyframes: Keyframes, edges: HoleEdges, batch: Rays, sources: RaySources, medians: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return some rays of holes that end beyond the range of the sensor, and their limits [m].

    Returns indices (N,) and distances (N,). The range is the largest depth of any keyframe. An
    image without any depth has no holes.
    """
    device, count = medians.device, len(sources)
    usable = ((keyframes.farthest > 0) & (keyframes.ray_counts >= MIN_TRAINED_RAYS)
              & keyframes.is_own(keyframes.ids))
    if not usable.any():
        return medians.new_empty(0, dtype=torch.int64), medians[:0]
    source = torch.as_tensor(sources.keyframes, device=device)
    axes = torch.from_numpy(keyframes.T_world_camera[:, :3, 2].astype(np.float32)).to(device)
    cosines = (batch.directions[:count] * axes[source]).sum(-1)
    sensor_range = MILLIMETRE * float(keyframes.farthest.max())
    far = edges.table() * MILLIMETRE >= EDGE_SHARE * sensor_range
    tiles = torch.as_tensor(sources.tiles, device=device)
    votes = torch.from_numpy(far & usable[:, None]).to(device)[source, tiles]
    votes &= (batch.surfaces[:count] == 0) & (medians[:count] * cosines > sensor_range)
    if sources.alphas is not None:
        votes &= torch.as_tensor(sources.alphas, device=device) == OPAQUE_ALPHA
    if sources.masked is not None:
        votes &= ~torch.as_tensor(sources.masked, device=device)
    chosen = votes.nonzero()[: max(count // RAYS_PER_VOTE, 1), 0]
    return chosen, (CLEAR_SHARE * medians[chosen]).minimum(
        RANGE_SHARE * sensor_range / cosines[chosen])


def _unknown(
    rays: Rays, limits: Tensor, occupancy: OccupancyGrid,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return where R rays cross voxels without votes, up to their limits (R,) [m].

    Returns the ray (N,), the distance (N,) [m] and the index (N,) of the voxel in the flat grid;
    they are one voxel apart along a ray. A ray that crosses something occupied is wrong, and left
    out.
    """
    size, device = occupancy.voxel_size, limits.device
    _, leaving = occupancy.clip(rays, 0.0, math.inf)
    limits = limits.minimum(leaving - size)
    along = torch.arange(0, max(float(limits.max()), 0.0), size, device=device)
    start, step = (rays.origins - occupancy.origin) / size, rays.directions / size
    x, y, z = (start[:, None] + along[:, None] * step[:, None]).long().unbind(-1)
    ray, place = (along < limits[:, None]).nonzero(as_tuple=True)
    voxels = ((x * occupancy.shape[1] + y) * occupancy.shape[2] + z)[ray, place]
    hits, misses = occupancy.hits.view(-1)[voxels], occupancy.misses.view(-1)[voxels]
    states = occupancy.backend.states(hits[:, None, None], misses[:, None, None])[:, 0, 0]
    wrong = torch.zeros(len(rays), dtype=torch.bool, device=device)
    wrong[ray[states == OCCUPIED]] = True
    unknown = ((hits | misses) == 0) & ~wrong[ray]
    return ray[unknown], along[place[unknown]], voxels[unknown]


def _vote(
    origins: Tensor, source: Tensor, ray: Tensor, voxels: Tensor, keyframes: Keyframes,
    occupancy: OccupancyGrid,
) -> None:  # fmt: skip
    """Let rays (N,) vote on voxels (N,) without votes, by their index in the flat grid.

    origins (R, 3) [m] and source (R,), the keyframe, are those of all rays. The first one leaves
    its tag in a voxel, and one from another viewpoint a single miss, so that whatever is measured
    there, before or later, wins.
    """
    last = occupancy.last_keyframe.view(-1)
    tags = torch.from_numpy(tag(keyframes.ids).astype(np.uint8)).to(voxels.device)
    baselines = _baselines(origins, keyframes, tags)[ray, last[voxels].long()]
    first = baselines.isinf()
    # Where several rays are the first ones, the highest tag counts, in whichever order they come.
    last[voxels[first]] = 0
    last.scatter_reduce_(0, voxels[first], tags[source[ray[first]]], 'amax')
    freed = voxels[(baselines >= BASELINE) & ~first]
    occupancy.misses.view(-1)[freed] = MISS_WEIGHT
    if len(freed):
        cells = np.stack(np.unravel_index(freed.cpu().numpy(), occupancy.shape))
        occupancy.content.add_votes(
            occupancy.first + cells.min(1), occupancy.first + cells.max(1) + 1)


def _baselines(origins: Tensor, keyframes: Keyframes, tags: Tensor) -> Tensor:
    """Return how far origins (R, 3) are from the nearest keyframe of each tag, (R, 1 + TAGS) [m].

    It is infinite for tags that no keyframe has.
    """
    positions = torch.from_numpy(
        keyframes.T_world_camera[:, :3, 3].astype(np.float32)).to(tags.device)
    distances = (origins[:, None] - positions).norm(dim=-1)
    nearest = torch.full((len(origins), 1 + TAGS), torch.inf, device=tags.device)
    return nearest.scatter_reduce(1, tags.long().expand(len(origins), -1), distances, 'amin')

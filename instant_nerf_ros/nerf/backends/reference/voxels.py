"""The voxels of the reference backend, in plain PyTorch: what samples and rays say of them."""
import math

import torch

UNVISITED, EMPTY, SOLID = 0, 1, 2  # what the field says of a voxel
OCCUPIED, FREE, UNKNOWN = 100, 0, -1  # what the rays say of it, as in nav_msgs/OccupancyGrid
MIN_VOTES = 2  # of keyframes, before they say anything
OCCUPIED_ODDS, FREE_ODDS = 3, 8  # passes for a hit: no more, it is occupied; more, it is free
MEMORY = 16  # votes in a voxel, after which the older ones fade


def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """Note the density found at positions in the voxels they lie in, one after the other.

    stored becomes max(decay * stored, density) (instant-ngp's rule); an UNVISITED voxel starts at
    twice the threshold, so that it takes some visits to call it empty. Writes stored (nx, ny, nz)
    float32 and voxels (nx, ny, nz) uint8: EMPTY if stored is below the threshold, else SOLID.
    """
    threshold = float(threshold)
    cells = ((positions - grid_origin) / voxel_size).floor().long().tolist()
    shape = stored.shape
    for cell, density in zip(map(tuple, cells), densities.tolist()):
        if all(0 <= index < size for index, size in zip(cell, shape)):
            old = 2 * threshold if voxels[cell] == UNVISITED else stored[cell].item()
            stored[cell] = max(decay * old, density)
            voxels[cell] = EMPTY if stored[cell].item() < threshold else SOLID


def carve(
    origins, directions, distances, reaches, measured, pixels, stamp,
    hits, passes, stamps, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """Let the rays of one keyframe vote on the voxels they end in, and on those they cross.

    A keyframe has one vote on a voxel: a hit if a ray ends there, else a pass if one crosses it
    within its reach; none if the last one was its own, as stamps say. With MEMORY votes in a voxel
    both counts are halved before the next, so that old votes fade. The colour of a voxel moves by
    a quarter towards the pixel of each hit that has a colour; black stands for none yet. A voxel
    that measured rays pass becomes EMPTY, if that leaves its state free (see `state`): no sample
    needs to ask what a sensor has answered. Rays that were not measured are less sure: the first
    of them on a voxel that no ray has told of only leaves its stamp.

    Args: origins, directions (R, 3); distances (R,) of the ends, 0 = unknown; reaches (R,) up to
    which the rays crossed nothing; measured, by a sensor; pixels (R, 3), negative without
    colour; stamp, 1 to 255.
    Writes hits, passes, stamps, voxels (nx, ny, nz) uint8 and colors (nx, ny, nz, 3) uint8.
    """
    shape = hits.shape
    starts = ((origins.double() - grid_origin.double()) / voxel_size).tolist()
    alongs = (directions.double() / voxel_size).tolist()
    for start, along, distance, pixel in zip(
            starts, alongs, distances.tolist(), pixels.tolist()):
        end = tuple(math.floor(s + a * distance) for s, a in zip(start, along))
        if distance > 0 and _inside(end, shape) and stamps[end] != stamp:
            _vote(hits, hits, passes, stamps, end, stamp, measured)
            olds = colors[end].tolist()
            known = hits[end] > 1 and any(olds)
            for channel, (value, old) in enumerate(zip(pixel, olds)):
                if value >= 0:
                    colors[(*end, channel)] = (3 * old + value + 2) // 4 if known else value
    for start, along, reach in zip(starts, alongs, reaches.tolist()):
        for cell in _crossed(start, along, reach):
            if _inside(cell, shape) and stamps[cell] != stamp:
                _vote(passes, hits, passes, stamps, cell, stamp, measured)
                if measured and state(int(hits[cell]), int(passes[cell])) == FREE:
                    voxels[cell] = EMPTY


def state(hits, passes):
    """Return OCCUPIED, FREE or UNKNOWN for a voxel with that many hits and passes.

    Their log-odds ln(hits / passes) decide: from ln(1/3) on it is occupied, below ln(1/8) free,
    so that a lone hit is noise; unknown in between, and with fewer than MIN_VOTES of either.
    """
    if hits >= MIN_VOTES and OCCUPIED_ODDS * hits >= passes:
        return OCCUPIED
    if passes >= MIN_VOTES and FREE_ODDS * hits < passes:
        return FREE
    return UNKNOWN


def states(hits, passes):
    """Return the state of every voxel, int8, shaped as hits and passes (uint8)."""
    hits, passes = hits.int(), passes.int()
    result = torch.full(hits.shape, UNKNOWN, dtype=torch.int8, device=hits.device)
    result[(passes >= MIN_VOTES) & (FREE_ODDS * hits < passes)] = FREE
    result[(hits >= MIN_VOTES) & (OCCUPIED_ODDS * hits >= passes)] = OCCUPIED
    return result


def _crossed(start, along, length):
    """Return the voxels that a ray crosses in 0 <= t <= length, found from its face crossings."""
    if length <= 0:
        return []
    cuts = {0.0, length}
    for s, a in zip(start, along):
        if a != 0:
            low, high = sorted((s, s + a * length))
            cuts |= {(face - s) / a for face in range(math.ceil(low), math.floor(high) + 1)}
    cuts = sorted(cut for cut in cuts if 0 <= cut <= length)
    middles = [(a + b) / 2 for a, b in zip(cuts, cuts[1:]) if b - a > 1e-6]
    return [tuple(math.floor(s + a * m) for s, a in zip(start, along)) for m in middles]


def _inside(cell, shape):
    return all(0 <= index < size for index, size in zip(cell, shape))


def _vote(counts, hits, passes, stamps, cell, stamp, measured):
    if hits[cell] + passes[cell] >= MEMORY:
        hits[cell] //= 2
        passes[cell] //= 2
    if measured or stamps[cell]:
        counts[cell] += 1
    stamps[cell] = stamp

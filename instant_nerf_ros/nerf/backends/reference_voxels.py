"""The voxels of the reference backend, in plain PyTorch: what samples and rays say of them."""
import math

import torch

UNVISITED, EMPTY, SOLID = 0, 1, 2  # what the field says of a voxel
OCCUPIED, FREE, UNKNOWN = 100, 0, -1  # what the rays say of it, as in nav_msgs/OccupancyGrid
MIN_EVIDENCE = 3  # rays, before they say anything


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
    origins, directions, distances, measured, pixels,
    hits, passes, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """Count in the voxels the rays that end there and those that pass through.

    A ray of positive distance is a hit in the voxel where it ends, and a pass in every voxel it
    crosses up to one voxel edge before its end, apart from that one. Where either count is full
    both are halved, so that old evidence fades. The colour of a voxel moves by a quarter towards
    each hit's pixel. A voxel that a measured ray passes becomes EMPTY, if that leaves its state
    free (see `state`): no sample needs to ask what a sensor has answered.

    Args: origins, directions (R, 3); distances (R,); measured (R,) bool; pixels (R, 3) uint8.
    Writes hits, passes, voxels (nx, ny, nz) uint8 and colors (nx, ny, nz, 3) uint8.
    """
    shape = hits.shape
    for origin, direction, distance, sure, pixel in zip(
        origins.tolist(), directions.tolist(), distances.tolist(),
        measured.tolist(), pixels.tolist(),
    ):  # fmt: skip
        if distance <= 0:
            continue
        corner = grid_origin.tolist()
        start = [(o - c) / voxel_size for o, c in zip(origin, corner)]
        along = [d / voxel_size for d in direction]
        end = tuple(math.floor(s + a * distance) for s, a in zip(start, along))
        for cell in _crossed(start, along, distance - voxel_size):
            if cell != end and _inside(cell, shape):
                _count(passes, hits, cell)
                if sure and state(int(hits[cell]), int(passes[cell])) == FREE:
                    voxels[cell] = EMPTY
        if _inside(end, shape):
            _count(hits, passes, end)
            for channel, value in enumerate(pixel):
                old = colors[(*end, channel)].item()
                blended = value if hits[end] == 1 else (3 * old + value + 2) // 4
                colors[(*end, channel)] = blended


def state(hits, passes):
    """Return OCCUPIED, FREE or UNKNOWN for a voxel with that many hits and passes.

    Occupied if a quarter of the rays end there, free if less than a twentieth does; unknown in
    between, and with fewer than MIN_EVIDENCE of either.
    """
    if hits >= MIN_EVIDENCE and 4 * hits >= hits + passes:
        return OCCUPIED
    if hits + passes >= MIN_EVIDENCE and 20 * hits < hits + passes:
        return FREE
    return UNKNOWN


def states(hits, passes):
    """Return the state of every voxel, int8, shaped as hits and passes (uint8)."""
    hits = hits.int()
    rays = hits + passes.int()
    result = torch.full(hits.shape, UNKNOWN, dtype=torch.int8, device=hits.device)
    result[(rays >= MIN_EVIDENCE) & (20 * hits < rays)] = FREE
    result[(hits >= MIN_EVIDENCE) & (4 * hits >= rays)] = OCCUPIED
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


def _count(counts, others, cell):
    if counts[cell] == 255:
        counts[cell] //= 2
        others[cell] //= 2
    counts[cell] += 1

"""Triton kernels of voxels: what samples and rays say of them, many at a time.

Where several meet in a voxel, they come after one another in some order, as in
reference_voxels.py: what is density is exchanged only if nobody else has changed it meanwhile. Of
the rays of a keyframe that meet in a voxel, the one that leaves the stamp votes.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.marching import EMPTY, SOLID, UNVISITED

MIN_VOTES, MAX_VOTES, FREE_ODDS = map(
    tl.constexpr, (constants.MIN_VOTES, constants.MAX_VOTES, constants.FREE_ODDS))
TOUCH = tl.constexpr(1e-5)  # metres or less, in which a ray only touches: float32 has no more


@triton.jit
def _voxel_of(positions, n, there, corner, nx, ny, nz, voxel_size):
    """Return the flat index of the voxels that positions lie in, and which lie in one."""
    x = (tl.load(positions + n * 3, mask=there, other=0.0) - tl.load(corner)) / voxel_size
    y = (tl.load(positions + n * 3 + 1, mask=there, other=0.0) - tl.load(corner + 1)) / voxel_size
    z = (tl.load(positions + n * 3 + 2, mask=there, other=0.0) - tl.load(corner + 2)) / voxel_size
    inside = there & (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
    cell = (x.to(tl.int32) * ny + y.to(tl.int32)) * nz + z.to(tl.int32)
    return tl.where(inside, cell, 0), inside


@triton.jit(do_not_specialize=['number', 'nx', 'ny', 'nz'])
def update_density(
    positions, densities, stride, number, density, density_state, corner, nx, ny, nz, voxel_size, decay,
    threshold, BLOCK: tl.constexpr,
):  # fmt: skip
    """Note densities (N,), stride apart, in the density ones (as int32 bits) of the voxels."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = n < number
    cell, waiting = _voxel_of(positions, n, there, corner, nx, ny, nz, voxel_size)
    density = tl.load(densities + n * stride, mask=there, other=0.0)
    unseen = tl.load(density_state + cell, mask=waiting, other=0) == UNVISITED
    fog = 2 * tl.load(threshold)
    bits = tl.load(density + cell, mask=waiting, other=0)
    while tl.max(waiting.to(tl.int32), 0) > 0:
        old = bits.to(tl.float32, bitcast=True)
        # What is not zero has been visited since.
        old = tl.where(unseen & (bits == 0), fog, old)
        new = tl.maximum(decay * old, density).to(tl.int32, bitcast=True)
        # A lane that is done exchanges nothing: what it compares with is never density.
        expected = tl.where(waiting, bits, -1)
        found = tl.atomic_cas(density + cell, expected, new, sem='relaxed')
        waiting = waiting & (found != bits)
        bits = found  # to load it again could bring what a cache has of it, for ever


@triton.jit(do_not_specialize=['number', 'nx', 'ny', 'nz'])
def update_state(
    positions, number, density, density_state, corner, nx, ny, nz, voxel_size, threshold,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Call voxels that were visited EMPTY or SOLID."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    cell, inside = _voxel_of(positions, n, n < number, corner, nx, ny, nz, voxel_size)
    density = tl.load(density + cell, mask=inside, other=0.0)
    voxel = tl.where(density < tl.load(threshold), EMPTY, SOLID)
    tl.store(density_state + cell, voxel.to(tl.uint8), mask=inside)


@triton.jit
def _claim_vote(cell, here, last_keyframe, keyframe, unused):
    """Return which lanes are the first of this stamp in their voxels, and leave it there.

    Four stamps share a word, the smallest that can be exchanged if nobody else has changed it.
    Lanes that claim nothing exchange something that lies unused, each its own.
    """
    word = (last_keyframe.to(tl.pointer_type(tl.int32))) + cell // 4
    shift = (cell % 4) * 8
    won = here & (cell < 0)  # none
    old = tl.load(word, mask=here, other=0)
    waiting = here & (((old >> shift) & 255) != keyframe)
    while tl.max(waiting.to(tl.int32), 0) > 0:
        new = (old & ~(255 << shift)) | (keyframe << shift)
        found = tl.atomic_cas(
            tl.where(waiting, word, unused), old, tl.where(waiting, new, old), sem='relaxed')
        won = won | (waiting & (found == old))
        # What was found says more than another load, which might be of a cache, for ever.
        waiting = waiting & (found != old) & (((found >> shift) & 255) != keyframe)
        old = found
    return won


@triton.jit
def _weight(cell, here, last_keyframe, MEASURED: tl.constexpr):  # noqa: N803
    """Return what a vote counts: nothing, if it is not measured and the first on its voxel."""
    if MEASURED:
        return tl.full(cell.shape, 1, tl.int32)
    return (tl.load(last_keyframe + cell, mask=here, other=0) != 0).to(tl.int32)


@triton.jit
def _votes(cell, mine, hits, misses):
    """Return the hits and passes of voxels, halved where there are many: old votes fade."""
    hit = tl.load(hits + cell, mask=mine, other=0).to(tl.int32)
    miss = tl.load(misses + cell, mask=mine, other=0).to(tl.int32)
    full = hit + miss >= MAX_VOTES
    return tl.where(full, hit // 2, hit), tl.where(full, miss // 2, miss)


@triton.jit(do_not_specialize=['rays', 'stamp', 'nx', 'ny', 'nz'])
def count_hits(
    origins, directions, distances, pixels, rays, keyframe, hits, misses, last_keyframe, colors, unused,
    corner, nx, ny, nz, voxel_size, MEASURED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count a hit where rays end; unused (BLOCK,) int32 is room."""
    lane = tl.arange(0, BLOCK)
    ray = tl.program_id(0) * BLOCK + lane
    there = ray < rays
    distance = tl.load(distances + ray, mask=there, other=0.0)
    x, y, z = _start(origins, ray, there, corner, voxel_size)
    ax, ay, az = _start(directions, ray, there, corner + 3, voxel_size)
    x = tl.floor(x + ax * distance).to(tl.int32)
    y = tl.floor(y + ay * distance).to(tl.int32)
    z = tl.floor(z + az * distance).to(tl.int32)
    inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
    here = there & (distance > 0) & inside
    cell = tl.where(here, (x * ny + y) * nz + z, 0)
    vote = _weight(cell, here, last_keyframe, MEASURED)
    mine = _claim_vote(cell, here, last_keyframe, keyframe, unused + lane)
    hit, miss = _votes(cell, mine, hits, misses)
    tl.store(hits + cell, (hit + vote).to(tl.uint8), mask=mine)
    tl.store(misses + cell, miss.to(tl.uint8), mask=mine)
    known = hit < 0
    place = colors + cell.to(tl.int64) * 3  # of a thousand million voxels
    for channel in tl.static_range(3):
        known |= (hit > 0) & (tl.load(place + channel, mask=mine, other=0) > 0)
    for channel in tl.static_range(3):
        pixel = tl.load(pixels + ray * 3 + channel, mask=mine, other=0).to(tl.int32)
        old = tl.load(place + channel, mask=mine, other=0).to(tl.int32)
        new = tl.where(known, (3 * old + pixel + 2) // 4, pixel)
        tl.store(place + channel, new.to(tl.uint8), mask=mine & (pixel >= 0))


@triton.jit
def _start(vectors, ray, there, corner, voxel_size):
    """Return vectors (R, 3) from a corner, in voxels."""
    return ((tl.load(vectors + ray * 3, mask=there, other=0.0) - tl.load(corner)) / voxel_size,
            (tl.load(vectors + ray * 3 + 1, mask=there, other=0.0)
             - tl.load(corner + 1)) / voxel_size,
            (tl.load(vectors + ray * 3 + 2, mask=there, other=0.0)
             - tl.load(corner + 2)) / voxel_size)


@triton.jit
def _face(start, along):
    """Return the distance to the first face along an axis, that between faces, and the way."""
    still = along == 0
    safe = tl.where(still, 1.0, along)
    low = tl.floor(start)
    ahead = tl.where(along > 0, low + 1 - start, low - start) / safe
    far = 1e30
    return (tl.where(still, far, ahead), tl.where(still, far, tl.abs(1 / safe)),
            tl.where(along > 0, 1, -1))


@triton.jit(do_not_specialize=['rays', 'stamp', 'nx', 'ny', 'nz'])
def count_misses(
    origins, directions, clear_distances, rays, keyframe, hits, misses, last_keyframe, density_state, unused,
    corner, nx, ny, nz, voxel_size, MEASURED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count passes, walking from voxel to voxel (Amanatides and Woo 1987)."""
    lane = tl.arange(0, BLOCK)
    ray = tl.program_id(0) * BLOCK + lane
    there = ray < rays
    clear_distance = tl.load(clear_distances + ray, mask=there, other=0.0)
    sx, sy, sz = _start(origins, ray, there, corner, voxel_size)
    ax, ay, az = _start(directions, ray, there, corner + 3, voxel_size)
    x, y, z = tl.floor(sx).to(tl.int32), tl.floor(sy).to(tl.int32), tl.floor(sz).to(tl.int32)
    tx, every_x, way_x = _face(sx, ax)
    ty, every_y, way_y = _face(sy, ay)
    tz, every_z, way_z = _face(sz, az)
    t = tl.zeros_like(clear_distance)
    walking = there & (t < clear_distance)
    while tl.max(walking.to(tl.int32), 0) > 0:
        leave = tl.minimum(tx, tl.minimum(ty, tz))
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        here = walking & inside & (tl.minimum(leave, clear_distance) - t > TOUCH)
        cell = tl.where(here, (x * ny + y) * nz + z, 0)
        vote = _weight(cell, here, last_keyframe, MEASURED)
        mine = _claim_vote(cell, here, last_keyframe, keyframe, unused + lane)
        hit, miss = _votes(cell, mine, hits, misses)
        miss += vote
        tl.store(hits + cell, hit.to(tl.uint8), mask=mine)
        tl.store(misses + cell, miss.to(tl.uint8), mask=mine)
        if MEASURED:
            free = (miss >= MIN_VOTES) & (FREE_ODDS * hit < miss)
            empty = (tl.zeros_like(cell) + EMPTY).to(tl.uint8)
            tl.store(density_state + cell, empty, mask=mine & free)
        t = leave
        along_x = tx == leave
        along_y = (ty == leave) & (along_x == 0)
        along_z = (along_x == 0) & (along_y == 0)
        x, tx = tl.where(along_x, x + way_x, x), tl.where(along_x, tx + every_x, tx)
        y, ty = tl.where(along_y, y + way_y, y), tl.where(along_y, ty + every_y, ty)
        z, tz = tl.where(along_z, z + way_z, z), tl.where(along_z, tz + every_z, tz)
        walking = walking & (t < clear_distance)

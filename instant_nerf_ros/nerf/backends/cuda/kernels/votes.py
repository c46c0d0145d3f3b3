"""Triton kernels of the votes of rays on the voxels of the occupancy grid.

Of the rays of a keyframe that meet in a voxel, only the first one to write the tag of the keyframe
there votes.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.marching import EMPTY
from instant_nerf_ros.nerf.backends.cuda.kernels.voxels import in_voxels

MISS_WEIGHT, MAX_VOTES, MAX_MISSES, EMPTY_MISSES, EMPTY_ODDS = map(tl.constexpr, (
    constants.MISS_WEIGHT, constants.MAX_VOTES, constants.MAX_MISSES, constants.EMPTY_MISSES,
    constants.EMPTY_ODDS))
TOUCH = tl.constexpr(1e-5)  # metres: shorter crossings are no miss, as float32 is not more precise


@triton.jit
def _claim_vote(voxel, mask, last_keyframe, keyframe, scratch):
    """Write the keyframe's tag to last_keyframe of voxels; return which lanes were the first.

    Four tags share a word, the smallest unit of an atomic exchange. Lanes that claim nothing
    exchange a word of scratch, each its own.
    """
    word = (last_keyframe.to(tl.pointer_type(tl.int32))) + voxel // 4
    shift = (voxel % 4) * 8
    claimed = mask & (voxel < 0)  # none
    old = tl.load(word, mask=mask, other=0)
    waiting = mask & (((old >> shift) & 255) != keyframe)
    while tl.max(waiting.to(tl.int32), 0) > 0:
        new = (old & ~(255 << shift)) | (keyframe << shift)
        found = tl.atomic_cas(
            tl.where(waiting, word, scratch), old, tl.where(waiting, new, old), sem='relaxed')
        claimed = claimed | (waiting & (found == old))
        # Another load might return the same stale value from a cache for ever.
        waiting = waiting & (found != old) & (((found >> shift) & 255) != keyframe)
        old = found
    return claimed


@triton.jit
def _vote_weight(weight, voxel, mask, last_keyframe, MEASURED: tl.constexpr):  # noqa: N803
    """Return what a vote counts: 0 if it is not measured and the first on its voxel."""
    if MEASURED:
        return tl.zeros(voxel.shape, tl.int32) + weight
    return weight * (tl.load(last_keyframe + voxel, mask=mask, other=0) != 0).to(tl.int32)


@triton.jit
def _faded_votes(voxel, mask, hits, misses):
    """Return the hits and misses of voxels, halved where they are MAX_VOTES: old votes fade."""
    hit = tl.load(hits + voxel, mask=mask, other=0).to(tl.int32)
    miss = tl.load(misses + voxel, mask=mask, other=0).to(tl.int32)
    full = hit + miss >= MAX_VOTES
    return tl.where(full, hit // 2, hit), tl.where(full, miss // 2, miss)


@triton.jit(do_not_specialize=['rays', 'weight', 'keyframe', 'nx', 'ny', 'nz'])
def count_hits(
    origins, directions, distances, pixels, rays, weight, keyframe, hits, misses, last_keyframe,
    colors, scratch, corner, nx, ny, nz, voxel_size, MEASURED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count a hit where rays (R,) end.

    corner (6,): that of the grid, then zeros, for vectors without an origin; scratch (BLOCK,)
    int32; weight: of a hit; keyframe: its tag.
    """
    lane = tl.arange(0, BLOCK)
    ray = tl.program_id(0) * BLOCK + lane
    mask = ray < rays
    distance = tl.load(distances + ray, mask=mask, other=0.0)
    x, y, z = in_voxels(origins, ray, mask, corner, voxel_size)
    ax, ay, az = in_voxels(directions, ray, mask, corner + 3, voxel_size)
    x = tl.floor(x + ax * distance).to(tl.int32)
    y = tl.floor(y + ay * distance).to(tl.int32)
    z = tl.floor(z + az * distance).to(tl.int32)
    inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
    ends = mask & (distance > 0) & inside
    voxel = tl.where(ends, (x * ny + y) * nz + z, 0)
    added = _vote_weight(weight, voxel, ends, last_keyframe, MEASURED)
    votes = _claim_vote(voxel, ends, last_keyframe, keyframe, scratch + lane)
    hit, miss = _faded_votes(voxel, votes, hits, misses)
    tl.store(hits + voxel, (hit + added).to(tl.uint8), mask=votes)
    tl.store(misses + voxel, miss.to(tl.uint8), mask=votes)
    colored = hit < 0
    color = colors + voxel.to(tl.int64) * 3  # 64 bits, for grids of a thousand million voxels
    for channel in tl.static_range(3):
        colored |= (hit > 0) & (tl.load(color + channel, mask=votes, other=0) > 0)
    for channel in tl.static_range(3):
        pixel = tl.load(pixels + ray * 3 + channel, mask=votes, other=0).to(tl.int32)
        old = tl.load(color + channel, mask=votes, other=0).to(tl.int32)
        new = tl.where(colored, (3 * old + pixel + 2) // 4, pixel)
        tl.store(color + channel, new.to(tl.uint8), mask=votes & (pixel >= 0))


@triton.jit
def _first_face(start, direction):
    """Return the distance to the first face along an axis, that between faces, and the step."""
    parallel = direction == 0
    safe = tl.where(parallel, 1.0, direction)
    low = tl.floor(start)
    distance = tl.where(direction > 0, low + 1 - start, low - start) / safe
    far = 1e30
    return (tl.where(parallel, far, distance), tl.where(parallel, far, tl.abs(1 / safe)),
            tl.where(direction > 0, 1, -1))


@triton.jit(do_not_specialize=['rays', 'keyframe', 'nx', 'ny', 'nz'])
def count_misses(
    origins, directions, clear_distances, rays, keyframe, hits, misses, last_keyframe,
    density_state, scratch, corner, nx, ny, nz, voxel_size, MEASURED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Count misses along rays (R,), from voxel to voxel (Amanatides and Woo 1987).

    See count_hits for the arguments.
    """
    lane = tl.arange(0, BLOCK)
    ray = tl.program_id(0) * BLOCK + lane
    mask = ray < rays
    clear_distance = tl.load(clear_distances + ray, mask=mask, other=0.0)
    sx, sy, sz = in_voxels(origins, ray, mask, corner, voxel_size)
    ax, ay, az = in_voxels(directions, ray, mask, corner + 3, voxel_size)
    x, y, z = tl.floor(sx).to(tl.int32), tl.floor(sy).to(tl.int32), tl.floor(sz).to(tl.int32)
    tx, spacing_x, step_x = _first_face(sx, ax)
    ty, spacing_y, step_y = _first_face(sy, ay)
    tz, spacing_z, step_z = _first_face(sz, az)
    t = tl.zeros_like(clear_distance)
    active = mask & (t < clear_distance)
    while tl.max(active.to(tl.int32), 0) > 0:
        leave = tl.minimum(tx, tl.minimum(ty, tz))
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        crosses = active & inside & (tl.minimum(leave, clear_distance) - t > TOUCH)
        voxel = tl.where(crosses, (x * ny + y) * nz + z, 0)
        added = _vote_weight(MISS_WEIGHT, voxel, crosses, last_keyframe, MEASURED)
        votes = _claim_vote(voxel, crosses, last_keyframe, keyframe, scratch + lane)
        hit, miss = _faded_votes(voxel, votes, hits, misses)
        miss += added
        miss = tl.where(hit == 0, tl.minimum(miss, MAX_MISSES), miss)
        tl.store(hits + voxel, hit.to(tl.uint8), mask=votes)
        tl.store(misses + voxel, miss.to(tl.uint8), mask=votes)
        if MEASURED:
            free = (miss >= EMPTY_MISSES) & (miss > EMPTY_ODDS * hit)
            empty = (tl.zeros_like(voxel) + EMPTY).to(tl.uint8)
            tl.store(density_state + voxel, empty, mask=votes & free)
        t = leave
        along_x = tx == leave
        along_y = (ty == leave) & (along_x == 0)
        along_z = (along_x == 0) & (along_y == 0)
        x, tx = tl.where(along_x, x + step_x, x), tl.where(along_x, tx + spacing_x, tx)
        y, ty = tl.where(along_y, y + step_y, y), tl.where(along_y, ty + spacing_y, ty)
        z, tz = tl.where(along_z, z + step_z, z), tl.where(along_z, tz + spacing_z, tz)
        active = active & (t < clear_distance)

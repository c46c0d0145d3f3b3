"""Triton kernels of voxels: what samples and rays say of them, many at a time.

Where several meet in a voxel, they come after one another in some order, as in
reference_voxels.py: `visit` exchanges what is stored only if nobody else has changed it
meanwhile, and `carve` first counts how many rays of a call meet in a voxel, of whom the first one
that asks settles it for all.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf.backends.triton_march import EMPTY, SOLID, UNVISITED

MIN_EVIDENCE = tl.constexpr(3)
# What the rays of a call do in a voxel, counted in one int32: ten bits of passes, ten of hits,
# ten of passes of measured rays.
PASS, HIT, SURE = tl.constexpr(1), tl.constexpr(1 << 10), tl.constexpr(1 << 20)
MOST = tl.constexpr(1023)


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
def visit(
    positions, densities, stride, number, stored, voxels, corner, nx, ny, nz, voxel_size, decay,
    threshold, BLOCK: tl.constexpr,
):  # fmt: skip
    """Note densities (N,), stride apart, in the stored ones (as int32 bits) of the voxels."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = n < number
    cell, waiting = _voxel_of(positions, n, there, corner, nx, ny, nz, voxel_size)
    density = tl.load(densities + n * stride, mask=there, other=0.0)
    unseen = tl.load(voxels + cell, mask=waiting, other=0) == UNVISITED
    fog = 2 * tl.load(threshold)
    while tl.max(waiting.to(tl.int32), 0) > 0:
        bits = tl.load(stored + cell, mask=waiting, other=0)
        old = bits.to(tl.float32, bitcast=True)
        # What is not zero has been visited since.
        old = tl.where(unseen & (bits == 0), fog, old)
        new = tl.maximum(decay * old, density).to(tl.int32, bitcast=True)
        # A lane that is done exchanges nothing: what it compares with is never stored.
        expected = tl.where(waiting, bits, -1)
        found = tl.atomic_cas(stored + cell, expected, new, sem='relaxed')
        waiting = waiting & (found != bits)


@triton.jit(do_not_specialize=['number', 'nx', 'ny', 'nz'])
def judge(
    positions, number, stored, voxels, corner, nx, ny, nz, voxel_size, threshold,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Call voxels that were visited EMPTY or SOLID."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    cell, inside = _voxel_of(positions, n, n < number, corner, nx, ny, nz, voxel_size)
    density = tl.load(stored + cell, mask=inside, other=0.0)
    voxel = tl.where(density < tl.load(threshold), EMPTY, SOLID)
    tl.store(voxels + cell, voxel.to(tl.uint8), mask=inside)


@triton.jit
def _grown(counts, others, more):
    """Count more, at most 127, one by one; return both, halved where the first was full."""
    full = counts + more > 255
    return counts + more - tl.where(full, 128, 0), tl.where(full, others // 2, others)


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


@triton.jit(do_not_specialize=['rays', 'nx', 'ny', 'nz'])
def carve(
    origins, directions, distances, measured, pixels, rays, hits, passes, colors, voxels, met,
    corner, nx, ny, nz, voxel_size, SETTLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Walk the voxels that rays cross (Amanatides and Woo 1987), at most MOST rays in a call.

    First without SETTLE, which counts who meets in met (nx, ny, nz) int32, zero at first; then
    with it, which takes that into hits and passes, and leaves zeros in met.
    """
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = ray < rays
    length = tl.load(distances + ray, mask=there, other=0.0)
    going = there & (length > 0)
    sx = (tl.load(origins + ray * 3, mask=there, other=0.0) - tl.load(corner)) / voxel_size
    sy = (tl.load(origins + ray * 3 + 1, mask=there, other=0.0) - tl.load(corner + 1)) / voxel_size
    sz = (tl.load(origins + ray * 3 + 2, mask=there, other=0.0) - tl.load(corner + 2)) / voxel_size
    ax = tl.load(directions + ray * 3, mask=there, other=0.0) / voxel_size
    ay = tl.load(directions + ray * 3 + 1, mask=there, other=0.0) / voxel_size
    az = tl.load(directions + ray * 3 + 2, mask=there, other=0.0) / voxel_size
    ex = tl.floor(sx + ax * length).to(tl.int32)
    ey = tl.floor(sy + ay * length).to(tl.int32)
    ez = tl.floor(sz + az * length).to(tl.int32)
    last = (ex * ny + ey) * nz + ez
    ends = going & (ex >= 0) & (ey >= 0) & (ez >= 0) & (ex < nx) & (ey < ny) & (ez < nz)
    x, y, z = tl.floor(sx).to(tl.int32), tl.floor(sy).to(tl.int32), tl.floor(sz).to(tl.int32)
    tx, every_x, way_x = _face(sx, ax)
    ty, every_y, way_y = _face(sy, ay)
    tz, every_z, way_z = _face(sz, az)
    sure = tl.load(measured + ray, mask=there, other=0) != 0
    one = tl.where(sure, SURE + PASS, PASS)
    t = tl.zeros_like(length)
    walking = going & (t < length - voxel_size)
    while tl.max(walking.to(tl.int32), 0) > 0:
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        here = walking & inside & ((x != ex) | (y != ey) | (z != ez))
        cell = (x * ny + y) * nz + z
        if SETTLE:
            _settle(cell, here, hits, passes, voxels, met)
        else:
            tl.atomic_add(met + cell, one, mask=here, sem='relaxed')
        t = tl.minimum(tx, tl.minimum(ty, tz))
        along_x = tx == t
        along_y = (ty == t) & (along_x == 0)
        along_z = (along_x == 0) & (along_y == 0)
        x, tx = tl.where(along_x, x + way_x, x), tl.where(along_x, tx + every_x, tx)
        y, ty = tl.where(along_y, y + way_y, y), tl.where(along_y, ty + every_y, ty)
        z, tz = tl.where(along_z, z + way_z, z), tl.where(along_z, tz + every_z, tz)
        walking = walking & (t < length - voxel_size)
    if SETTLE:
        # Of the rays that end in a voxel one gives it a colour.
        first = _settle(last, ends, hits, passes, voxels, met) >= HIT
        many = tl.load(hits + last, mask=first, other=0).to(tl.int32) > 1
        for channel in tl.static_range(3):
            pixel = tl.load(pixels + ray * 3 + channel, mask=first, other=0).to(tl.int32)
            old = tl.load(colors + last * 3 + channel, mask=first, other=0).to(tl.int32)
            new = tl.where(many, (3 * old + pixel + 2) // 4, pixel)
            tl.store(colors + last * 3 + channel, new.to(tl.uint8), mask=first)
    else:
        tl.atomic_add(met + last, tl.zeros_like(last) + HIT, mask=ends, sem='relaxed')


@triton.jit
def _settle(cell, here, hits, passes, voxels, met):
    """Take who met in voxels into their counts: return that, 0 where another ray has done it."""
    who = tl.atomic_xchg(met + cell, tl.zeros_like(cell), mask=here, sem='relaxed')
    mine = here & (who != 0)
    who = tl.where(mine, who, 0)
    hit = tl.load(hits + cell, mask=mine, other=0).to(tl.int32)
    passed = tl.load(passes + cell, mask=mine, other=0).to(tl.int32)
    more, ended = who & MOST, (who >> 10) & MOST
    while tl.max(more + ended, 0) > 0:
        part = tl.minimum(more, 127)
        passed, hit = _grown(passed, hit, part)
        more -= part
        part = tl.minimum(ended, 127)
        hit, passed = _grown(hit, passed, part)
        ended -= part
    tl.store(hits + cell, hit.to(tl.uint8), mask=mine)
    tl.store(passes + cell, passed.to(tl.uint8), mask=mine)
    free = (hit + passed >= MIN_EVIDENCE) & (20 * hit < hit + passed)
    empty = (tl.zeros_like(cell) + EMPTY).to(tl.uint8)
    tl.store(voxels + cell, empty, mask=mine & free & (who >= SURE))
    return who

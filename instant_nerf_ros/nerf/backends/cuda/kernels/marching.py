"""Triton kernels' march: the next place along rays where something may be."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants

UNVISITED, EMPTY, SOLID = map(
    tl.constexpr, (constants.UNVISITED, constants.EMPTY, constants.SOLID))
MAX_SAMPLES = tl.constexpr(constants.MAX_SAMPLES)


@triton.jit
def _slab(origin, along, low, high, enter, leave):
    along = tl.where(tl.abs(along) < 1e-9, 1e-9, along)
    first, second = (low - origin) / along, (high - origin) / along
    return (tl.maximum(enter, tl.minimum(first, second)),
            tl.minimum(leave, tl.maximum(first, second)))


@triton.jit
def clip(ox, oy, oz, dx, dy, dz, corner, nx, ny, nz, voxel_size, near, far):
    """Return the intervals of rays (B,) that lie in the grid and in [near, far]."""
    enter, leave = tl.zeros_like(ox) + near, tl.zeros_like(ox) + far
    low = tl.load(corner)
    enter, leave = _slab(ox, dx, low, low + nx * voxel_size, enter, leave)
    low = tl.load(corner + 1)
    enter, leave = _slab(oy, dy, low, low + ny * voxel_size, enter, leave)
    low = tl.load(corner + 2)
    return _slab(oz, dz, low, low + nz * voxel_size, enter, leave)


@triton.jit
def advance(
    alive, t, end, number, around, surface, ox, oy, oz, dx, dy, dz,
    density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples, limit,
    VISITED_ONLY: tl.constexpr,
):  # fmt: skip
    """Find the next sample of each ray (B,), as reference.march has them in a row.

    Returns which found one, its start and its end, and what has changed of a ray: t, the samples
    so far (number), and those around its surface (around).
    """
    scale = 1 / voxel_size
    x0, ax = (ox - tl.load(corner)) * scale, dx * scale
    y0, ay = (oy - tl.load(corner + 1)) * scale, dy * scale
    z0, az = (oz - tl.load(corner + 2)) * scale, dz * scale
    found = alive & (number < 0)  # none
    t_start, t_end = tl.zeros_like(t), tl.zeros_like(t)
    seeking = alive & (t < end) & (number < limit)
    while tl.max(seeking.to(tl.int32), 0) > 0:
        following = t + tl.maximum(cone * t, min_step)
        stop = tl.minimum(following, end)
        middle = (t + stop) * 0.5
        x, y, z = x0 + middle * ax, y0 + middle * ay, z0 + middle * az
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        cell = (x.to(tl.int32) * ny + y.to(tl.int32)) * nz + z.to(tl.int32)
        voxel = tl.load(density_state + cell, mask=seeking & inside, other=1)
        hit = seeking & inside & (voxel == SOLID)
        if not VISITED_ONLY:
            hit = hit | (seeking & inside & (voxel == UNVISITED))
        t_start, t_end = tl.where(hit, t, t_start), tl.where(hit, stop, t_end)
        number += hit.to(tl.int32)
        found = found | hit
        t = tl.where(seeking, following, t)
        seeking = seeking & (hit == 0) & (t < end)
    # What follows the last of these are equal intervals around the measured surface.
    near = alive & (found == 0) & (surface > 0) & (around < band_samples)
    length = 2 * band / band_samples
    begin = surface - band + around * length
    t_start = tl.where(near, tl.maximum(begin, 0.0), t_start)
    t_end = tl.where(near, tl.maximum(begin + length, 0.0), t_end)
    around += near.to(tl.int32)
    return found | near, t_start, t_end, t, number, around


@triton.jit(do_not_specialize=['rays', 'nx', 'ny', 'nz'])
def place(
    origins, directions, near, far, limits, jitter, surfaces, rays,
    density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples,
    counts, offsets, t_starts, t_ends,
    VISITED_ONLY: tl.constexpr, WRITE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count the samples of rays (R,), or with WRITE write them, from their offsets on."""
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    alive = ray < rays
    ox = tl.load(origins + ray * 3, mask=alive, other=0.0)
    oy = tl.load(origins + ray * 3 + 1, mask=alive, other=0.0)
    oz = tl.load(origins + ray * 3 + 2, mask=alive, other=0.0)
    dx = tl.load(directions + ray * 3, mask=alive, other=0.0)
    dy = tl.load(directions + ray * 3 + 1, mask=alive, other=0.0)
    dz = tl.load(directions + ray * 3 + 2, mask=alive, other=0.0)
    surface = tl.load(surfaces + ray, mask=alive, other=0.0)
    limit = tl.load(limits + ray, mask=alive, other=0)
    enter = tl.load(near + ray, mask=alive, other=0.0)
    end = tl.load(far + ray, mask=alive, other=0.0)
    end = tl.where(surface > 0, tl.minimum(end, surface - band), end)
    t = enter + tl.load(jitter + ray, mask=alive, other=0.0) * tl.maximum(cone * enter, min_step)
    first = tl.load(offsets + ray, mask=alive, other=0)
    number, around = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    there = alive
    while tl.max(alive.to(tl.int32), 0) > 0:
        n = first + number + around
        found, t_start, t_end, t, number, around = advance(
            alive, t, end, number, around, surface, ox, oy, oz, dx, dy, dz,
            density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples, limit,
            VISITED_ONLY)
        if WRITE:
            tl.store(t_starts + n, t_start, mask=found)
            tl.store(t_ends + n, t_end, mask=found)
        alive = found
    if not WRITE:
        tl.store(counts + ray, number + around, mask=there)

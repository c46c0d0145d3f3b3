"""Triton kernels of ray marching: the next sample along rays, in voxels that may be solid."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants

UNVISITED, EMPTY, SOLID = map(
    tl.constexpr, (constants.UNVISITED, constants.EMPTY, constants.SOLID))
MAX_SAMPLES = tl.constexpr(constants.MAX_SAMPLES)


@triton.jit
def _slab(origin, direction, low, high, enter, leave):
    """Return intervals of rays (B,), clipped to the slab from low to high along an axis."""
    direction = tl.where(tl.abs(direction) < 1e-9, 1e-9, direction)
    first, second = (low - origin) / direction, (high - origin) / direction
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
    alive, t, end, front_count, band_count, surface, ox, oy, oz, dx, dy, dz,
    density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples, limit,
    VISITED_ONLY: tl.constexpr,
):  # fmt: skip
    """Find the next sample of each ray (B,), in the order of reference.march.

    Returns which rays have one, its start and its end, and the new state of the rays: t, and the
    number of samples so far, in front of the band around the surface and in that band.
    """
    scale = 1 / voxel_size
    x0, ax = (ox - tl.load(corner)) * scale, dx * scale
    y0, ay = (oy - tl.load(corner + 1)) * scale, dy * scale
    z0, az = (oz - tl.load(corner + 2)) * scale, dz * scale
    found = alive & (front_count < 0)  # none
    t_start, t_end = tl.zeros_like(t), tl.zeros_like(t)
    searching = alive & (t < end) & (front_count < limit)
    while tl.max(searching.to(tl.int32), 0) > 0:
        following = t + tl.maximum(cone * t, min_step)
        stop = tl.minimum(following, end)
        middle = (t + stop) * 0.5
        x, y, z = x0 + middle * ax, y0 + middle * ay, z0 + middle * az
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        voxel = (x.to(tl.int32) * ny + y.to(tl.int32)) * nz + z.to(tl.int32)
        state = tl.load(density_state + voxel, mask=searching & inside, other=1)
        sampled = searching & inside & (state == SOLID)
        if not VISITED_ONLY:
            sampled = sampled | (searching & inside & (state == UNVISITED))
        t_start, t_end = tl.where(sampled, t, t_start), tl.where(sampled, stop, t_end)
        front_count += sampled.to(tl.int32)
        found = found | sampled
        t = tl.where(searching, following, t)
        searching = searching & (sampled == 0) & (t < end)
    # After the last of these samples follow equal intervals in the band around the surface.
    in_band = alive & (found == 0) & (surface > 0) & (band_count < band_samples)
    length = 2 * band / band_samples
    begin = surface - band + band_count * length
    t_start = tl.where(in_band, tl.maximum(begin, 0.0), t_start)
    t_end = tl.where(in_band, tl.maximum(begin + length, 0.0), t_end)
    band_count += in_band.to(tl.int32)
    return found | in_band, t_start, t_end, t, front_count, band_count


@triton.jit(do_not_specialize=['rays', 'nx', 'ny', 'nz'])
def march(
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
    front_count, band_count = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    mask = alive
    while tl.max(alive.to(tl.int32), 0) > 0:
        n = first + front_count + band_count
        found, t_start, t_end, t, front_count, band_count = advance(
            alive, t, end, front_count, band_count, surface, ox, oy, oz, dx, dy, dz,
            density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples,
            limit, VISITED_ONLY)
        if WRITE:
            tl.store(t_starts + n, t_start, mask=found)
            tl.store(t_ends + n, t_end, mask=found)
        alive = found
    if not WRITE:
        tl.store(counts + ray, front_count + band_count, mask=mask)

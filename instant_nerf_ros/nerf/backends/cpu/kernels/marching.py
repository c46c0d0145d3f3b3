"""Numba kernels of ray marching: samples along rays, a few at a time."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.bricks import empty_until
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.constants import MAX_SAMPLES, SOLID, UNVISITED

# R rays: origins and unit directions (R, 3), float32; jitter (R,) in [0, 1); surfaces (R,), the
# measured distances, 0 = none.
Rays = namedtuple('Rays', 'origins directions jitter surfaces')
# Where samples are placed: see reference.march for all of these.
Space = namedtuple('Space', [
    'density_state', 'bricks', 'corner', 'voxel_size', 'near', 'far', 'min_step', 'cone', 'band',
    'band_samples', 'visited_only',
])  # fmt: skip
# Of a few rays: start of the next interval, end of the intervals in front of the band around the
# surface, where the last of them that may be a sample begins, samples so far in front of the band
# and in it.
MarchState = namedtuple('MarchState', 't end last front_count band_count')


@jit
def clip(origin, direction, space):
    """Return the interval of a ray that lies in the grid and in [near, far]."""
    enter, leave = space.near, space.far
    for axis in range(3):
        low = space.corner[axis]
        high = low + np.float32(space.density_state.shape[axis]) * space.voxel_size
        along = direction[axis]
        if abs(along) < np.float32(1e-9):
            along = np.float32(1e-9)
        first, second = (low - origin[axis]) / along, (high - origin[axis]) / along
        enter = max(enter, min(first, second))
        leave = min(leave, max(first, second))
    return enter, leave


@jit
def begin(i, ray, near, far, rays, space, state):
    """Set the state of ray i of a few to its first interval that is not in EMPTY bricks."""
    surface = rays.surfaces[ray]
    end = min(far, surface - space.band) if surface > 0 else far
    t = near + rays.jitter[ray] * max(space.min_step, space.cone * near)
    last = end
    if t < end:
        scale = np.float32(1) / space.voxel_size
        x0, dx = (rays.origins[ray, 0] - space.corner[0]) * scale, rays.directions[ray, 0] * scale
        y0, dy = (rays.origins[ray, 1] - space.corner[1]) * scale, rays.directions[ray, 1] * scale
        z0, dz = (rays.origins[ray, 2] - space.corner[2]) * scale, rays.directions[ray, 2] * scale
        voxels, bricks = space.density_state, space.bricks
        clear = empty_until(voxels, bricks, x0, y0, z0, dx, dy, dz, t, end)
        if clear < end:
            t = _skip(t, clear, space.min_step, space.cone)
            last = -empty_until(voxels, bricks, x0, y0, z0, -dx, -dy, -dz, -end, -t)
        else:
            t = end
    state.t[i], state.end[i], state.last[i] = t, end, last
    state.front_count[i] = state.band_count[i] = 0


@jit
def _skip(t, clear, min_step, cone):
    """Return the start of the first interval, of those from t on, that does not end before clear.

    One after the other, so that they are rounded as if none was skipped.
    """
    if cone * clear <= min_step:  # what the other loop does, four times as fast
        while t + min_step <= clear:
            t += min_step
        return t
    following = t + max(min_step, cone * t)
    while following <= clear:
        t = following
        following = t + max(min_step, cone * t)
    return t


@jit
def advance(i, ray, rays, space, state, t_starts, t_ends):
    """Write the next samples of ray i of a few, at most len(t_starts).

    Returns the number of samples, and whether there may be more.
    """
    half, scale = np.float32(0.5), np.float32(1) / space.voxel_size
    capacity, count = len(t_starts), 0
    t, end, last = state.t[i], state.end[i], state.last[i]
    if t < last:
        before = state.front_count[i]
        origin, direction = rays.origins[ray], rays.directions[ray]
        x0, dx = (origin[0] - space.corner[0]) * scale, direction[0] * scale
        y0, dy = (origin[1] - space.corner[1]) * scale, direction[1] * scale
        z0, dz = (origin[2] - space.corner[2]) * scale, direction[2] * scale
        nx, ny, nz = space.density_state.shape
        while t < last and count < capacity and before + count < MAX_SAMPLES:
            following = t + max(space.min_step, space.cone * t)
            stop = min(following, end)
            middle = (t + stop) * half
            x, y, z = x0 + middle * dx, y0 + middle * dy, z0 + middle * dz
            if x >= 0 and y >= 0 and z >= 0 and x < nx and y < ny and z < nz:
                voxel = space.density_state[int(x), int(y), int(z)]
                if voxel == SOLID or (voxel == UNVISITED and not space.visited_only):
                    t_starts[count] = t
                    t_ends[count] = stop
                    count += 1
            t = following
        state.t[i] = t
        state.front_count[i] = before + count
        if count == capacity:
            return count, True
    surface = rays.surfaces[ray]
    if not surface > 0:
        return count, False
    length = np.float32(2) * space.band / np.float32(space.band_samples)
    band_count = state.band_count[i]
    while count < capacity and band_count < space.band_samples:
        start = surface - space.band + np.float32(band_count) * length
        t_starts[count] = max(start, np.float32(0))
        t_ends[count] = max(start + length, np.float32(0))
        count += 1
        band_count += 1
    state.band_count[i] = band_count
    return count, band_count < space.band_samples

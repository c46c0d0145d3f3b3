"""Numba kernels that place samples on rays, a few at a time."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.constants import MAX_SAMPLES, SOLID, UNVISITED

# R rays: origins and unit directions (R, 3), float32; jitter (R,) in [0, 1); surfaces (R,), the
# measured distances, 0 = none.
Rays = namedtuple('Rays', 'origins directions jitter surfaces')
# Where samples go: see reference.march for all of these.
Space = namedtuple('Space', [
    'density_state', 'corner', 'voxel_size', 'near', 'far', 'min_step', 'cone', 'band', 'band_samples',
    'visited_only',
])  # fmt: skip
# How far a few rays are: next interval (t), its end (end), samples so far before the surface
# (count) and around it (around).
Places = namedtuple('Places', 't end count around')


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
def begin(place, ray, near, far, rays, space, places):
    """Put a ray at its first interval."""
    surface = rays.surfaces[ray]
    places.end[place] = min(far, surface - space.band) if surface > 0 else far
    places.t[place] = near + rays.jitter[ray] * max(space.min_step, space.cone * near)
    places.count[place] = places.around[place] = 0


@jit
def advance(place, ray, rays, space, places, t_starts, t_ends):
    """Write up to len(t_starts) further samples of a ray: return how many, and if more follow."""
    half, scale = np.float32(0.5), np.float32(1) / space.voxel_size
    room, count = len(t_starts), 0
    t, end = places.t[place], places.end[place]
    if t < end:
        before = places.count[place]
        origin, direction = rays.origins[ray], rays.directions[ray]
        x0, dx = (origin[0] - space.corner[0]) * scale, direction[0] * scale
        y0, dy = (origin[1] - space.corner[1]) * scale, direction[1] * scale
        z0, dz = (origin[2] - space.corner[2]) * scale, direction[2] * scale
        nx, ny, nz = space.density_state.shape
        while t < end and count < room and before + count < MAX_SAMPLES:
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
        places.t[place] = t
        places.count[place] = before + count
        if count == room:
            return count, True
    surface = rays.surfaces[ray]
    if not surface > 0:
        return count, False
    length = np.float32(2) * space.band / np.float32(space.band_samples)
    around = places.around[place]
    while count < room and around < space.band_samples:
        start = surface - space.band + np.float32(around) * length
        t_starts[count] = max(start, np.float32(0))
        t_ends[count] = max(start + length, np.float32(0))
        count += 1
        around += 1
    places.around[place] = around
    return count, around < space.band_samples

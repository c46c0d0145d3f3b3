"""Numba kernels of bricks: cubes of voxels that a ray crosses at once where all are EMPTY.

A brick is UNVISITED until a ray comes by, then EMPTY, if all its voxels are, or SOLID. When one of
them changes its state, it is UNVISITED again.
"""
import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.constants import EMPTY, SOLID, UNVISITED

BRICK = 8  # voxels along an edge
# In voxels: nearer to a face, rounding may decide in which brick a position lies.
MARGIN = np.float32(0.125)


@jit
def set_state(density_state, bricks, x, y, z, state):
    """Set the density state of voxel x, y, z."""
    if density_state[x, y, z] != state:
        density_state[x, y, z] = state
        bricks[x // BRICK, y // BRICK, z // BRICK] = UNVISITED


@jit
def _look(voxels, x, y, z):
    """Return EMPTY if all voxels of brick x, y, z are, else SOLID."""
    nx, ny, nz = voxels.shape
    for i in range(BRICK * x, min(BRICK * (x + 1), nx)):
        for j in range(BRICK * y, min(BRICK * (y + 1), ny)):
            for k in range(BRICK * z, min(BRICK * (z + 1), nz)):
                if voxels[i, j, k] != EMPTY:
                    return SOLID
    return EMPTY


@jit
def empty_until(voxels, bricks, x0, y0, z0, dx, dy, dz, begin, end):
    """Return a distance up to which a ray meets EMPTY voxels only, from begin on, at most end.

    Its positions are x0 + t * dx, y0 + t * dy, z0 + t * dz, in voxels; bricks at the border of the
    grid count as if they reached farther. From brick to brick (Amanatides and Woo 1987), as long
    as rounding cannot decide which one is the next, as it may beside an edge.
    """
    nx, ny, nz = bricks.shape
    x, step_x, inverse_x = _first(x0 + begin * dx, dx, nx)
    y, step_y, inverse_y = _first(y0 + begin * dy, dy, ny)
    z, step_z, inverse_z = _first(z0 + begin * dz, dz, nz)
    margin_x = MARGIN * np.float32(step_x)
    margin_y = MARGIN * np.float32(step_y)
    margin_z = MARGIN * np.float32(step_z)
    clear = begin
    while True:
        if bricks[x, y, z] == UNVISITED:
            bricks[x, y, z] = _look(voxels, x, y, z)
        if bricks[x, y, z] == SOLID:
            return clear
        # From the ray to the face before it, along each axis, and where it comes near to it.
        to_x = np.float32(BRICK * (x + (step_x > 0))) - x0
        to_y = np.float32(BRICK * (y + (step_y > 0))) - y0
        to_z = np.float32(BRICK * (z + (step_z > 0))) - z0
        near_x = (to_x - margin_x) * inverse_x
        near_y = (to_y - margin_y) * inverse_y
        near_z = (to_z - margin_z) * inverse_z
        clear = max(clear, min(near_x, near_y, near_z))
        if clear >= end:
            return end
        # The face that it crosses next, if it is beyond it before it comes near to another one.
        if near_x <= near_y and near_x <= near_z:
            beyond, others, x = (to_x + margin_x) * inverse_x, min(near_y, near_z), x + step_x
        elif near_y <= near_z:
            beyond, others, y = (to_y + margin_y) * inverse_y, min(near_x, near_z), y + step_y
        else:
            beyond, others, z = (to_z + margin_z) * inverse_z, min(near_x, near_y), z + step_z
        if others < beyond:
            return clear
        if not (0 <= x < nx and 0 <= y < ny and 0 <= z < nz):
            return end


@jit
def _first(position, along, count):
    """Return the brick of a position along an axis, of so many, the next step, and 1 / along."""
    brick = min(max(int(position) // BRICK, 0), count - 1)
    least = np.float32(1e-9)
    if along < 0:
        return brick, -1, np.float32(1) / min(along, -least)
    return brick, 1, np.float32(1) / max(along, least)

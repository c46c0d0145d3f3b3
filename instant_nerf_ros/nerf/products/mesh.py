"""Mesh: the surface of the field in the occupied voxels, with the colors of the field."""
import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.products.grids import VoxelGrid

BLOCK = 32  # voxels, edge of the cubes in which the surface is looked for
FINER = 2  # samples of the density per voxel edge
OPAQUE = 0.5  # share of light that the surface lets pass through the length of a sample
CHUNK = 2**14  # positions at a time
MOST_VIEWPOINTS = 64
BEFORE = 2  # voxels from the surface, where the rays begin that see its colour
LEAST_OPACITY = 0.1  # of such a ray, to show a colour


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles."""

    positions: NDArray[np.float32]  # (N, 3) metres
    colors: NDArray[np.uint8]  # (N, 3) RGB
    faces: NDArray[np.int32]  # (M, 3)


RenderRays = Callable[[Rays], tuple[Tensor, Tensor, Tensor]]


@torch.no_grad()
def mesh(
    field: RadianceField, voxels: VoxelGrid, viewpoints: NDArray[np.float64],
    render_rays: RenderRays,
) -> Mesh:  # fmt: skip
    """Return the Mesh of a field in and around the occupied voxels of a VoxelGrid.

    Everything is in the frame of the field. There is no surface elsewhere, where the field is not
    trained, nor one that does not face a free voxel. Colors are those seen from the nearest of the
    viewpoints (K, 3), as the field is trained for these only; render_rays returns colors, distances
    and opacities of rays. Marching cubes (Lorensen and Cline 1987) run block by block, so that
    memory does not depend on the size of the map; vertices at the borders of blocks are there
    twice.
    """
    occupied = voxels.states == OCCUPIED
    viewpoints = viewpoints[:: -(-len(viewpoints) // MOST_VIEWPOINTS)].astype(np.float32)
    parts = [
        _block(field, voxels, occupied, start, viewpoints, render_rays) for start in _blocks(occupied)]
    counts = [len(positions) for positions, *_ in parts]
    firsts = np.cumsum([0, *counts])
    return Mesh(
        np.concatenate([np.empty((0, 3), np.float32), *(part[0] for part in parts)]),
        np.concatenate([np.empty((0, 3), np.uint8), *(part[1] for part in parts)]),
        np.concatenate([np.empty((0, 3), np.int32), *(
            part[2] + first for part, first in zip(parts, firsts))]).astype(np.int32))


def _blocks(occupied):
    """Return the first voxels of the blocks with or beside occupied voxels."""
    index = np.argwhere(occupied)
    neighbours = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 1, 3)
    return np.unique((index + neighbours).reshape(-1, 3) // BLOCK, axis=0) * BLOCK


def _block(field, voxels, occupied, start, viewpoints, render_rays):
    """Return positions, colours and faces of a block that begins at a voxel (3,)."""
    from skimage.measure import marching_cubes  # takes a second, which only meshes need

    near = _dilated(_crop(occupied, start - 2, BLOCK + 4))[1:-1, 1:-1, 1:-1]
    near = near.repeat(FINER, 0).repeat(FINER, 1).repeat(FINER, 2)
    # Samples in the middles of the parts of voxels, one part more than the block at its end.
    step = voxels.voxel_size / FINER
    first = FINER
    last = first + BLOCK * FINER + 1
    near = near[first:last, first:last, first:last]
    low = voxels.origin + start * voxels.voxel_size + step / 2
    opacity = np.zeros(near.shape, np.float32)
    positions = low + np.argwhere(near) * step
    opacity[near] = 1 - np.exp(-step * _density(field, positions))
    if not opacity.min() < OPAQUE < opacity.max():
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty((0, 3), int)
    vertices, faces, normals, _ = marching_cubes(
        opacity, OPAQUE, mask=near, gradient_direction='ascent')
    positions = (low + vertices * step).astype(np.float32)
    faces = faces[_face_free_space(voxels, positions[faces])]
    used, faces = np.unique(faces, return_inverse=True)
    positions, normals, faces = positions[used], normals[used], faces.reshape(-1, 3)
    before = BEFORE * voxels.voxel_size
    return positions, _colors(render_rays, positions, normals, viewpoints, before), faces


def _crop(grid, start, size):
    """Return a cube of a grid, False where it reaches beyond."""
    cube = np.zeros((size,) * 3, bool)
    first, last = np.maximum(start, 0), np.minimum(start + size, grid.shape)
    if (first < last).all():
        cube[tuple(map(slice, first - start, last - start))] = grid[
            tuple(map(slice, first, last))]
    return cube


def _face_free_space(voxels, corners):
    """Return which triangles (M, 3, 3) have a free voxel before them, within three edges."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-12)
    free = np.zeros(len(corners), bool)
    for edges in (1, 2, 3):
        places = corners.mean(axis=1) + edges * voxels.voxel_size * normals
        index = np.floor((places - voxels.origin) / voxels.voxel_size).astype(int)
        inside = ((index >= 0) & (index < voxels.states.shape)).all(axis=1)
        free[inside] |= voxels.states[tuple(index[inside].T)] == FREE
    return free


def _dilated(mask):
    for axis in range(3):
        mask = mask | np.roll(mask, 1, axis) | np.roll(mask, -1, axis)
    return mask


def _density(field, positions):
    positions = torch.from_numpy(positions.astype(np.float32))
    return torch.cat([field.density(part) for part in positions.split(CHUNK)]).cpu().numpy()


def _colors(render_rays, positions, normals, viewpoints, before):
    """Return the colours seen from the nearest viewpoints before the surface.

    The rays begin as many metres before it. Where one shows nothing, as where no ray of training
    came, the colour is that of the nearest neighbour.
    """
    colors, opacities = torch.empty(len(positions), 3), torch.empty(len(positions))
    for start in range(0, len(positions), CHUNK):
        part = positions[start : start + CHUNK]
        rays = part[:, None] - viewpoints
        lengths = np.linalg.norm(rays, axis=-1)
        behind = (rays * normals[start : start + CHUNK, None]).sum(-1) >= 0
        nearest = np.where(behind, np.inf, lengths).argmin(axis=1)[:, None]
        directions = np.take_along_axis(rays, nearest[..., None], axis=1)[:, 0]
        directions /= np.take_along_axis(lengths, nearest, axis=1)
        count = len(part)
        colors[start : start + CHUNK], _, opacities[start : start + CHUNK] = render_rays(Rays(
            torch.from_numpy(part - before * directions), torch.from_numpy(directions),
            torch.zeros(count), torch.zeros(count, 3, dtype=torch.uint8)))
    colors /= opacities.clamp(min=LEAST_OPACITY)[:, None]
    seen = opacities.numpy() > LEAST_OPACITY
    if seen.any() and not seen.all():
        _, nearest = cKDTree(positions[seen]).query(positions[~seen])
        colors[~seen] = colors[seen][nearest]
    return (colors.clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8)

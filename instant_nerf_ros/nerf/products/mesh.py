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
from instant_nerf_ros.nerf.occupancy.field_space import Density
from instant_nerf_ros.nerf.products.grids import VoxelGrid

BLOCK = 32  # voxels, edge of the blocks in which marching cubes run
SAMPLES_PER_VOXEL = 2  # of the density, along an edge
SURFACE_OPACITY = 0.5  # of the length of a sample: the isovalue of marching cubes
CHUNK = 2**14  # positions at a time
MAX_VIEWPOINTS = 64
FREE_DISTANCES = 1, 2, 3  # voxels in front of a triangle, one of which must be free
RAY_START = 2  # voxels in front of the surface, where the rays begin that render its color
MIN_OPACITY = 0.1  # of such a ray, to have a color

Positions = NDArray[np.float32]  # (N, 3) metres
Colors = NDArray[np.uint8]  # (N, 3) RGB
Faces = NDArray[np.integer]  # (M, 3) indices of vertices
RenderRays = Callable[[Rays], tuple[Tensor, Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles."""

    positions: Positions
    colors: Colors
    faces: Faces


@torch.no_grad()
def mesh(
    density: Density, voxels: VoxelGrid, viewpoints: NDArray[np.float64],
    render_rays: RenderRays,
) -> Mesh:  # fmt: skip
    """Return the Mesh of a field in and around the occupied voxels of a VoxelGrid.

    All positions are in the frame of the field. There is no surface elsewhere, as the field is not
    trained there, and none that does not face a free voxel. Colors are those seen from the nearest
    of the viewpoints (K, 3) [m], as the field is trained for these only; render_rays returns
    colors, distances and opacities of rays. Marching cubes (Lorensen and Cline 1987) run block by
    block, so that memory does not depend on the size of the map. Vertices at the borders of blocks
    are duplicated.
    """
    occupied = voxels.states == OCCUPIED
    chosen = viewpoints[:: -(-len(viewpoints) // MAX_VIEWPOINTS)].astype(np.float32)
    positions = [np.empty((0, 3), np.float32)]
    colors = [np.empty((0, 3), np.uint8)]
    faces: list[Faces] = [np.empty((0, 3), np.int32)]
    count = 0
    for start in _blocks(occupied):
        vertices, normals, triangles = _block_surface(density, voxels, occupied, start)
        positions.append(vertices)
        colors.append(_colors(
            render_rays, vertices, normals, chosen, RAY_START * voxels.voxel_size))
        faces.append(triangles + count)
        count += len(vertices)
    return Mesh(
        np.concatenate(positions), np.concatenate(colors),
        np.concatenate(faces).astype(np.int32))


def _blocks(occupied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first voxels (B, 3) of the blocks that contain or touch occupied voxels."""
    index = np.argwhere(occupied)
    neighbors = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 1, 3)
    return np.unique((index + neighbors).reshape(-1, 3) // BLOCK, axis=0) * BLOCK


def _block_surface(
    density: Density, voxels: VoxelGrid, occupied: NDArray[np.bool_],
    start: NDArray[np.int64],
) -> tuple[Positions, NDArray[np.float32], Faces]:  # fmt: skip
    """Return positions, normals and faces of the surface in a block from a voxel (3,) on."""
    from skimage.measure import marching_cubes  # its import takes a second

    near = _dilate(_crop(occupied, start - 2, BLOCK + 4))[1:-1, 1:-1, 1:-1]
    for axis in range(3):
        near = near.repeat(SAMPLES_PER_VOXEL, axis)
    # The samples are at the centers of parts of voxels, with one more part at the end.
    first = SAMPLES_PER_VOXEL
    last = first + BLOCK * SAMPLES_PER_VOXEL + 1
    near = near[first:last, first:last, first:last]
    step = voxels.voxel_size / SAMPLES_PER_VOXEL
    low = voxels.origin + start * voxels.voxel_size + step / 2
    opacity = np.zeros(near.shape, np.float32)
    opacity[near] = 1 - np.exp(-step * _densities(density, low + np.argwhere(near) * step))
    if not opacity.min() < SURFACE_OPACITY < opacity.max():
        return (np.empty((0, 3), np.float32), np.empty((0, 3), np.float32),
                np.empty((0, 3), np.int32))
    vertices, faces, normals, _ = marching_cubes(
        opacity, SURFACE_OPACITY, mask=near, gradient_direction='ascent')
    positions = (low + vertices * step).astype(np.float32)
    faces = faces[_face_free_space(voxels, positions[faces])]
    used, faces = np.unique(faces, return_inverse=True)
    return positions[used], normals[used], faces.reshape(-1, 3)


def _crop(grid: NDArray[np.bool_], start: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Return a cube of a grid, False outside of the grid."""
    cube = np.zeros((size,) * 3, bool)
    first, last = np.maximum(start, 0), np.minimum(start + size, grid.shape)
    if (first < last).all():
        cube[tuple(map(slice, first - start, last - start))] = grid[
            tuple(map(slice, first, last))]
    return cube


def _face_free_space(voxels: VoxelGrid, corners: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which triangles (M, 3, 3) have a free voxel in front of them."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-12)
    free = np.zeros(len(corners), bool)
    for distance in FREE_DISTANCES:
        positions = corners.mean(axis=1) + distance * voxels.voxel_size * normals
        index = np.floor((positions - voxels.origin) / voxels.voxel_size).astype(int)
        inside = ((index >= 0) & (index < voxels.states.shape)).all(axis=1)
        free[inside] |= voxels.states[tuple(index[inside].T)] == FREE
    return free


def _dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    for axis in range(3):
        mask = mask | np.roll(mask, 1, axis) | np.roll(mask, -1, axis)
    return mask


def _densities(density: Density, positions: NDArray[np.float64]) -> NDArray[np.float32]:
    chunks = torch.from_numpy(positions.astype(np.float32)).split(CHUNK)
    return torch.cat([density(chunk) for chunk in chunks]).cpu().numpy()


def _colors(
    render_rays: RenderRays, positions: Positions, normals: NDArray[np.float32],
    viewpoints: NDArray[np.float32], ray_start: float,
) -> Colors:  # fmt: skip
    """Return the colors of positions on the surface as seen from the nearest viewpoint in front.

    The rays begin at a distance ray_start [m] from the surface. Where a ray is transparent, as
    where there was no ray in training, the color is that of the nearest neighbor.
    """
    colors, opacities = torch.empty(len(positions), 3), torch.empty(len(positions))
    for start in range(0, len(positions), CHUNK):
        chunk = slice(start, start + CHUNK)
        rays = positions[chunk, None] - viewpoints
        lengths = np.linalg.norm(rays, axis=-1)
        behind = (rays * normals[chunk, None]).sum(-1) >= 0
        nearest = np.where(behind, np.inf, lengths).argmin(axis=1)[:, None]
        directions = np.take_along_axis(rays, nearest[..., None], axis=1)[:, 0]
        directions /= np.take_along_axis(lengths, nearest, axis=1)
        count = len(directions)
        colors[chunk], _, opacities[chunk] = render_rays(Rays(
            torch.from_numpy(positions[chunk] - ray_start * directions),
            torch.from_numpy(directions), torch.zeros(count),
            torch.zeros(count, 3, dtype=torch.uint8)))
    colors /= opacities.clamp(min=MIN_OPACITY)[:, None]
    visible = opacities.numpy() > MIN_OPACITY
    if visible.any() and not visible.all():
        _, nearest = cKDTree(positions[visible]).query(positions[~visible])
        colors[~visible] = colors[visible][nearest]
    return (colors.clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8)

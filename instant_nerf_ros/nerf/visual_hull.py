"""Visual hull: where something may be whose silhouettes are known (Laurentini 1994)."""
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Alpha
from instant_nerf_ros.nerf.camera import Camera

CELLS = 40  # of the cube along each axis
PASSES = 3  # each in the box that the one before has left
MAX_IMAGES = 40  # that are looked at, spread over all
MISSING = 0.02  # share of the images that may not see a point opaque: masks have errors


def visual_hull(
    alphas: Sequence[Alpha], cameras: Sequence[Camera], T_world_cameras: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return points (N, 3), a lattice, in the visual hull of alphas (H, W); N may be 0.

    Points that a camera does not have in its image are judged by the others.
    """
    chosen = np.unique(np.linspace(0, len(alphas) - 1, MAX_IMAGES).astype(int))
    positions = T_world_cameras[:, :3, 3]
    center = _focus(T_world_cameras)
    half = np.full(3, np.linalg.norm(positions - center, axis=-1).max())
    hull = np.empty((0, 3))
    for _ in range(PASSES):
        steps = [np.linspace(c - h, c + h, CELLS) for c, h in zip(center, half)]
        lattice = np.stack(np.meshgrid(*steps, indexing='ij'), -1).reshape(-1, 3)
        seen, opaque = np.zeros((2, len(lattice)), dtype=int)
        margin = float(np.linalg.norm(half)) / (CELLS - 1)  # half the diagonal of a cell
        for k in chosen:
            _look(lattice, margin, alphas[k], cameras[k], T_world_cameras[k], seen, opaque)
        inside = (seen > len(chosen) / 2) & (opaque >= (1 - MISSING) * seen)
        if not inside.any():
            return hull
        hull = lattice[inside]
        cell = 2 * half / (CELLS - 1)
        low, high = hull.min(0) - cell, hull.max(0) + cell
        center, half = (low + high) / 2, (high - low) / 2
    return hull


def _look(
    points: NDArray[np.float64], margin: float, alpha: Alpha, camera: Camera,
    T_world_camera: NDArray[np.float64], seen: NDArray[np.int64], opaque: NDArray[np.int64],
) -> None:  # fmt: skip
    """Count which points (N, 3) an image sees, and which have something opaque within a margin."""
    local = (points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]
    with np.errstate(invalid='ignore'):
        pixels = camera.project(local)
        inside = ((pixels >= 0) & (pixels <= (camera.width - 1, camera.height - 1))).all(1)
    u, v = pixels[inside].round().astype(int).T
    radius = np.ceil(margin * camera.fx / local[inside, 2].clip(min=1e-9)).astype(int)
    sums = np.pad((alpha > 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    top, bottom = (v - radius).clip(min=0), (v + radius + 1).clip(max=camera.height)
    left, right = (u - radius).clip(min=0), (u + radius + 1).clip(max=camera.width)
    count = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    seen += inside
    opaque[np.flatnonzero(inside)] += count > 0


def _focus(T_world_cameras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point (3,) that is nearest to the optical axes of all cameras."""
    axes, positions = T_world_cameras[:, :3, 2], T_world_cameras[:, :3, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None]
    # The second term makes the equations solvable where all axes are parallel.
    matrix = across.sum(0) + 1e-9 * np.eye(3)
    return np.asarray(np.linalg.solve(matrix, (across @ positions[..., None]).sum(0)[:, 0]
                                      + 1e-9 * positions.mean(0)))

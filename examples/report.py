"""The figures and pictures of a map and of rendered views."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from drawing import draw_map, draw_views, save
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import (
    depth_errors,
    grid_agreement,
    has_depth,
    points_agreement,
    project,
    psnr,
)
from instant_nerf_ros.nerf.config import MapConfig
from instant_nerf_ros.nerf.products.exports import write_map

MAX_VIEWS = 4  # in a picture

View = tuple[Frame, NDArray[np.uint8], NDArray[np.float32]]  # and its rendered color and depth
Grid = tuple[NDArray[np.int8], NDArray[np.floating], float]  # states, origin [m], cell size [m]
Position = tuple[float, float, float]  # m


def evaluate(
    views: Sequence[View], points: NDArray[np.floating], grid: Grid, reference: Grid | None,
) -> dict[str, float | list[float]]:  # fmt: skip
    """Return the figures of views, of the centers (N, 3) of occupied voxels, and of a map.

    grid: a map (ny, nx); reference: voxels (nx, ny, nz), if known. The PSNR is the mean over the
    views of the PSNR of each; depth errors are those of all pixels together.
    """
    figures = {}
    if views:
        figures['psnr_db_of_views'] = [
            round(psnr(color, frame.image), 2) for frame, color, _ in views]
        figures['psnr_db'] = round(float(np.mean(figures['psnr_db_of_views'])), 2)
    pairs = [(depth, frame.depth) for frame, _, depth in views if frame.depth is not None]
    if pairs:
        errors = np.concatenate([depth_errors(*pair) for pair in pairs])
        measured = sum(int(has_depth(depth).sum()) for _, depth in pairs)
        figures['depth_pixels_rendered'] = round(len(errors) / measured, 4)
        if len(errors):
            figures['depth_l1_mean_cm'] = round(100 * float(errors.mean()), 2)
            figures['depth_l1_median_cm'] = round(100 * float(np.median(errors)), 2)
    if reference is not None:
        states, origin, voxel_size = reference
        band = MapConfig()
        true_cells = project(states, origin, voxel_size, band.min_height, band.max_height)
        cells, map_origin, _ = grid
        agreement = {
            **{f'occupied_{key}': value for key, value in points_agreement(
                points, states, origin, voxel_size).items()},
            **{f'map_{key}': value for key, value in grid_agreement(
                cells.T, map_origin, voxel_size, true_cells.T, origin[:2]).items()}}
        figures.update({key: round(float(value), 4) for key, value in agreement.items()})
    return figures


def summary(results: Mapping[str, Any]) -> list[str]:
    """Return phrases with the figures of evaluate()."""
    parts = []
    if 'psnr_db' in results:
        count = len(results['psnr_db_of_views'])
        parts.append(f"PSNR {results['psnr_db']:.1f} dB, mean of {count} held-out views")
    if 'depth_l1_mean_cm' in results:
        parts.append(f"depth error {results['depth_l1_mean_cm']:.1f} cm mean, "
                     f"{results['depth_l1_median_cm']:.1f} cm median")
    if 'occupied_found' in results:
        parts.append(f"occupied voxels {_percent(results['occupied_found'])} found, "
                     f"{_percent(results['occupied_correct'])} correct")
        parts.append(f"free map cells {_percent(results['map_free_wrong'])} wrong, "
                     f"{_percent(results['map_free_far_wrong'])} by more than a cell")
    return parts or ['no ground truth to compare with']


def write_pictures(
    folder: Path, name: str, results: Mapping[str, Any], grid: Grid, path: Sequence[Position],
    views: Sequence[View],
) -> None:  # fmt: skip
    """Write map.pgm, map.yaml, map.png and, if there are views, views.png."""
    write_map(folder, *grid)
    title = name[:1].upper() + name[1:]
    conditions = (
        f"{results['drive_s']:.0f} s of driving, {results['settle_s']:.0f} s of settling, "
        f"{results['keyframes']} keyframes{'' if results['with_depth'] else ' without depth'}, "
        f"{results['steps']} steps on {results['backend']}")
    save(folder / 'map.png', draw_map(*grid, path, title, [conditions, *_pairs(summary(results))]))
    if views:
        chosen = np.linspace(0, len(views) - 1, min(MAX_VIEWS + 2, len(views))).round()
        chosen = chosen[1:-1] if len(chosen) > MAX_VIEWS else chosen
        rows = [(*views[index], f"{results['psnr_db_of_views'][index]:.1f} dB")
                for index in chosen.astype(int)]
        save(folder / 'views.png', draw_views(rows, f'{title}: held-out views'))


def _pairs(parts: list[str]) -> list[str]:
    return ['; '.join(parts[index:index + 2]) for index in range(0, len(parts), 2)]


def _percent(fraction: float) -> str:
    return f'{100 * fraction:.1f} %'

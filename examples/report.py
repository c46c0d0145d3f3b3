"""Judge what was mapped, and write it down."""
import numpy as np
from drawing import draw_map, draw_views, save

from instant_nerf_ros.data.metrics import (
    depth_errors,
    grid_agreement,
    measured,
    points_agreement,
    project,
    psnr,
)
from instant_nerf_ros.nerf.config import MapConfig
from instant_nerf_ros.nerf.products.exports import write_map

SHOWN_VIEWS = 4


def judge(views, points, grid, reference):
    """Return the figures of views [(frame, color, depth)], points (N, 3) and a map, as a dict.

    grid: cells, origin and resolution. reference: states, origin and voxel size, or None. The
    PSNR is the mean over the views of each view's; depth errors are pooled over all pixels.
    """
    figures = {}
    if views:
        figures['psnr_db_of_views'] = [
            round(psnr(color, frame.image), 2) for frame, color, _ in views]
        figures['psnr_db'] = round(float(np.mean(figures['psnr_db_of_views'])), 2)
    pairs = [(depth, frame.depth) for frame, _, depth in views if frame.depth is not None]
    if pairs:
        errors = np.concatenate([depth_errors(*pair) for pair in pairs])
        true = sum(int(measured(truth).sum()) for _, truth in pairs)
        figures['depth_pixels_rendered'] = round(len(errors) / true, 4)
        if len(errors):
            figures['depth_l1_mean_cm'] = round(100 * float(errors.mean()), 2)
            figures['depth_l1_median_cm'] = round(100 * float(np.median(errors)), 2)
    if reference is not None:
        states, origin, voxel_size = reference
        band = MapConfig()
        truth = project(states, origin, voxel_size, band.min_height, band.max_height)
        cells, map_origin, _ = grid
        agreement = {
            **{f'occupied_{key}': value for key, value in points_agreement(
                points, states, origin, voxel_size).items()},
            **{f'map_{key}': value for key, value in grid_agreement(
                cells.T, map_origin, voxel_size, truth.T, origin[:2]).items()}}
        figures.update({key: round(float(value), 4) for key, value in agreement.items()})
    return figures


def summary(results):
    """Return sentences with the figures of judge()."""
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
    return parts or ['no truth to compare with']


def write_pictures(folder, name, results, grid, path, views):
    """Write map.pgm, map.yaml, map.png and, where there are views, views.png."""
    write_map(folder, *grid)
    title = name[:1].upper() + name[1:]
    how = f"{results['drive_s']:.0f} s of driving, {results['settle_s']:.0f} s of settling, " \
        f"{results['keyframes']} keyframes{'' if results['with_depth'] else ' without depth'}, " \
        f"{results['steps']} steps on {results['backend']}"
    save(folder / 'map.png', draw_map(*grid, path, title, [how, *_pairs(summary(results))]))
    if views:
        shown = np.linspace(0, len(views) - 1, min(SHOWN_VIEWS + 2, len(views))).round()
        shown = shown[1:-1] if len(shown) > SHOWN_VIEWS else shown
        rows = [(*views[index], f"{results['psnr_db_of_views'][index]:.1f} dB")
                for index in shown.astype(int)]
        save(folder / 'views.png', draw_views(rows, f'{title}: views that were held out'))


def _pairs(parts):
    return ['; '.join(parts[index:index + 2]) for index in range(0, len(parts), 2)]


def _percent(share):
    return f'{100 * share:.1f} %'

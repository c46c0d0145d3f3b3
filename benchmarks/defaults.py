"""What the defaults of `fit` lose against settings by hand, at the same number of steps."""
import tempfile
from pathlib import Path

import numpy as np
from datasets import DATA
from report import Table, spread

from instant_nerf_ros.scenes import evaluate, fit

STEPS = 1000
# Metres per unit, and all settings that otherwise follow from what is seen.
BY_HAND = {
    'fox': (0.3, {
        'sampling.near': 0.2, 'sampling.far': 6.0, 'sampling.min_step': 0.02,
        'field.finest_cell': 0.005, 'field.coarsest_cell': 1.28, 'occupancy.voxel_size': 0.05,
        'occupancy.length': 10.0, 'occupancy.width': 10.0, 'occupancy.height': 5.0}),
    'wrist': (0.183, {
        'sampling.near': 0.1, 'sampling.far': 2.0, 'sampling.min_step': 0.005,
        'field.finest_cell': 0.002, 'field.coarsest_cell': 0.5, 'occupancy.voxel_size': 0.02,
        'occupancy.length': 4.0, 'occupancy.width': 4.0, 'occupancy.height': 4.0}),
    'kitchen': (1.0, {
        'sampling.near': 0.3, 'sampling.far': 5.0, 'sampling.min_step': 0.02,
        'field.finest_cell': 0.005, 'field.coarsest_cell': 1.28, 'occupancy.voxel_size': 0.05,
        'occupancy.length': 10.0, 'occupancy.width': 10.0, 'occupancy.height': 5.0}),
}
BY_HAND['kitchen_b'] = BY_HAND['kitchen']


def measure(options):
    """Return the table of held-out PSNR with the defaults and with settings by hand."""
    rows = []
    for name, (scale, settings) in BY_HAND.items():
        if not (DATA / name).is_dir():
            print(f'not measured: {name}, which is not in {DATA} (set INSTANT_NERF_DATA)')
            continue
        defaults, by_hand = (
            [_quality(DATA / name, *way, seed) for seed in range(options.seeds)]
            for way in ((None, {}), (scale, settings)))
        rows.append([name, spread(defaults), spread(by_hand),
                     spread(np.subtract(defaults, by_hand))])
    return [Table([f'{STEPS:,} steps', 'defaults: PSNR [dB]', 'by hand [dB]',
                   'difference [dB]'], rows)]


def _quality(data, scale, settings, seed):
    """Return the mean PSNR [dB] of held-out views."""
    with tempfile.TemporaryDirectory() as folder:
        scene = fit(data, Path(folder) / 'scene', steps=STEPS, scale=scale,
                    settings={**settings, 'seed': seed})
    return evaluate(scene).mean('psnr')

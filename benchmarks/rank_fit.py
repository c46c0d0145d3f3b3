"""Worker: fits a scene as one of several ranks; rank 0 prints figures as JSON.

Usage: rank_fit.py DATA STEPS SAMPLES [NAME=VALUE ...], with the variables of torchrun, or alone.
"""
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

from instant_nerf_ros.fit import share_machine

share_machine()


def main(data, steps, samples, *assignments):
    """Fit and print."""
    from instant_nerf_ros.nerf.joining import join
    from instant_nerf_ros.scenes import evaluate, fit
    from instant_nerf_ros.scenes.cli import _settings
    warnings.simplefilter('ignore')
    ranks = join()
    trained = []  # processor time and steps

    def observe(progress):
        if progress.record:
            trained.append((time.process_time(), progress.record.steps))

    with tempfile.TemporaryDirectory() as folder:
        scene = fit(data, Path(folder) / 'scene', steps=int(steps), ranks=ranks,
                    on_progress=observe, settings={
                        'sampling.samples_per_step': int(samples), **_settings(assignments)})
    ranks.leave()
    if ranks.rank == 0:
        seconds, count = (last - first for first, last in zip(trained[0], trained[-1]))
        print(json.dumps({
            'psnr': evaluate(scene).mean('psnr'), 'ms': 1000 * seconds / count,
            **{name: count / int(steps) for name, count in ranks.sent.items()}}))


main(*sys.argv[1:])

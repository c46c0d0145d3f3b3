"""The effect of loop closures: drifting poses that are corrected, beside exact poses."""
import time

import numpy as np
from agreement import agreement, aligned
from datasets import load, load_ground_truth
from quality import evaluate
from report import Table
from scipy.spatial.transform import Rotation

DISTANCE, ANGLE = 0.15, 3.0  # m, degrees around the vertical: drift of the last image
BEFORE = 30.0  # seconds of training before the loop closure
MARKS = 5.0, 15.0  # seconds of training after that


def measure(options):
    """Return the table of the quality before and after a loop closure, of one run."""
    rows = []
    for with_depth in (True, False):
        scene = load('kitchen', with_depth)
        if scene is None:
            break
        scene.trained()  # compiles
        truth = load_ground_truth('kitchen')
        drifts = [_drift(share) for share in np.linspace(0, 1, len(scene.train))]
        exact, _ = _mapper(scene, [np.eye(4)] * len(drifts))
        drifted, ids = _mapper(scene, drifts)
        rows.append([scene.title, 'before', *_figures(drifted, scene, truth),
                     *_figures(exact, scene, truth), None])
        begin = time.perf_counter()
        drifted.correct_poses(
            {number: np.linalg.inv(drift) for number, drift in zip(ids, drifts)})
        seconds = time.perf_counter() - begin
        for since, mark in zip((0.0, *MARKS), MARKS):
            for mapper in (drifted, exact):
                _train(mapper, mark - since)
            rows.append([scene.title, f'{mark:g} s after', *_figures(drifted, scene, truth),
                         *_figures(exact, scene, truth), seconds if mark == MARKS[0] else None])
    return [Table([
        'scene', 'loop closed', 'drifted: PSNR [dB]', 'depth L1 [cm]', 'occupied found [%]',
        'correct [%]', 'never drifted: PSNR [dB]', 'depth L1 [cm]', 'occupied found [%]',
        'correct [%]', 'correction [s]'], rows)]


def _drift(share):
    """Return T_drifted_true (4, 4) of an image: a share of the drift of the last one."""
    T_drifted_true = np.eye(4)
    T_drifted_true[:3, :3] = Rotation.from_euler('z', share * ANGLE, degrees=True).as_matrix()
    T_drifted_true[0, 3] = share * DISTANCE
    return T_drifted_true


def _mapper(scene, drifts):
    """Return a mapper of images with drifting poses after BEFORE seconds, and the keyframe ids."""
    mapper = scene.mapper()
    ids = [
        mapper.add(frame.image, frame.camera, drift @ frame.T_world_camera,
                   frame.depth if scene.with_depth else None)
        for frame, drift in zip(scene.train, drifts)]
    _train(mapper, BEFORE)
    return mapper, ids


def _train(mapper, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        mapper.step()


def _figures(mapper, scene, truth):
    grid = mapper.voxels()
    figures = agreement(aligned(
        grid.states, grid.origin, (truth.states, truth.origin, truth.voxel_size)), truth.states)
    return [*map(float, evaluate(mapper, scene.held_out)),
            figures['occupied found, within a voxel [%]'],
            figures['occupied correct, within a voxel [%]']]

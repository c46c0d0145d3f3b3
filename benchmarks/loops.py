"""What closing a loop does: poses that drift, corrected later, beside those that were right."""
import time

import numpy as np
from agreement import agreement, aligned
from datasets import load, load_truth
from quality import judge
from report import Table
from scipy.spatial.transform import Rotation

DISTANCE, ANGLE = 0.15, 3.0  # m, degrees around the vertical: drift of the last image
LEARNT = 30.0  # seconds of training before the loop is closed
MARKS = 5.0, 15.0  # seconds of training after that


def measure(options):
    """Return the table of what is learnt after a loop was closed, of one run."""
    rows = []
    for with_depth in (True, False):
        scene = load('kitchen', with_depth)
        if scene is None:
            break
        scene.trained()  # compiles
        truth = load_truth('kitchen')
        drifts = [_drift(share) for share in np.linspace(0, 1, len(scene.train))]
        right = _learnt(scene, [np.eye(4)] * len(drifts))
        wrong = _learnt(scene, drifts)
        rows.append([scene.title, 'before', *_judged(wrong, scene, truth),
                     *_judged(right, scene, truth), None])
        begin = time.perf_counter()
        wrong.correct({number: np.linalg.inv(drift) for number, drift in enumerate(drifts)})
        seconds = time.perf_counter() - begin
        for since, mark in zip((0.0, *MARKS), MARKS):
            for mapper in (wrong, right):
                _train(mapper, mark - since)
            rows.append([scene.title, f'{mark:g} s after', *_judged(wrong, scene, truth),
                         *_judged(right, scene, truth), seconds if mark == MARKS[0] else None])
    return [Table([
        'scene', 'loop closed', 'drifted: PSNR [dB]', 'depth L1 [cm]', 'occupied found [%]',
        'correct [%]', 'never drifted: PSNR [dB]', 'depth L1 [cm]', 'occupied found [%]',
        'correct [%]', 'correction [s]'], rows)]


def _drift(share):
    """Return T_drifted_true (4, 4) of an image, a share of the way to the last one."""
    T_drifted_true = np.eye(4)
    T_drifted_true[:3, :3] = Rotation.from_euler('z', share * ANGLE, degrees=True).as_matrix()
    T_drifted_true[0, 3] = share * DISTANCE
    return T_drifted_true


def _learnt(scene, drifts):
    mapper = scene.mapper()
    for frame, drift in zip(scene.train, drifts):
        mapper.add(frame.image, frame.camera, drift @ frame.T_world_camera,
                   frame.depth if scene.with_depth else None)
    _train(mapper, LEARNT)
    return mapper


def _train(mapper, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        mapper.step()


def _judged(mapper, scene, truth):
    grid = mapper.voxels()
    found = agreement(aligned(
        grid.states, grid.origin, (truth.states, truth.origin, truth.size)), truth.states)
    return [*map(float, judge(mapper, scene.held_out)),
            found['occupied found, within a voxel [%]'],
            found['occupied correct, within a voxel [%]']]

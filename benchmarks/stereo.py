"""Distances by stereo of one moving camera, against the depth images of the same frames."""
import dataclasses
import time

import cv2
import numpy as np
from datasets import ALL_IMAGES, SETTINGS, load
from report import Table

from instant_nerf_ros.nerf import Config, backends, replace
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.motion.structure_from_motion import StructureFromMotion

SCENES = 'kitchen', 'flat', 'flat, imperfect'  # kitchen_b is only reported: add it by hand
POSE_NOISE = 0.005, np.radians(0.3)  # metres, and radians, of the imperfect flat
FOCAL_ERROR, RADIAL = 0.01, -0.05  # of its CameraInfo, and k1 of its lens
NEAR = 0.05, 0.10  # m
HEADER = ['scene', 'align', 'pixels [%]', 'median error [%]', '[cm]', 'within 5 cm [%]',
          '10 cm [%]', 'bias [%]', 'scale of images [%]', 'error / sigma', 'beyond 3 sigma [%]',
          'time [ms]']  # fmt: skip


def measure(options):
    """Return the table of errors; the time is of one core, an image."""
    del options
    return [Table(HEADER, [
        row for name in SCENES for align in (False, True) for row in _row(name, align)])]


def _row(name, align):
    frames = _frames(name)
    if frames is None:
        return
    config = replace(Config(), {**ALL_IMAGES, 'motion.align': align})
    keyframes, random = Keyframes(config.keyframes), np.random.default_rng(0)
    motion = StructureFromMotion(config.motion, backends.select('cpu'))
    by_id, estimates, seconds = {}, [], 0.0
    for frame in frames:
        by_id[keyframes.add(frame.image, frame.camera, frame.T_world_camera)] = frame
        begin = time.process_time()
        estimates.append(motion.add_keyframe(
            keyframes, random, angular_velocity=frame.angular_velocity))
        seconds += time.process_time() - begin
    estimates = [estimate for estimate in estimates if estimate is not None]
    errors = [_errors(estimate, by_id[estimate.keyframe]) for estimate in estimates]
    depth, sigma, error = np.concatenate(errors).T
    biases = [np.median(part[:, 2] / part[:, 0]) for part in errors if len(part)]
    share = np.concatenate([np.isfinite(estimate.depth).ravel() for estimate in estimates])
    yield [
        name, align, 100 * share.mean(), 100 * np.median(abs(error) / depth),
        100 * np.median(abs(error)), *(100 * (abs(error) < near).mean() for near in NEAR),
        100 * np.median(error / depth), 100 * np.std(biases),
        1.4826 * np.median(abs(error / sigma)), 100 * (abs(error) > 3 * sigma).mean(),
        1e3 * seconds / len(frames)]
    if align:
        print(name, motion.alignment.report(), flush=True)


def _errors(estimate, frame):
    """Return true depth, standard deviation and error (N, 3) [m] of the pixels of an estimate."""
    row, column = np.nonzero(np.isfinite(estimate.depth))
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(estimate.matrix).T
    depth, sigma = estimate.depth[row, column], estimate.sigma[row, column]
    # Where the depth image says it, by its own lens.
    camera = frame.true_camera if isinstance(frame, Imperfect) else frame.camera
    pixels = np.round(np.nan_to_num(camera.project(rays), nan=-1)).astype(int)
    inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(-1)
    true = np.zeros(len(depth))
    true[inside] = frame.depth[pixels[inside, 1], pixels[inside, 0]]
    known = true > 0
    return np.stack([true, sigma, depth - true], -1)[known]


@dataclasses.dataclass(frozen=True)
class Imperfect:
    """A frame of the flat with a noisy pose, and a lens that is not as its CameraInfo says."""

    image: np.ndarray
    camera: object  # as the CameraInfo says
    T_world_camera: np.ndarray
    depth: np.ndarray
    true_camera: object
    angular_velocity: None = None


def _frames(name):
    if name == 'flat, imperfect':
        random = np.random.default_rng(7)
        return [_imperfect(frame, random) for frame in load('flat', True).train]
    SETTINGS.setdefault(name, ALL_IMAGES)
    scene = load(name, True)
    return scene and scene.train


def _imperfect(frame, random):
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(random.normal(scale=POSE_NOISE[1], size=3))[0]
    T[:3, 3] = random.normal(scale=POSE_NOISE[0], size=3)
    true = dataclasses.replace(
        frame.camera, distortion_model='plumb_bob', distortion=(RADIAL, 0.0, 0.0, 0.0))
    rays = true.directions() / true.directions()[:, 2:]
    columns, rows = frame.camera.project(rays.astype(np.float64)).astype(np.float32).T.reshape(
        2, true.height, true.width)
    image, depth = (
        cv2.remap(part, columns, rows, how, borderMode=border) for part, how, border in (
            (frame.image, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE),
            (frame.depth, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)))
    camera = dataclasses.replace(
        frame.camera, fx=frame.camera.fx * (1 + FOCAL_ERROR),
        fy=frame.camera.fy * (1 + FOCAL_ERROR))
    return Imperfect(image, camera, frame.T_world_camera @ T, depth, true)

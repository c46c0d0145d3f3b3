"""The effect of noisy poses on images with depth, corrected or not, beside the given poses."""
import math

import numpy as np
from agreement import agreement, aligned
from datasets import load, load_ground_truth
from report import Table
from scipy.spatial.transform import Rotation

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.depth_registration import register
from instant_nerf_ros.nerf.motion.depth_surface import DepthSurface
from instant_nerf_ros.simulation.imperfections import Imperfections, with_pose_noise

NOISE = Imperfections(position_noise=0.02, rotation_noise=math.radians(1.0))
GATES = 0.1, 0.1, 0.05, 0.05, 0.05  # m, of the iterations of a registration
NEIGHBORS = 8  # keyframes with which a held-out image is registered
WEAK_PRIOR = np.repeat([math.radians(20.0), 0.5], 3)  # rad, m
STEPS = 1500  # of training, after the last image
RUNS = ('as given', False, False), ('as given', False, True), (
    'noisy', True, False), ('noisy', True, True)  # poses, with noise, corrected


def measure(options):
    """Return the table of views, voxels and poses with and without noise and corrections."""
    rows = []
    for name in ('flat', 'kitchen'):
        scene = load(name, with_depth=True)
        if scene is None:
            break
        scene.trained()  # compiles
        truth, random = load_ground_truth(name), np.random.default_rng(0)
        given = np.stack([frame.T_world_camera for frame in scene.train])
        noisy = np.stack([with_pose_noise(pose, NOISE, random) for pose in given])
        noisy = np.linalg.inv(_common_motion(noisy, given)) @ noisy  # no measurement tells it
        for title, with_noise, corrected in RUNS:
            rows.append([scene.title, title, 'yes' if corrected else 'no', *_figures(
                scene, truth, noisy if with_noise else given, given, corrected)])
    return [Table([
        'scene', 'poses', 'motion.align_depth', 'PSNR [dB]', 'PSNR, views registered [dB]',
        'occupied: IoU [%]', 'positions off [mm]', 'rotations off [degree]'], rows)]


def _figures(scene, truth, poses, given, corrected):
    """Return the figures of a map of poses (N, 4, 4), up to a common motion from those given."""
    mapper = scene.mapper(settings={'motion.align_depth': corrected})
    for frame, pose in zip(scene.train, poses):
        mapper.add(frame.image, frame.camera, pose, frame.depth)
    grid = mapper.voxels()
    voxels = agreement(aligned(
        grid.states, grid.origin, (truth.states, truth.origin, truth.voxel_size)), truth.states)
    for _ in range(STEPS):
        mapper.step()
    used = mapper.keyframe_poses()
    T_used_given = _common_motion(used, given)
    views = [T_used_given @ frame.T_world_camera for frame in scene.held_out]
    surfaces = [_surface(frame) for frame in scene.train]
    registered = [
        _registered(_surface(frame), view, surfaces, used)
        for frame, view in zip(scene.held_out, views)]
    off = np.linalg.inv(T_used_given @ given) @ used
    angles = Rotation.from_matrix(off[:, :3, :3]).magnitude()
    return [_quality(mapper, scene, views), _quality(mapper, scene, registered),
            voxels['occupied: IoU [%]'],
            round(1000 * _root_mean_square(np.linalg.norm(off[:, :3, 3], axis=-1)), 3),
            round(math.degrees(_root_mean_square(angles)), 4)]


def _quality(mapper, scene, poses):
    """Return the mean PSNR [dB] of the held-out views at poses (H, 4, 4)."""
    return float(np.mean([
        psnr(mapper.render(frame.camera, pose).color, frame.image)
        for frame, pose in zip(scene.held_out, poses)]))


def _surface(frame):
    return DepthSurface.of(frame.image, np.asarray(frame.depth, np.float32), frame.camera)


def _registered(surface, pose, surfaces, poses):
    """Return the pose of a surface that fits best to the nearest of other ones at their poses.

    Where poses are corrected, a view is to be seen from where its image was taken in the map (Lin
    et al. 2021, "BARF", section 4).
    """
    nearest = np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=-1).argsort()[:NEIGHBORS]
    for gate in GATES:
        hessian, gradient = np.diag(WEAK_PRIOR**-2), np.zeros(6)
        for k in nearest:
            found = register(surface, surfaces[k], np.linalg.inv(poses[k]) @ pose, gate)
            if found is not None:
                hessian, gradient = hessian + found.hessian, gradient + found.gradient
        pose = epipolar.apply_motion(pose, -np.linalg.solve(hessian, gradient))
    return pose


def _common_motion(poses, given):
    """Return the motion (4, 4) from given poses (N, 4, 4) to others that fits best."""
    motion = np.eye(4)
    rotations = poses[:, :3, :3] @ given[:, :3, :3].transpose(0, 2, 1)
    motion[:3, :3] = Rotation.from_matrix(rotations).mean().as_matrix()
    motion[:3, 3] = (poses[:, :3, 3] - given[:, :3, 3] @ motion[:3, :3].T).mean(0)
    return motion


def _root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values))))

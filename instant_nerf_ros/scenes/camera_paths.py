"""Camera paths: an orbit, and a spline through cameras.

Poses are T_world_camera (4, 4) of optical frames, as everywhere.
"""
import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.nerf.camera import check_pose

FULL_CIRCLE_GAP = math.radians(90)  # between cameras; with a wider one they do not surround
TURN = 0.5  # of the extent of the cameras: a translation that takes as long as a turn by a radian
MIN_UP = 0.1  # length of the mean of upward directions, if they have anything in common
MEAN_UP = 1e-3  # weight of that mean
MIN_DISTANCE = 1e-6  # of translation and turn, between two cameras


@dataclasses.dataclass(frozen=True)
class CameraPath:
    """The cameras of a video, frame by frame."""

    cameras: list[Camera]  # of one size
    T_world_camera: NDArray[np.float64]  # (N, 4, 4)
    fps: float


def orbit(T_world_camera: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return count poses on a circle like that of cameras (K, 4, 4), at their distance and height.

    If the cameras look at a common point, so do the poses; if they look outward, as in a room,
    the poses do. Where the cameras surround nothing, as photos from one side, the poses swing
    over the arc on which there are cameras, since elsewhere nothing was seen. The first pose
    follows the last one. Raises ValueError without a camera.
    """
    poses = _checked(T_world_camera)
    positions, forward = poses[:, :3, 3], poses[:, :3, 2]
    up = _up(poses)
    focus = _focus(positions, forward)
    outward = np.mean(((focus - positions) * forward).sum(-1) > 0) < 0.5
    center = positions.mean(axis=0) if outward else focus
    east, north = _plane(up)
    offsets = positions - center
    reach = -forward if outward else offsets  # from the middle of the circle to the camera
    angles = np.arctan2(reach @ north, reach @ east)
    radius = float(np.median(np.hypot(offsets @ north, offsets @ east)))
    height = float(np.median(offsets @ up))
    pitch = float(np.median(forward @ up))
    result = []
    for angle in _swing(angles, count):
        outside = math.cos(angle) * east + math.sin(angle) * north
        position = center + (-radius if outward else radius) * outside + height * up
        view = pitch * up - math.sqrt(1 - pitch**2) * outside
        target = position + view if outward else center
        result.append(look_at(position, target, up))
    return np.stack(result)


def spline(T_world_camera: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return count poses on a smooth path through cameras (K, 4, 4), from the first to the last.

    Positions follow a cubic spline, orientations one with continuous angular acceleration
    (scipy's RotationSpline). Cameras that are where the one before is are left out. Raises
    ValueError without two different cameras.
    """
    poses = _checked(T_world_camera)
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
    turns = (Rotation.from_matrix(poses[:-1, :3, :3]).inv()
             * Rotation.from_matrix(poses[1:, :3, :3])).magnitude()
    spread = np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0))
    lengths = steps + TURN * (spread if spread > 0 else 1.0) * turns
    poses = poses[np.concatenate([[True], lengths > MIN_DISTANCE])]
    if len(poses) < 2:
        raise ValueError('a spline needs two different cameras: give more, or use an orbit')
    times = np.concatenate([[0.0], np.cumsum(lengths[lengths > MIN_DISTANCE])])
    at = np.linspace(0.0, times[-1], count)
    result = np.tile(np.eye(4), (count, 1, 1))
    result[:, :3, 3] = CubicSpline(times, poses[:, :3, 3])(at)
    result[:, :3, :3] = RotationSpline(
        times, Rotation.from_matrix(poses[:, :3, :3]))(at).as_matrix()
    return result


def look_at(
    position: NDArray[np.float64], target: NDArray[np.float64], up: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return T_world_camera (4, 4) of an upright camera at a position that sees a target."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, np.cross(forward, right), forward, position])
    return pose


def _checked(T_world_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(T_world_camera):
        raise ValueError('a camera path needs at least one camera')
    return np.stack([check_pose(pose) for pose in T_world_camera])


def _up(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction (3,) that is orthogonal to the rows of all images.

    Where all rows are parallel, it is the mean of the upward directions.
    """
    right, mean = poses[:, :3, 0], -poses[:, :3, 1].mean(axis=0)
    if (length := float(np.linalg.norm(mean))) < MIN_UP:
        return np.array([0.0, 0.0, 1.0])  # cameras on all sides up: the z axis of the world
    mean /= length
    across = right.T @ right / len(right) + MEAN_UP * (np.eye(3) - np.outer(mean, mean))
    up = np.linalg.eigh(across)[1][:, 0]
    return np.asarray(up * np.sign(up @ mean))


def _focus(
    positions: NDArray[np.float64], forward: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the point (3,) nearest to all optical axes, in the sense of least squares."""
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    # A little of the unit matrix: parallel axes have no such point, it is near the cameras then.
    matrix = across.sum(axis=0) + 1e-6 * len(across) * np.eye(3)
    right = (across @ positions[:, :, None]).sum(axis=0)[:, 0]
    return np.asarray(np.linalg.solve(matrix, right + 1e-6 * positions.sum(axis=0)))


def _plane(up: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors that are orthogonal to up and to each other."""
    east = np.cross(np.eye(3)[np.abs(up).argmin()], up)
    east /= np.linalg.norm(east)
    return east, np.cross(up, east)


def _swing(angles: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return count angles over the circle, or forth and back over the arc with angles (K,)."""
    ordered = np.sort(angles % (2 * math.pi))
    gaps = np.diff(ordered, append=ordered[0] + 2 * math.pi)
    widest = int(gaps.argmax())
    first = ordered[(widest + 1) % len(ordered)]
    phase = np.arange(count) / count * 2 * math.pi
    if gaps[widest] < FULL_CIRCLE_GAP:
        return np.asarray(first + phase)
    return np.asarray(first + (2 * math.pi - gaps[widest]) * (1 - np.cos(phase)) / 2)

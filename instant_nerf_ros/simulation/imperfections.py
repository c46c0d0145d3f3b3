"""What a real robot has wrong: depth, lens, shutter, brightness, and poses."""
import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.depth_sensor import DepthSensor

Pose = NDArray[np.float64]  # (4, 4)


@dataclasses.dataclass(frozen=True)
class Imperfections:
    """The errors of a robot's sensors; the default has none."""

    depth: DepthSensor = DepthSensor()
    focal_error: float = 0.0  # by which the lens's focal length exceeds that of the CameraInfo
    k1: float = 0.0  # radial distortion of the lens, of which the CameraInfo says nothing
    exposure: float = 0.0  # s, during which a row of the image collects light
    readout: float = 0.0  # s, from the first to the last row of the image (rolling shutter)
    gain: float = 0.0  # standard deviation of the logarithm of an image's brightness
    image_noise: float = 0.0  # standard deviation of each value, of 255
    position_noise: float = 0.0  # m, standard deviation along each axis
    rotation_noise: float = 0.0  # rad, root of the mean squared angle
    position_drift: float = 0.0  # m, largest slow error along x and along y
    yaw_drift: float = 0.0  # rad, largest slow error
    drift_period: float = 40.0  # s


EXACT = Imperfections()
REALISTIC = Imperfections(
    depth=DepthSensor(
        near=0.6, far=8.0, noise=0.0015, correlation=1.0, step=1 / 800, smear=0.25, flying=0.0003,
        needs_reflection=True),
    focal_error=0.01, k1=-0.02, exposure=0.01, readout=0.02, gain=0.15, image_noise=2.0,
    position_noise=0.005, rotation_noise=math.radians(0.3), position_drift=0.015,
    yaw_drift=math.radians(0.2))


def lens(camera: Camera, imperfections: Imperfections) -> Camera:
    """Return the true Camera of which `camera`, without distortion, is the CameraInfo."""
    scale = 1 + imperfections.focal_error
    distortion = (imperfections.k1, 0.0, 0.0, 0.0) if imperfections.k1 else ()
    return dataclasses.replace(
        camera, fx=camera.fx * scale, fy=camera.fy * scale,
        distortion_model='plumb_bob' if distortion else 'none', distortion=distortion)


def recorded(
    image: NDArray[np.uint8], imperfections: Imperfections, random: np.random.Generator,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return an image (H, W, 3) with an error of its brightness and noise."""
    if not imperfections.gain and not imperfections.image_noise:
        return image
    gain = math.exp(imperfections.gain * random.standard_normal())
    noise = imperfections.image_noise * random.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.round(gain * image + noise), 0, 255).astype(np.uint8)


class Drift:
    """A slow error of poses: sines of the time whose phases are random."""

    def __init__(self, imperfections: Imperfections, random: np.random.Generator) -> None:
        self._amplitude = np.array([
            imperfections.position_drift, imperfections.position_drift, imperfections.yaw_drift])
        self._rate = 2 * np.pi / imperfections.drift_period * random.uniform(0.7, 1.3, 3)
        self._phase = random.uniform(0, 2 * np.pi, 3)

    def displaced(self, T_world_camera: Pose, time: float) -> Pose:
        """Return a pose with the error at a time [s]; the camera turns about itself."""
        x, y, yaw = self._amplitude * np.sin(self._rate * time + self._phase)
        pose = T_world_camera.copy()
        cosine, sine = math.cos(yaw), math.sin(yaw)
        pose[:2, :3] = np.array([[cosine, -sine], [sine, cosine]]) @ pose[:2, :3]
        pose[:2, 3] += x, y
        return pose


def with_pose_noise(
    T_world_camera: Pose, imperfections: Imperfections, random: np.random.Generator,
) -> Pose:  # fmt: skip
    """Return a pose with independent errors of position and rotation."""
    pose = T_world_camera.copy()
    pose[:3, 3] += imperfections.position_noise * random.standard_normal(3)
    vector = imperfections.rotation_noise / math.sqrt(3) * random.standard_normal(3)
    pose[:3, :3] = pose[:3, :3] @ cv2.Rodrigues(vector)[0]
    return pose

"""Camera: intrinsics, and the ray direction of every pixel.

The camera frame is the ROS optical frame (x right, y down, z forward; REP-103). The centre of the
top-left pixel is at (0, 0), as in OpenCV and sensor_msgs/CameraInfo.
"""
import dataclasses
import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

COEFFICIENTS = {
    'none': (0,),
    'plumb_bob': (4, 5),
    'rational_polynomial': (8,),
    'equidistant': (4,),
}
# The pose of an optical frame in that of a body (x ahead, z up) at the same place (REP 103).
T_BODY_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
MAX_COORDINATE = 1e8  # metres, of a position in the world: farther ones are an error of units
UNDISTORTIONS = 5  # rounds; each divides the error by ten or more


@dataclasses.dataclass(frozen=True)
class Camera:
    """A calibrated camera. Raises ValueError for values that no camera has."""

    width: int  # pixels
    height: int  # pixels
    fx: float  # pixels
    fy: float  # pixels
    cx: float  # pixels, from the centre of the left column
    cy: float  # pixels, from the centre of the top row
    distortion_model: str = 'none'  # a key of COEFFICIENTS
    distortion: tuple = ()  # in OpenCV's order

    def __post_init__(self):
        """Check the values."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f'camera size must be positive, is {self.width} x {self.height}')
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f'camera intrinsics must be finite, are {numbers}')
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(
                f'focal lengths must be positive, are {self.fx} and {self.fy}: '
                'the camera is not calibrated')
        if self.distortion_model not in COEFFICIENTS:
            raise ValueError(
                f"unknown distortion model '{self.distortion_model}'; "
                f"known are: {', '.join(COEFFICIENTS)}")
        if len(self.distortion) not in COEFFICIENTS[self.distortion_model]:
            raise ValueError(
                f'{self.distortion_model} takes {COEFFICIENTS[self.distortion_model]} '
                f'coefficients, not {len(self.distortion)}')

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a camera is a small value, the table is not
    def directions(self):
        """Return the unit ray direction of every pixel, (height * width, 3) float32, row-major.

        In the camera frame. The z component is the cosine between the ray and the optical axis,
        so depth along the axis = distance along the ray * z.
        """
        columns, rows = np.meshgrid(np.arange(self.width), np.arange(self.height))
        pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(np.float64)
        matrix = np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])
        if self.distortion_model == 'none':
            image_plane = (pixels - [self.cx, self.cy]) / [self.fx, self.fy]
        else:
            coefficients = np.array(self.distortion, dtype=np.float64)
            image_plane = self._undistorted(pixels[:, None], matrix, coefficients)[:, 0]
        rays = np.concatenate([image_plane, np.ones((len(pixels), 1))], axis=-1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        rays = rays.astype(np.float32)
        rays.setflags(write=False)
        return rays

    def _undistorted(self, pixels, matrix, coefficients):
        """Return where the rays of pixels (N, 1, 2) cross the plane z = 1."""
        if self.distortion_model == 'equidistant':
            return cv2.fisheye.undistortPoints(pixels, matrix, coefficients)
        still = np.zeros(3)
        goal = pixels
        for _ in range(UNDISTORTIONS):
            # OpenCV stops after five iterations, up to two pixels off in the corners.
            image_plane = cv2.undistortPoints(goal, matrix, coefficients)
            points = np.concatenate([image_plane, np.ones_like(image_plane[..., :1])], axis=-1)
            projected, _ = cv2.projectPoints(points, still, still, matrix, coefficients)
            goal = goal + pixels - projected
        return image_plane

    def scaled(self, width, height):
        """Return the same camera with another image size (pixels), the field of view kept."""
        x, y = width / self.width, height / self.height
        return dataclasses.replace(
            self,
            width=width,
            height=height,
            fx=self.fx * x,
            fy=self.fy * y,
            # The corner of the image, not the centre of a pixel, stays where it is.
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
        )


def check_pose(pose: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a pose (4, 4) as float64.

    Raises ValueError unless it is a rotation and a translation of at most MAX_COORDINATE.
    """
    pose = np.array(pose, dtype=np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f'the pose must be a finite 4 x 4 matrix, is {pose}')
    rotation = pose[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > 1e-3 or np.linalg.det(rotation) < 0 or (pose[3] != (0, 0, 0, 1)).any():
        raise ValueError(f'the pose must be a rotation and a translation, is {pose}')
    if np.abs(pose[:3, 3]).max() > MAX_COORDINATE:
        raise ValueError(
            f'the camera is {np.abs(pose[:3, 3]).max():.3g} m from the origin, more than '
            f'{MAX_COORDINATE:.0e} m: are the poses in metres?')
    return pose

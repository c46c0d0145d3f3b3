"""Camera: intrinsics, and the ray direction of every pixel.

The camera frame is the ROS optical frame (x right, y down, z forward; REP-103). The center of the
top-left pixel is at (0, 0), as in OpenCV and sensor_msgs/CameraInfo.
"""
import dataclasses
import functools
import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Pose

COEFFICIENTS = {  # distortion model -> admissible numbers of coefficients
    'none': (0,),
    'plumb_bob': (4, 5),
    'rational_polynomial': (8,),
    'equidistant': (4,),
}
# Pose of an optical frame in a body frame (x forward, y left, z up; REP-103) of the same origin.
T_BODY_OPTICAL: Pose = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
MAX_COORDINATE = 1e8  # metres, of a position in the world: more is an error of units
UNDISTORTIONS = 5  # iterations; each divides the error by ten or more


@dataclasses.dataclass(frozen=True)
class Camera:
    """A calibrated camera. Raises ValueError for invalid intrinsics."""

    width: int  # pixels
    height: int  # pixels
    fx: float  # pixels
    fy: float  # pixels
    cx: float  # pixels, from the center of the left column
    cy: float  # pixels, from the center of the top row
    distortion_model: str = 'none'  # a key of COEFFICIENTS
    distortion: tuple[float, ...] = ()  # coefficients in OpenCV's order

    def __post_init__(self) -> None:
        """Check the intrinsics."""
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
    def directions(self) -> NDArray[np.float32]:
        """Return the ray direction of every pixel, (height * width, 3), row-major and read-only.

        They are unit vectors in the camera frame. The z component is the cosine between the ray
        and the optical axis: depth along the axis = distance along the ray * z.
        """
        columns, rows = np.meshgrid(np.arange(self.width), np.arange(self.height))
        pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(np.float64)
        matrix = np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])
        if self.distortion_model == 'none':
            image_plane = (pixels - [self.cx, self.cy]) / [self.fx, self.fy]
        else:
            coefficients = np.array(self.distortion, dtype=np.float64)
            image_plane = self._undistort(pixels[:, None], matrix, coefficients)[:, 0]
        rays = np.concatenate([image_plane, np.ones((len(pixels), 1))], axis=-1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        directions = rays.astype(np.float32)
        directions.setflags(write=False)
        return directions

    def _undistort(
        self, pixels: NDArray[np.float64], matrix: NDArray[np.float64],
        coefficients: NDArray[np.float64],
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return the normalized image coordinates (N, 1, 2) of pixels (N, 1, 2)."""
        if self.distortion_model == 'equidistant':
            return np.asarray(
                cv2.fisheye.undistortPoints(pixels, matrix, coefficients), dtype=np.float64)
        zero = np.zeros(3)
        # OpenCV stops after five iterations, with errors of up to two pixels in the corners. So
        # the reprojection error is added to its input.
        corrected = pixels
        for _ in range(UNDISTORTIONS):
            image_plane = np.asarray(
                cv2.undistortPoints(corrected, matrix, coefficients), dtype=np.float64)
            points = np.concatenate([image_plane, np.ones_like(image_plane[..., :1])], axis=-1)
            projected, _ = cv2.projectPoints(points, zero, zero, matrix, coefficients)
            corrected = corrected + pixels - np.asarray(projected)
        return image_plane

    def scaled(self, width: int, height: int) -> 'Camera':
        """Return a camera with the same field of view and another image size [pixels]."""
        x, y = width / self.width, height / self.height
        return dataclasses.replace(
            self,
            width=width,
            height=height,
            fx=self.fx * x,
            fy=self.fy * y,
            # The corner of the image is fixed, not the center of its first pixel.
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
        )


def check_pose(pose: ArrayLike) -> Pose:
    """Return a copy of a pose as float64.

    Raises ValueError unless it is a finite (4, 4) matrix, of a rotation and of a translation of at
    most MAX_COORDINATE.
    """
    T = np.array(pose, dtype=np.float64)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise ValueError(f'the pose must be a finite 4 x 4 matrix, is {T}')
    rotation, farthest = T[:3, :3], np.abs(T[:3, 3]).max()
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > 1e-3 or np.linalg.det(rotation) < 0 or (T[3] != (0, 0, 0, 1)).any():
        raise ValueError(f'the pose must be a rotation and a translation, is {T}')
    if farthest > MAX_COORDINATE:
        raise ValueError(
            f'the camera is {farthest:.3g} m from the origin, more than {MAX_COORDINATE:.0e} m: '
            'are the poses in metres?')
    return T

"""Camera: intrinsics, and the ray direction of every pixel.

The camera frame is the ROS optical frame (x right, y down, z forward; REP-103). The center of the
top-left pixel is at (0, 0), as in OpenCV and sensor_msgs/CameraInfo.
"""
import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf import distortion, fisheye
from instant_nerf_ros.nerf.arrays import Pose

COEFFICIENTS = {  # distortion model -> admissible numbers of coefficients
    'none': (0,),
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),  # with thin prism, with tilted sensor
    'equidistant': (4,),  # fisheye
}
MAX_PIXELS = 1e7  # of a focal length, or from a corner to the principal point
MARGIN = 0.02  # of the image plane at z = 1, around the field of view
# Pose of an optical frame in a body frame (x forward, y left, z up; REP-103) of the same origin.
T_BODY_OPTICAL: Pose = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
MAX_COORDINATE = 1e8  # metres, of a position in the world: more is an error of units


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'Camera':
        """Return a camera of what dataclasses.asdict gave, also after a way through JSON."""
        return cls(**{**values, 'distortion': tuple(values['distortion'])})

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
        if min(self.fx, self.fy) < 1 / MAX_PIXELS or not all(
                abs(number) <= MAX_PIXELS for number in numbers[:4]):
            raise ValueError(
                f'focal lengths and principal point must be pixels, are {numbers[:4]}')
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
        and the optical axis: depth along the axis = distance along the ray * z. A fisheye lens
        has rays with z <= 0, beside and behind the camera; their depth is the distance along the
        ray. A pixel that the distortion model does not reach has the direction of the nearest
        pixel that it does, see `nearest`.
        """
        directions = self._pixel_directions()
        if (nearest := self.nearest()) is not None:
            directions = directions[nearest]
        directions.setflags(write=False)
        return directions

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def nearest(self) -> NDArray[np.int64] | None:
        """Return for every pixel the index (height * width,) of the nearest one that has a ray.

        None if all pixels have a ray. Others lie outside the circle of a fisheye image, or where
        the polynomial of the distortion has no inverse. Raises ValueError if no pixel has a ray.
        """
        has_ray = np.isfinite(self._pixel_directions()).all(axis=-1)
        if has_ray.all():
            return None
        if not has_ray.any():
            raise ValueError(
                f'no pixel has a ray by {self.distortion_model} {self.distortion}: '
                'calibrate the camera')
        missing = (~has_ray).astype(np.uint8).reshape(self.height, self.width)
        _, labels = cv2.distanceTransformWithLabels(
            missing, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
        labels = np.asarray(labels).ravel()
        index_of_label = np.zeros(labels.max() + 1, np.int64)
        index_of_label[labels[has_ray]] = np.flatnonzero(has_ray)
        return index_of_label[labels]

    def has_rays(self) -> NDArray[np.bool_]:
        """Return which pixels (height * width,) have a ray."""
        nearest, index = self.nearest(), np.arange(self.width * self.height)
        return np.ones(len(index), bool) if nearest is None else nearest == index

    def filled(self, image: NDArray) -> NDArray:
        """Return an image (H, W, ...) whose pixels without a ray are those of `nearest`."""
        if (nearest := self.nearest()) is None:
            return image
        return image.reshape(-1, *image.shape[2:])[nearest].reshape(image.shape)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixels (N, 2) of points (N, 3) in the camera frame.

        Points without a pixel are NaN: those behind a camera that is no fisheye, and, if it has
        distortion, those outside the field of view, where the model does not hold.
        """
        focal, center = (self.fx, self.fy), (self.cx, self.cy)
        if self.distortion_model == 'equidistant':
            beside = np.hypot(points[:, 0], points[:, 1])
            radii = fisheye.radii(np.arctan2(beside, points[:, 2]), self.distortion)
            # Toward the axis, the ratio tends to 1 / z.
            on_axis = np.where(points[:, 2] > 0, 0.0, np.nan)
            scale = np.where(beside > 1e-12, radii / np.maximum(beside, 1e-12), on_axis)
            return np.asarray(points[:, :2] * scale[:, None] * focal + center)
        depth = np.where(points[:, 2:] > 0, points[:, 2:], np.nan)
        image_plane = points[:, :2] / depth
        if self.distortion_model == 'none' or not len(points):
            return np.asarray(image_plane * focal + center)
        # Far outside the image, the polynomials of the models return to it.
        visible = self.directions().astype(np.float64)
        visible = visible[:, :2] / visible[:, 2:]
        inside = ((image_plane >= visible.min(axis=0) - MARGIN)
                  & (image_plane <= visible.max(axis=0) + MARGIN)).all(axis=1)
        pixels = distortion.distort(np.nan_to_num(image_plane), self.matrix(), self.distortion)
        return np.where(inside[:, None], pixels, np.nan)

    def matrix(self) -> NDArray[np.float64]:
        """Return the intrinsics as a matrix (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _pixel_directions(self) -> NDArray[np.float32]:
        """Return the unit direction (height * width, 3) of every pixel; NaN where it has none."""
        columns, rows = np.meshgrid(np.arange(self.width), np.arange(self.height))
        pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(np.float64)
        plane = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.distortion_model == 'equidistant':
            radii = np.hypot(plane[:, 0], plane[:, 1])
            angles = fisheye.angles(radii, self.distortion)
            scale = np.where(radii > 0, np.sin(angles) / np.maximum(radii, 1e-12), 0.0)
            rays = np.column_stack([plane * scale[:, None], np.cos(angles)])
        else:
            if self.distortion_model != 'none':
                plane = distortion.undistort(pixels, self.matrix(), self.distortion)
            rays = np.column_stack([plane, np.ones(len(plane))])
            rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        return rays.astype(np.float32)

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

"""Stereo image: the image of a keyframe as it is matched with others.

It is without the distortion of its lens and its rolling shutter, and has the same brightness and
contrast everywhere.
"""
import dataclasses
import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.distortion import distort
from instant_nerf_ros.nerf.motion import rolling_shutter

SWEPT_WIDTH = 160  # pixels, of the image for the plane sweep
SWEPT_WINDOW, REFINED_WINDOW = 7, 15  # pixels, in which brightness and contrast are normalized
NOISE = 4.0  # gray levels, a contrast that is not amplified
GAIN = 40.0  # standard deviation of normalized images, the scale of the costs of planes
UPSAMPLING = 2  # of the other images, whose nearest pixel is compared

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]  # columns and rows (H, W) in an image
Rotation = NDArray[np.float64]  # (3,) rad
NO_ROTATION = np.zeros(3)


@dataclasses.dataclass(frozen=True)
class UndistortedImage:
    """An image without lens distortion, prepared for matching."""

    gray: NDArray[np.uint8]  # (H, W)
    normalized: NDArray[np.float32]  # (H, W) with the same brightness and contrast everywhere
    upsampled: NDArray[np.float32]  # the same with UPSAMPLING times as many rows and columns
    matrix: NDArray[np.float64]  # (3, 3) intrinsics

    def pixels(self) -> NDArray[np.int64]:
        """Return the homogeneous pixels (H, W, 3)."""
        row, column = np.mgrid[: self.gray.shape[0], : self.gray.shape[1]]
        return np.stack([column, row, np.ones_like(row)], axis=-1)


PosedView = tuple[UndistortedImage, Pose]  # with T_world_camera


@dataclasses.dataclass(frozen=True)
class StereoImage:
    """The image of a keyframe that is matched with others, in two sizes."""

    keyframe: int  # id
    gray: NDArray[np.uint8]  # (H, W) as it was taken, by a camera
    camera: Camera
    rotation: Rotation  # of the camera during the readout, see rolling_shutter
    swept: UndistortedImage
    refined: UndistortedImage


def stereo_image(
    keyframe: int, gray: NDArray[np.uint8], camera: Camera, rotation: Rotation,
) -> StereoImage:  # fmt: skip
    """Return the StereoImage of a keyframe, by id, from an image (H, W) of a camera."""
    return StereoImage(
        keyframe, gray, camera, rotation,
        undistort(*scaled(gray, camera, SWEPT_WIDTH), rotation=rotation),
        undistort(gray, camera, REFINED_WINDOW, rotation))


def undistort(
    gray: NDArray[np.uint8], camera: Camera, window: int = SWEPT_WINDOW,
    rotation: Rotation = NO_ROTATION,
) -> UndistortedImage:  # fmt: skip
    """Return an image (H, W) of a camera without its distortion, normalized in a window.

    rotation (3,) [rad]: of the camera during the readout, see rolling_shutter.
    """
    if camera.distortion or rotation.any():
        # Where the model does not hold, the corner pixel is taken, which matches nothing. A black
        # border would be an edge that is not in the scene.
        gray = np.asarray(cv2.remap(
            gray, *_rolling(_sources(camera), camera, rotation), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
    image = gray.astype(np.float32)
    mean = cv2.blur(image, (window, window))
    variance = (cv2.blur(image * image, (window, window)) - mean * mean).clip(min=0)
    normalized = np.asarray(GAIN * (image - mean) / (np.sqrt(variance) + NOISE), np.float32)
    upsampled = cv2.resize(normalized, None, fx=UPSAMPLING, fy=UPSAMPLING)
    return UndistortedImage(
        gray, normalized, np.asarray(upsampled, np.float32), camera.matrix())


def _rolling(sources: Maps, camera: Camera, rotation: Rotation) -> Maps:
    """Return the sources of pixels in an image whose rows were exposed one after another."""
    if not rotation.any():
        return sources
    row, column = np.ogrid[: camera.height, : camera.width]
    x = ((column - camera.cx) / camera.fx).astype(np.float32)
    y = ((row - camera.cy) / camera.fy).astype(np.float32)
    times = rolling_shutter.exposure_times(row, camera.height).astype(np.float32)
    still_x, still_y = rolling_shutter.global_shutter(x, y, times, -rotation)
    columns, rows = sources
    return columns + camera.fx * (still_x - x), rows + camera.fy * (still_y - y)


@functools.lru_cache(maxsize=8)
def _sources(camera: Camera) -> Maps:
    """Return columns and rows (H, W) in the image of a camera of pixels without distortion."""
    if _only_grows(camera):
        columns, rows = cv2.initUndistortRectifyMap(
            camera.matrix(), np.array(camera.distortion), None, camera.matrix(),
            (camera.width, camera.height), cv2.CV_32FC1)
        return np.asarray(columns, np.float32), np.asarray(rows, np.float32)
    row, column = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([column.ravel(), row.ravel(), np.ones(row.size)], axis=-1)
    sources = camera.project(pixels @ np.linalg.inv(camera.matrix()).T)
    columns, rows = np.nan_to_num(sources, nan=-1.0).astype(np.float32).T.reshape(
        2, camera.height, camera.width)
    return columns, rows


def _only_grows(camera: Camera) -> bool:
    """Return whether the polynomials of a lens do not turn back within the image.

    Where they do, only the slower Camera.project finds what is outside the field of view.
    """
    if camera.distortion_model not in ('plumb_bob', 'rational_polynomial'):
        return False
    corners = np.array([[u, v] for u in (0, camera.width - 1) for v in (0, camera.height - 1)])
    rays = (corners - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    along = np.linspace(0, 1.05, 32)[:, None, None] * rays
    pixels = distort(along.reshape(-1, 2), camera.matrix(), camera.distortion)
    radii = np.linalg.norm(pixels - (camera.cx, camera.cy), axis=-1).reshape(along.shape[:2])
    return bool((np.diff(radii, axis=0) > 0).all())


def scaled(
    gray: NDArray[np.uint8], camera: Camera, width: int,
) -> tuple[NDArray[np.uint8], Camera]:  # fmt: skip
    """Return an image scaled down to at most a width [pixels], and its camera."""
    if camera.width <= width:
        return gray, camera
    camera = scaled_camera(camera, width)
    scaled = cv2.resize(gray, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, dtype=np.uint8), camera


def scaled_camera(camera: Camera, width: int) -> Camera:
    """Return a camera whose images are scaled down to at most a width [pixels]."""
    if camera.width <= width:
        return camera
    return camera.scaled(width, max(round(camera.height * width / camera.width), 1))

"""Images, depth and calibrations of recorded messages, decoded without ROS."""
import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

FISHEYE = 'equidistant', 'fisheye', 'kannala_brandt4'
MILLIMETRE = 0.001  # m; the unit of integer depth (REP 118)
SATURATED = 65535  # of 16 bits: farther than can be counted
PNG = b'\x89PNG'


def decode_color(message: Any, camera: Camera) -> NDArray[np.uint8]:
    """Return an Image or CompressedImage (H, W, 3) RGB; ValueError if it is not of the camera."""
    try:
        from rosbags.image import ImageError, message_to_cvimage
    except ImportError as error:
        raise ImportError(
            f'images of a bag need the rosbags-image package ({error}): '
            'pip install rosbags-image') from None
    try:
        image = message_to_cvimage(message, 'rgb8')
    except (ImageError, ValueError, cv2.error) as error:
        raise ValueError(f'an image cannot be decoded: {error}') from None
    if image is None or image.shape != (camera.height, camera.width, 3):
        raise ValueError(
            f'an image is not {camera.width} x {camera.height} as its CameraInfo says')
    return np.ascontiguousarray(image, np.uint8)


def decode_depth(message: Any) -> NDArray[np.float32] | None:
    """Return depth (H, W) [m], 0 where it is not measured; None if it cannot be decoded."""
    data = np.asarray(message.data, np.uint8).tobytes()
    if hasattr(message, 'format'):
        if message.format.startswith('32FC1') or PNG not in data[:64]:
            return None  # inverse depth, or RVL
        png = np.frombuffer(data, np.uint8)[data.index(PNG):]
        stored = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
        if stored is None:
            return None
    else:
        dtype = np.dtype('f4' if message.encoding == '32FC1' else 'u2').newbyteorder(
            '>' if message.is_bigendian else '<')
        if len(data) != message.height * message.step or (
                message.step < message.width * dtype.itemsize):
            return None
        rows = np.frombuffer(data, np.uint8).reshape(message.height, message.step)
        stored = np.ascontiguousarray(rows[:, : message.width * dtype.itemsize]).view(dtype)
    depth = stored.astype(np.float32)
    if stored.dtype.kind == 'u':
        depth[stored == SATURATED] = 0
        depth *= np.float32(MILLIMETRE)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def calibration(message: Any, image_topic: str) -> Camera:
    """Return the Camera of a CameraInfo, at the size of its images.

    Rectified images have the intrinsics P and no distortion, others K and D. Binning and region of
    interest are applied. Raises ValueError if it is not calibrated.
    """
    k, p, d = (np.asarray(values, np.float64) for values in (message.k, message.p, message.d))
    model = message.distortion_model
    rectified = p[0] > 0 and (
        re.search(r'(?:^|[/_])rect', image_topic) is not None or not k[0] > 0)
    fx, cx, fy, cy = (p[0], p[2], p[5], p[6]) if rectified else (k[0], k[2], k[4], k[5])
    distortion: tuple[str, tuple[float, ...]] = ('none', ())
    if not rectified and d.any():
        distortion = 'equidistant' if model in FISHEYE else model, tuple(d.tolist())
    x, y, roi = max(message.binning_x, 1), max(message.binning_y, 1), message.roi
    return Camera(
        (roi.width or message.width) // x, (roi.height or message.height) // y, fx / x, fy / y,
        (cx - roi.x_offset) / x, (cy - roi.y_offset) / y, *distortion)

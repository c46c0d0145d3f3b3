"""The Camera of a CameraInfo: which of its numbers hold, and what is suspicious about them."""
import math
import re
from collections.abc import Iterator

import numpy as np
from sensor_msgs.msg import CameraInfo

from instant_nerf_ros.nerf.camera import Camera

FISHEYE = 'equidistant', 'fisheye', 'kannala_brandt4'
IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]  # of drivers without a calibration
POLYNOMIAL = 'plumb_bob', 'rational_polynomial'
UNDISTORTED = '', 'none', 'pinhole', 'perspective'  # names of no distortion, besides D = 0
MAX_CENTER_OFFSET = 0.2  # of the image size, between principal point and middle
SAME = 0.01  # relative difference between equal focal lengths
MAX_ASPECT = 1.2  # of the two focal lengths of a usual camera
MAX_TURN = 1.0  # degrees, between an image and its rectified one


def camera_from_message(message: CameraInfo, rectified: bool) -> Camera:
    """Return the Camera of a CameraInfo, at the size of its images.

    Rectified images have the intrinsics P and no distortion, others K and D. Binning and region
    of interest are applied. Raises ValueError for an uncalibrated camera, an unknown distortion
    model, or if K is that of the binned image already.
    """
    fx, fy, cx, cy = _intrinsics(message, rectified)
    roi = message.roi
    binning_x, binning_y = max(message.binning_x, 1), max(message.binning_y, 1)
    for axis, center, binning, size in (
            ('cx', cx, binning_x, message.width), ('cy', cy, binning_y, message.height)):
        if binning > 1 and _off_center(center, size) and not _off_center(center, size / binning):
            raise ValueError(
                f'{axis} = {center:g} is the middle of the binned image ({size} / {binning} '
                f'pixels), not of the full one: the calibration is binned already; set the '
                'binning of camera_info to 1, and its size to that of the image')
    model, distortion = ('none', ()) if rectified else _distortion(message)
    return Camera(
        width=(roi.width or message.width) // binning_x,
        height=(roi.height or message.height) // binning_y,
        fx=fx / binning_x,
        fy=fy / binning_y,
        cx=(cx - roi.x_offset) / binning_x,
        cy=(cy - roi.y_offset) / binning_y,
        distortion_model=model,
        distortion=distortion,
    )


def is_rectified(message: CameraInfo, image_topic: str) -> bool:
    """Return whether the images of a CameraInfo are rectified already.

    They are if their topic name has a part that begins with 'rect'; or if only P is filled, and
    the name has no part that begins with 'raw'. Zero distortion does not mean it: P may be that
    of another image, or the lens may be a fisheye.
    """
    if re.search(r'(?:^|[/_])rect', image_topic):
        return True
    only_p = message.k[0] == 0.0 and message.p[0] != 0.0 and not any(message.d)
    return bool(only_p) and not _is_raw(image_topic) and (
        message.distortion_model.lower() not in FISHEYE)


def suspicions(message: CameraInfo, rectified: bool, image_topic: str) -> Iterator[str]:
    """Yield a sentence about each number of a usable CameraInfo that is probably wrong."""
    name = 'P' if rectified and message.p[0] != 0.0 else 'K'
    width_focal, height_focal, cx, cy = _intrinsics(message, rectified)
    skew = (message.p if name == 'P' else message.k)[1]
    if max(width_focal, height_focal) > MAX_ASPECT * min(width_focal, height_focal):
        yield (
            f'the focal lengths in {name} are {width_focal:g} and {height_focal:g}: does the '
            'camera have pixels that are not square?')
    if skew != 0.0:
        yield f'{name}[1] = {skew:g} is a skew, which is not used: calibrate without skew'
    yield from _suspicious_poses(message, rectified)
    if not rectified and not any(message.d) and message.distortion_model.lower() not in (
            *POLYNOMIAL, *UNDISTORTED, *FISHEYE):
        yield (
            f"the distortion model '{message.distortion_model}' is not known, and D is zero: it "
            'is taken for a camera without distortion; rectify the image if it has one')
    for axis, center, size in (('cx', cx, message.width), ('cy', cy, message.height)):
        if _off_center(center, size):
            yield (
                f'{axis} = {center:g} in {name} is far from the middle of {size} pixels: if '
                'the calibration is of another resolution, correct camera_info')
    fx, px = message.k[0], message.p[0]
    if rectified and px == 0.0 and any(message.d):
        yield (
            f"P is empty and D is not zero, but '{image_topic}' is rectified: K is used without "
            "D; set 'rectification' to 'unrectified' if the image is not rectified")
    if (not rectified and not any(message.d) and fx and px
            and abs(fx - px) > SAME * fx and not _is_raw(image_topic)):
        yield (
            f'D is zero, and the focal lengths of K ({fx:g}) and P ({px:g}) differ: K is used; '
            "set 'rectification' to 'rectified' if the image is rectified")


def _suspicious_poses(message: CameraInfo, rectified: bool) -> Iterator[str]:
    """Yield a sentence if a camera may not be where its frame is."""
    if rectified:
        if message.p[0] != 0.0 and message.p[3] != 0.0:
            yield (
                f'P[3] says that the camera is {abs(message.p[3] / message.p[0]):g} m beside the '
                f"first one of a stereo pair: '{message.header.frame_id}' must be its own frame")
        return
    cosine = (np.reshape(message.r, (3, 3)).trace() - 1) / 2
    turn = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
    if any(message.r) and not turn <= MAX_TURN:
        yield (
            f'R turns the rectified image by {turn:.1f} degrees, which is not used: '
            f"'{message.header.frame_id}' is taken for the frame of the image as it is")


def _is_raw(image_topic: str) -> bool:
    return bool(re.search(r'(?:^|[/_])raw', image_topic))


def _intrinsics(message: CameraInfo, rectified: bool) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of the full image."""
    # Many drivers that do not rectify leave P empty.
    matrix, indices = (message.p, (0, 5, 2, 6)) if rectified and message.p[0] != 0.0 else (
        message.k, (0, 4, 2, 5))
    if matrix[0] == 0.0 or list(message.k) == IDENTITY:
        raise ValueError(
            f'K[0] is {matrix[0]:g}: the camera is not calibrated; calibrate it, e.g. with '
            'camera_calibration')
    fx, fy, cx, cy = (float(matrix[index]) for index in indices)
    return fx, fy, cx, cy


def _off_center(center: float, size: float) -> bool:
    return abs(center + 0.5 - size / 2) > MAX_CENTER_OFFSET * size


def _distortion(message: CameraInfo) -> tuple[str, tuple[float, ...]]:
    coefficients = [float(coefficient) for coefficient in message.d]
    while coefficients and coefficients[-1] == 0.0:
        coefficients.pop()
    count = len(coefficients)
    if message.distortion_model.lower() in FISHEYE:
        model, length = 'equidistant', 4  # not a pinhole camera, even if all coefficients are 0
    elif not coefficients:
        return 'none', ()
    elif message.distortion_model.lower() in POLYNOMIAL:
        # Some drivers name it plumb_bob and have the eight coefficients of rational_polynomial.
        model = 'plumb_bob' if count <= 5 else 'rational_polynomial'
        length = next((known for known in (5, 8, 12, 14) if known >= count), 14)
    else:
        raise ValueError(
            f"unknown distortion model '{message.distortion_model}'; known are: "
            'plumb_bob, rational_polynomial, equidistant; rectify the image and map from that')
    if count > length:
        raise ValueError(
            f'{message.distortion_model} with {count} coefficients is not supported; '
            'rectify the image and map from that')
    return model, tuple(coefficients + [0.0] * (length - count))

"""The camera of a frame of a transforms.json, and what is suspicious about its numbers."""
import math
from collections.abc import Iterator, Mapping
from typing import Any

from instant_nerf_ros.data.parsing import number, shortened, text
from instant_nerf_ros.nerf.camera import Camera

PERSPECTIVE = ('SIMPLE_PINHOLE', 'PINHOLE', 'SIMPLE_RADIAL', 'RADIAL', 'OPENCV', 'FULL_OPENCV')
# Keys of cameras of other models, and of other axes, in instant-ngp.
UNSUPPORTED = ('ftheta_p0', 'latlong', 'equirectangular', 'from_mitsuba', 'from_na')
PARAMETERS = ('k1', 'k2', 'k3', 'k4', 'p1', 'p2')  # in nerfstudio's distortion_params
MAX_CENTER_OFFSET = 0.2  # of the image size, between principal point and middle
SAME = 0.01  # relative difference between equal focal lengths


def camera_of(frame: Mapping[str, Any], width: int, height: int) -> Camera:
    """Return the Camera of a frame whose image is width x height [pixels].

    Raises ValueError if the frame has none, or one of another kind.
    """
    for key in UNSUPPORTED:
        if frame.get(key):
            raise ValueError(f'{key} is not supported: convert to a perspective camera of OpenGL')
    focal_x = number(frame, 'fl_x') or _focal_length(frame, 'camera_angle_x', width)
    focal_y = number(frame, 'fl_y') or _focal_length(frame, 'camera_angle_y', height)
    if not (focal_x or focal_y):
        raise ValueError('no focal length; give fl_x [pixels] or camera_angle_x [rad]')
    model = text(frame, 'camera_model') or 'OPENCV'
    fisheye = bool(frame.get('is_fisheye')) or model == 'OPENCV_FISHEYE'
    if not fisheye and model not in PERSPECTIVE:
        raise ValueError(
            f"camera_model {model} is not supported; use OPENCV_FISHEYE or one of "
            f"{', '.join(PERSPECTIVE)}")
    return Camera(
        width, height, focal_x or focal_y, focal_y or focal_x,
        # The center of the top-left pixel is (0.5, 0.5) there and (0, 0) here.
        number(frame, 'cx', width / 2) - 0.5, number(frame, 'cy', height / 2) - 0.5,
        *_distortion(frame, fisheye))


def suspicions(frame: Mapping[str, Any], camera: Camera) -> Iterator[str]:
    """Yield a sentence about each number of a frame with a Camera that is probably wrong."""
    for key, center, size in (
            ('cx', camera.cx, camera.width), ('cy', camera.cy, camera.height)):
        if abs(center + 0.5 - size / 2) > MAX_CENTER_OFFSET * size:
            yield (f'{key} = {center + 0.5:g} is far from the middle of {size} pixels: are the '
                   'intrinsics of another resolution?')
    for name, focal, angle, size in (
            ('fl_x', camera.fx, 'camera_angle_x', camera.width),
            ('fl_y', camera.fy, 'camera_angle_y', camera.height)):
        other = _focal_length(frame, angle, size)
        if number(frame, name) and other and abs(focal - other) > SAME * other:
            yield f'{name} = {focal:g} is used; {angle} would mean {other:g} pixels'
    if skew := number(frame, 'skew'):
        yield f'skew = {skew:g} is not used'


def _distortion(frame: Mapping[str, Any], fisheye: bool) -> tuple[str, tuple[float, ...]]:
    """Return the distortion model and its coefficients in OpenCV's order."""
    listed = frame.get('distortion_params')
    if listed is not None:
        if not isinstance(listed, list) or len(listed) > len(PARAMETERS):
            raise ValueError(
                f"distortion_params must be a list of {', '.join(PARAMETERS)}, is "
                f'{shortened(listed)}')
        frame = {**frame, **dict(zip(PARAMETERS, listed))}

    def values(*keys: str) -> tuple[float, ...]:
        return tuple(number(frame, key) for key in keys)

    if fisheye:
        return 'equidistant', values('k1', 'k2', 'k3', 'k4')
    if any(values('k4', 'k5', 'k6')):
        return 'rational_polynomial', values('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6')
    polynomial = values('k1', 'k2', 'p1', 'p2', 'k3')
    return ('plumb_bob', polynomial) if any(polynomial) else ('none', ())


def _focal_length(frame: Mapping[str, Any], key: str, size: int) -> float:
    """Return the focal length [pixels] for a field of view [rad] of so many pixels, or 0."""
    angle = number(frame, key)
    if not 0 <= angle < math.pi:
        raise ValueError(f'{key} must be between 0 and pi, is {angle:g}: is it in degrees?')
    return size / (2 * math.tan(angle / 2)) if angle else 0.0

"""The camera of the images, as the latest CameraInfo gives it."""
import re

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError, UnusableError


class Calibration:
    """Turns CameraInfo into a Camera, once for as long as it stays the same."""

    def __init__(self, rectification, image_topic):
        """Keep NodeConfig.rectification, and the topic, which tells where that is 'auto'."""
        self._rectification, self._image_topic = rectification, image_topic
        self._fields = None  # those that matter, of the latest CameraInfo
        self._camera = None
        self._error = None
        self.frame_id = ''  # the optical frame

    def update(self, message):
        """Take a sensor_msgs/CameraInfo; return whether it replaced another calibration."""
        fields = (
            message.header.frame_id, message.width, message.height, message.distortion_model,
            tuple(message.d), tuple(message.k), tuple(message.p),
            message.binning_x, message.binning_y, message.roi)
        if fields == self._fields:
            return False
        replaced = self._fields is not None
        self._fields, self.frame_id = fields, message.header.frame_id
        self._camera, self._error = None, None
        try:
            self._camera = camera_from_message(message, self._is_rectified(message))
        except ValueError as error:
            self._error = error
        return replaced

    def _is_rectified(self, message):
        if self._rectification == 'auto':
            return is_rectified(message, self._image_topic)
        return self._rectification == 'rectified'

    def camera(self):
        """Return the Camera; raise NotYetError without CameraInfo, UnusableError for a bad one."""
        if self._error is not None:
            raise UnusableError('invalid camera_info', f"of '{self.frame_id}': {self._error}")
        if self._camera is None:
            raise NotYetError('no camera_info', 'none has come: remap camera_info')
        return self._camera


def camera_from_message(message, rectified):
    """Return the Camera of a sensor_msgs/CameraInfo, at the size of its images.

    rectified: the images are (P holds for them, without distortion) or are not (K and D).
    Binning and region of interest are taken into account. Raises ValueError for an
    uncalibrated camera (K[0] = 0) or a distortion that is not known.
    """
    if message.k[0] == 0.0:
        raise ValueError('K[0] is 0: the camera is not calibrated')
    # Many drivers leave P empty where they do not rectify.
    if rectified and message.p[0] != 0.0:
        fx, cx, fy, cy = (float(message.p[index]) for index in (0, 2, 5, 6))
    else:
        fx, cx, fy, cy = (float(message.k[index]) for index in (0, 2, 4, 5))
    roi = message.roi
    binning_x, binning_y = max(message.binning_x, 1), max(message.binning_y, 1)
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


def is_rectified(message, image_topic):
    """Guess whether the images of a sensor_msgs/CameraInfo are rectified already."""
    return bool(re.search(r'(?:^|[/_])rect', image_topic)) or (
        message.distortion_model != 'equidistant' and not any(message.d))


def _distortion(message):
    coefficients = [float(coefficient) for coefficient in message.d]
    while coefficients and coefficients[-1] == 0.0:
        coefficients.pop()
    if message.distortion_model in ('equidistant', 'fisheye'):
        model, length = 'equidistant', 4  # without coefficients it is still not a pinhole camera
    elif not coefficients:
        return 'none', ()
    elif message.distortion_model in ('plumb_bob', 'rational_polynomial'):
        # Some drivers say plumb_bob and give the eight coefficients of rational_polynomial.
        model, length = ('plumb_bob', 5) if len(coefficients) <= 5 else ('rational_polynomial', 8)
    else:
        raise ValueError(
            f"unknown distortion model '{message.distortion_model}'; known are: "
            'plumb_bob, rational_polynomial, equidistant')
    if len(coefficients) > length:
        raise ValueError(
            f'{message.distortion_model} with {len(coefficients)} coefficients is not supported; '
            'rectify the image and map from that')
    return model, tuple(coefficients + [0.0] * (length - len(coefficients)))

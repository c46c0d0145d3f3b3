"""The Camera of the images, from the latest CameraInfo."""
import re

from sensor_msgs.msg import CameraInfo

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError, UnusableError


class Calibration:
    """Converts CameraInfo to a Camera, only when it has changed."""

    def __init__(self, rectification: str, image_topic: str) -> None:
        """Use NodeConfig.rectification; for 'auto', the topic name counts, see is_rectified."""
        self._rectification, self._image_topic = rectification, image_topic
        self._fields: tuple | None = None  # the relevant ones of the latest CameraInfo
        self._camera: Camera | None = None
        self._error: ValueError | None = None
        self.frame_id = ''  # the optical frame

    def update(self, message: CameraInfo) -> bool:
        """Use a CameraInfo from now on, and return whether it replaced a different one."""
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

    def _is_rectified(self, message: CameraInfo) -> bool:
        if self._rectification == 'auto':
            return is_rectified(message, self._image_topic)
        return self._rectification == 'rectified'

    def camera(self) -> Camera:
        """Return the Camera.

        Raises NotYetError before the first CameraInfo, UnusableError if it is invalid.
        """
        if self._error is not None:
            raise UnusableError('invalid camera_info', f"of '{self.frame_id}': {self._error}")
        if self._camera is None:
            raise NotYetError('no camera_info', (
                'none has arrived: remap camera_info to the topic of the camera'))
        return self._camera


def camera_from_message(message: CameraInfo, rectified: bool) -> Camera:
    """Return the Camera of a CameraInfo, at the size of its images.

    Rectified images have the intrinsics P and no distortion, others K and D. Binning and region
    of interest are applied. Raises ValueError for an uncalibrated camera (K[0] = 0) or an unknown
    distortion model.
    """
    if message.k[0] == 0.0:
        raise ValueError(
            'K[0] is 0: the camera is not calibrated; calibrate it, e.g. with camera_calibration')
    # Many drivers that do not rectify leave P empty.
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


def is_rectified(message: CameraInfo, image_topic: str) -> bool:
    """Return whether the images of a CameraInfo are probably rectified already.

    They are if their topic name has a part that begins with 'rect', or if there is no distortion.
    """
    return bool(re.search(r'(?:^|[/_])rect', image_topic)) or (
        message.distortion_model != 'equidistant' and not any(message.d))


def _distortion(message: CameraInfo) -> tuple[str, tuple[float, ...]]:
    coefficients = [float(coefficient) for coefficient in message.d]
    while coefficients and coefficients[-1] == 0.0:
        coefficients.pop()
    if message.distortion_model in ('equidistant', 'fisheye'):
        model, length = 'equidistant', 4  # not a pinhole camera, even if all coefficients are 0
    elif not coefficients:
        return 'none', ()
    elif message.distortion_model in ('plumb_bob', 'rational_polynomial'):
        # Some drivers name it plumb_bob and have the eight coefficients of rational_polynomial.
        model, length = ('plumb_bob', 5) if len(coefficients) <= 5 else ('rational_polynomial', 8)
    else:
        raise ValueError(
            f"unknown distortion model '{message.distortion_model}'; known are: "
            'plumb_bob, rational_polynomial, equidistant; rectify the image and map from that')
    if len(coefficients) > length:
        raise ValueError(
            f'{message.distortion_model} with {len(coefficients)} coefficients is not supported; '
            'rectify the image and map from that')
    return model, tuple(coefficients + [0.0] * (length - len(coefficients)))

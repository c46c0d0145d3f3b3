"""Lens: focal length, first radial term and readout, estimated with the poses of the images."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

Array = NDArray[np.float64]

# Standard deviations, before any image, of the errors of a CameraInfo.
FOCAL_ERROR = 0.01  # of the focal length, as a share
RADIAL_ERROR = 0.05  # of k1
READOUT_ERROR = 0.02  # s, of the readout of a rolling shutter, which no CameraInfo tells
# Bundle adjustment takes its residuals for independent. They are not, within an image, so that its
# standard deviations of a lens are this much too small.
INFLATION = 6.0
# Errors of the estimates that more images do not reduce: other terms of the lens.
SYSTEMATIC_ERROR = np.array([0.003, 0.01, 0.001])
WRONG_FOCAL = 0.005  # share by which a focal length must differ to be called wrong
WRONG_RADIUS = 0.01  # share of the distance of a corner from the center, that k1 must move it
SIGNIFICANCE = 2.0  # standard deviations


@dataclasses.dataclass(frozen=True)
class LensEstimate:
    """What the images say about a CameraInfo."""

    focal: float = 1.0  # factor of its focal lengths
    radial: float = 0.0  # added to its first radial term, k1
    focal_error: float = FOCAL_ERROR  # standard deviation
    radial_error: float = RADIAL_ERROR  # standard deviation
    readout: float = 0.0  # s, from the first to the last row: of a rolling shutter
    readout_error: float = READOUT_ERROR  # standard deviation

    def camera(self, camera: Camera) -> Camera:
        """Return the corrected camera; a fisheye is as it was."""
        if camera.distortion_model == 'equidistant' or (self.focal, self.radial) == (1.0, 0.0):
            return camera
        coefficients = camera.distortion or (0.0,) * 5
        model = 'plumb_bob' if camera.distortion_model == 'none' else camera.distortion_model
        return dataclasses.replace(
            camera, fx=camera.fx * self.focal, fy=camera.fy * self.focal,
            distortion_model=model,
            distortion=(coefficients[0] + self.radial, *coefficients[1:]))

    def warning(self, camera: Camera) -> str | None:
        """Return a sentence with the better numbers if the camera looks wrong, else None."""
        corner = np.hypot(camera.width / camera.fx, camera.height / camera.fy) / 2
        focal_is_wrong = abs(self.focal - 1) > max(WRONG_FOCAL, SIGNIFICANCE * self.focal_error)
        radial_is_wrong = (abs(self.radial) * corner**2 > WRONG_RADIUS
                           and abs(self.radial) > SIGNIFICANCE * self.radial_error)
        if not (focal_is_wrong or radial_is_wrong):
            return None
        better = self.camera(camera)
        return (
            f'the calibration of the camera looks wrong: the images fit fx = {better.fx:.1f}, '
            f'fy = {better.fy:.1f} and k1 = {better.distortion[0]:.3f} better than fx = '
            f'{camera.fx:.1f}, fy = {camera.fy:.1f} and k1 = {(*camera.distortion, 0.0)[0]:.3f}; '
            'calibrate it')


class Lens:
    """Corrects keypoints by x -> x (1 + s) (1 + k |x|^2), and estimates s, k and the readout.

    A window of images is adjusted again and again while it moves. Each adjustment adds the share
    1 / windows of what its images say to the prior of the next ones, so that each image counts
    once.
    """

    def __init__(self, camera: Camera) -> None:
        self.values = np.zeros(3)  # s, k and readout
        # A fisheye sees rays beside the camera, where this model does not hold.
        rigid = camera.distortion_model == 'equidistant'
        errors = [*((1e-9, 1e-9) if rigid else (FOCAL_ERROR, RADIAL_ERROR)), READOUT_ERROR]
        self.precision = INFLATION**2 * np.diag(np.array(errors) ** -2.0)  # of the prior
        self.information = np.zeros(3)  # precision @ mean of the prior

    @property
    def readout(self) -> float:
        """Return the time from the first to the last row [s]."""
        return float(self.values[2])

    def correct(self, keypoints: Array) -> Array:
        """Return corrected keypoints (M, 3)."""
        scale, radial, _ = self.values
        square = (keypoints[:, :2] ** 2).sum(-1, keepdims=True)
        factors = (1 + scale) * (1 + radial * square)
        return np.concatenate([keypoints[:, :2] * factors, keypoints[:, 2:]], axis=-1)

    def log_derivatives(self, keypoints: Array) -> Array:
        """Return the derivatives (M, 2) of the logarithms of corrected keypoints by s and k.

        The correction scales x and y alike, so that both have the same derivatives.
        """
        scale, radial, _ = self.values
        square = (keypoints[:, :2] ** 2).sum(-1)
        return np.stack([
            np.full(len(square), 1 / (1 + scale)), square / (1 + radial * square)], axis=-1)

    def update(self, change: Array, covariance: Array, windows: int) -> None:
        """Add a change (3,) to the values, whose covariance (3, 3) includes the prior."""
        self.values = self.values + change
        posterior = np.linalg.inv(covariance)
        self.information = self.information + (
            posterior @ self.values - self.information) / windows
        self.precision = self.precision + (posterior - self.precision) / windows

    def estimate(self) -> LensEstimate:
        """Return focal length, radial term and readout."""
        variances = np.diag(np.linalg.inv(self.precision))
        errors = np.hypot(INFLATION * np.sqrt(variances), SYSTEMATIC_ERROR)
        scale, radial, readout = self.values.tolist()
        focal_error, radial_error, readout_error = errors.tolist()
        return LensEstimate(
            1 / (1 + scale), -radial, focal_error, radial_error, readout, readout_error)

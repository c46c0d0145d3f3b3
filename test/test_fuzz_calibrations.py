"""Random calibrations, good ones with something wrong: a camera with rays, or a sentence."""
import collections
import warnings

import numpy as np
import pytest

pytest.importorskip('rclpy')

from sensor_msgs.msg import CameraInfo

from instant_nerf_ros.ros.inputs.camera_history import CameraHistory

pytestmark = pytest.mark.ros

COUNT = 3000
MODELS = (
    '', 'none', 'plumb_bob', 'Plumb_Bob', 'rational_polynomial', 'equidistant', 'fisheye',
    'kannala_brandt4', 'mei', 'thin_prism', '\u00e9')
TOPICS = '/image', '/camera/image_raw', '/left/image_rect', '/rect/image_raw', '', '/'
NUMBERS = 0.0, -1.0, 1.0, 0.3, 1e-300, 1e308, -1e308, np.nan, np.inf, -np.inf
SIZES = 0, 1, 5, 2**16, 2**32 - 1


class Grammar:
    """A random generator of CameraInfo."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def of(self, choices):
        """Return one of some choices."""
        return choices[self.random.integers(len(choices))]

    def unless(self, good, choices, probability=0.03):
        """Return a good value, or with a probability one of others."""
        return self.of(choices) if self.random.random() < probability else good

    def matrix(self, columns):
        """Return K or P, possibly empty, with good numbers but for a few."""
        focal = self.of((6.0, 8.0, 20.0))
        matrix = np.zeros((3, columns))
        matrix[0, 0], matrix[1, 1], matrix[:, 2] = focal, focal, (5.5, 3.5, 1.0)
        if self.random.random() < 0.2:
            matrix[:] = 0.0
        return [self.unless(float(number), NUMBERS, 0.01) for number in matrix.ravel()]

    def message(self):
        """Return a CameraInfo of images of 12 x 8 pixels."""
        scale = self.of((0.0, 1e-3, 0.1, 1.0))
        binning = self.unless(1, (0, 2, 3, 2**31), 0.2)
        message = CameraInfo(
            width=self.unless(12, SIZES) * max(min(binning, 3), 1), height=self.unless(8, SIZES),
            distortion_model=self.of(MODELS),
            d=[self.unless(scale * float(number), NUMBERS, 0.01) for number in self.random.normal(
                size=self.of((0, 0, 4, 5, 8, 12, 14, self.random.integers(20))))],
            k=self.matrix(3), p=self.matrix(4), r=self.unless(
                np.eye(3).ravel().tolist(), ([0.0] * 9, [np.nan] * 9, [0.5] * 9), 0.1),
            binning_x=binning, binning_y=self.unless(1, (0, 2, 2**31), 0.1))
        for name in ('x_offset', 'y_offset', 'width', 'height'):
            setattr(message.roi, name, self.unless(0, (1, 4, 2**32 - 1), 0.03))
        return message


def test_every_calibration_is_a_camera_with_rays_or_a_sentence():
    grammar, outcomes, said = Grammar(1), collections.Counter(), []
    for _ in range(COUNT):
        history = CameraHistory(
            grammar.of(('auto', 'auto', 'rectified', 'unrectified')), grammar.of(TOPICS),
            said.append)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            history.add(grammar.message())
            calibration, _ = history.at(1, '', True)
            camera = calibration.camera
            if camera is None:
                outcomes['refused'] += 1
                assert len(calibration.error.split()) >= 3
                continue
            outcomes[camera.distortion_model] += 1
            if camera.width * camera.height < 1000:
                check_rays(camera)
    assert min(outcomes[model] for model in (
        'refused', 'none', 'plumb_bob', 'rational_polynomial', 'equidistant')) > COUNT / 100
    assert len(said) > COUNT / 20 and all(len(sentence.split()) >= 5 for sentence in said)


def check_rays(camera):
    """Assert that rays are of unit length, and that those of pixels that have one lead back."""
    try:
        with np.errstate(over='ignore', invalid='ignore'):  # numbers may be huge
            directions = camera.directions()
    except ValueError as error:
        assert 'no pixel has a ray' in str(error)
        return
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, atol=1e-4)
    assert np.isfinite(directions).all() and camera.has_rays().any()

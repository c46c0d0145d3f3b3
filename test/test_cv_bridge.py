"""Images are decoded as by the real cv_bridge; skipped if it is not installed."""
import numpy as np
import pytest

pytestmark = pytest.mark.ros

pytest.importorskip('sensor_msgs')
cv_bridge = pytest.importorskip('cv_bridge', reason='needs cv_bridge')
from instant_nerf_ros.ros.inputs.encodings import (  # noqa: E402
    UnknownEncodingError,
    check_color,
    decode_color,
    decode_depth,
)

HEIGHT, WIDTH = 6, 8
CHANNELS = {
    'mono8': 1, 'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono16': 1, 'rgb16': 3, 'bgr16': 3,
    '8UC1': 1, '8UC3': 3, 'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'yuv422': 2, 'yuv422_yuy2': 2}


def message_of(encoding):
    """Return a sensor_msgs/Image of noise, made by cv_bridge."""
    random = np.random.default_rng(0)
    dtype = np.uint16 if '16' in encoding else np.uint8
    pixels = random.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, CHANNELS[encoding]), dtype)
    bridge = cv_bridge.CvBridge()
    message = bridge.cv2_to_imgmsg(pixels.squeeze())  # as 8UC3: OpenCV has no YUV type
    message.encoding = encoding
    return message


@pytest.mark.parametrize('encoding', CHANNELS)
def test_colors_are_those_of_cv_bridge(encoding):
    message = message_of(encoding)
    if encoding in ('8UC1', '8UC3'):  # undefined in cv_bridge; drivers mean gray and BGR
        named = {'8UC1': 'mono8', '8UC3': 'bgr8'}[encoding]
        expected = cv_bridge.CvBridge().imgmsg_to_cv2(
            cv_bridge.CvBridge().cv2_to_imgmsg(
                cv_bridge.CvBridge().imgmsg_to_cv2(message), named), 'rgb8')
    else:
        expected = cv_bridge.CvBridge().imgmsg_to_cv2(message, 'rgb8')
    difference = np.abs(decode_color(message).astype(int) - expected.astype(int))
    assert difference.max() <= (1 if '16' in encoding else 0)  # rounded or truncated


def test_other_encodings_are_decoded_by_cv_bridge():
    pixels = np.full((HEIGHT, WIDTH, 4), (256 * 10, 256 * 20, 256 * 30, 0), np.uint16)
    message = cv_bridge.CvBridge().cv2_to_imgmsg(pixels, 'rgba16')
    check_color(message)
    assert np.abs(decode_color(message).astype(int) - (10, 20, 30)).max() <= 1


def test_unknown_encodings_are_refused_with_the_error_of_cv_bridge():
    message = message_of('rgb8')
    message.encoding = 'nonsense'
    for function in (check_color, decode_color):
        with pytest.raises(UnknownEncodingError, match="cv_bridge cannot decode 'nonsense'"):
            function(message)


def test_depth_is_that_of_cv_bridge():
    bridge = cv_bridge.CvBridge()
    millimetres = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 100
    metres = (millimetres * 0.001).astype(np.float32)
    for pixels, encoding in ((millimetres, '16UC1'), (metres, '32FC1')):
        np.testing.assert_allclose(
            decode_depth(bridge.cv2_to_imgmsg(pixels, encoding)), metres, rtol=1e-6)


def test_a_jpeg_of_cv_bridge_is_decoded():
    pixels = np.full((HEIGHT, WIDTH, 3), (30, 20, 10), np.uint8)  # BGR
    message = cv_bridge.CvBridge().cv2_to_compressed_imgmsg(pixels, 'png')
    assert (decode_color(message) == (10, 20, 30)).all()

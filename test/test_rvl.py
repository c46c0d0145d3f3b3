"""RVL against an encoder that follows the listing of its paper, number by number."""
import array
import struct

import numpy as np
import pytest

pytest.importorskip('rclpy')

from sensor_msgs.msg import CompressedImage

from instant_nerf_ros.ros.inputs.encodings import decode_depth
from instant_nerf_ros.ros.inputs.rvl import decode_rvl

pytestmark = pytest.mark.ros


def encode_rvl(image):
    """Return the RVL stream of a uint16 image (Wilson 2017, listing 1)."""
    nibbles = []

    def number(value):
        while True:
            group, value = value & 7, value >> 3
            nibbles.append(group | (8 if value else 0))
            if not value:
                return

    pixels = [int(pixel) for pixel in image.ravel()]
    place = previous = 0
    while place < len(pixels):
        begin = place
        while place < len(pixels) and not pixels[place]:
            place += 1
        number(place - begin)
        begin = place
        while place < len(pixels) and pixels[place]:
            place += 1
        number(place - begin)
        for pixel in pixels[begin:place]:
            delta = pixel - previous
            number(delta << 1 ^ delta >> 31)
            previous = pixel
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        sum(nibble << 28 - 4 * index for index, nibble in enumerate(nibbles[first : first + 8]))
        for first in range(0, len(nibbles), 8)]
    return struct.pack(f'<{len(words)}I', *words)


def images():
    """Return images by name, for all branches of the codec."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 65536, (13, 17), np.uint16)
    gaps = np.where(random.random((13, 17)) < 0.5, 0, noise).astype(np.uint16)
    ramp = np.arange(13 * 17, dtype=np.uint16).reshape(13, 17)
    steps = np.where(np.arange(17) % 5, 65535, 1)[None].repeat(13, 0).astype(np.uint16)
    return {'noise': noise, 'gaps': gaps, 'ramp': ramp, 'steps': steps,
            'nothing': np.zeros((13, 17), np.uint16), 'one pixel': np.full((1, 1), 7, np.uint16)}


@pytest.mark.parametrize('image', images().values(), ids=images().keys())
def test_decoding_inverts_encoding(image):
    height, width = image.shape
    np.testing.assert_array_equal(decode_rvl(encode_rvl(image), width, height), image)


def message_of(image, kind='16UC1', parameters=(0.0, 0.0)):
    """Return the message of compressed_depth_image_transport."""
    height, width = image.shape
    data = struct.pack('<iff', 0, *parameters) + struct.pack('<2I', width, height)
    return CompressedImage(
        format=f'{kind}; compressedDepth rvl', data=array.array('B', data + encode_rvl(image)))


def test_a_message_is_decoded_to_metres():
    counts = images()['gaps']
    np.testing.assert_allclose(decode_depth(message_of(counts)), counts / 1000, rtol=1e-6)


def test_inverse_depth_is_decoded():
    """The transport stores q = A / z + B of a z in metres."""
    a, b = 100.0 * 101.0, 1 - 100.0 * 101.0 / 10.0
    metres = np.linspace(0.5, 9.0, 221).reshape(13, 17)
    counts = np.round(a / metres + b).astype(np.uint16)
    decoded = decode_depth(message_of(counts, '32FC1', (a, b)))
    np.testing.assert_allclose(decoded, metres, rtol=0.01)


@pytest.mark.parametrize('length', [0, 11, 19, 20, 24, 60, 200])
def test_a_truncated_stream_is_refused(length):
    message = message_of(images()['noise'])
    message.data = message.data[:length]
    with pytest.raises(ValueError):
        decode_depth(message)


def test_random_bytes_are_refused_or_decoded():
    random = np.random.default_rng(2)
    for _ in range(300):
        data = random.integers(0, 256, random.integers(0, 300), np.uint8).tobytes()
        size = struct.pack('<2I', *random.integers(0, 60, 2)) if random.random() < 0.9 else b''
        message = CompressedImage(format='16UC1; compressedDepth rvl', data=array.array(
            'B', bytes(12) + size + data))
        try:
            assert decode_depth(message).dtype == np.float32
        except ValueError as error:
            assert str(error)

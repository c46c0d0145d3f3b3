"""Transparency of image files, in every way in which PNG and TIFF can say it."""
import struct
import zlib

import cv2
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.data.images import read_color_alpha
from instant_nerf_ros.nerf import Camera

CAMERA = Camera(10, 8, 9.0, 9.0, 4.5, 3.5)
SIZE = CAMERA.height, CAMERA.width
GRAY, COLOR, PALETTE, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6  # color types of PNG


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def write_png(path, values, kind, depth, *chunks):
    """Write values (H, W, channels) of so many bits as a PNG; chunks come before the pixels."""
    if depth < 8:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth:]
        rows = [np.packbits(row).tobytes() for row in bits.reshape(len(values), -1)]
    else:
        rows = [row.astype('>u2' if depth == 16 else np.uint8).tobytes() for row in values]
    height, width = values.shape[:2]
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, 0))
        + b''.join(chunk(*each) for each in chunks)
        + chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in rows)))
        + chunk(b'IEND', b''))


def check(path, color, alpha):
    """Compare a file with its true color (H, W, 3) and alpha (H, W), both of 0 to 255."""
    image, found = read_color_alpha(path, CAMERA)
    np.testing.assert_allclose(image, color, atol=1)  # OpenCV cuts 16 bits of gray off
    np.testing.assert_allclose(found, alpha, atol=0.5)


def integers(bits, *channels):
    return generator().integers(0, 2**bits, (*SIZE, *channels))


@pytest.mark.parametrize('depth', [1, 2, 4, 8])
@pytest.mark.parametrize('given', ['all', 'the first'])  # the others are opaque then
def test_entries_of_a_palette_are_transparent(tmp_path, depth, given):
    index = integers(depth)
    count = min(2**depth, 16)
    index %= count
    index[0, 0] = 0
    colors, alphas = integers(8, 3).reshape(-1, 3)[:count], np.arange(count) * 255 // count
    alphas[1 if given == 'the first' else count:] = 255
    stored = alphas[:1] if given == 'the first' else alphas
    write_png(tmp_path / 'x.png', index, PALETTE, depth,
              (b'PLTE', colors.astype(np.uint8).tobytes()),
              (b'tRNS', stored.astype(np.uint8).tobytes()))
    check(tmp_path / 'x.png', colors[index], alphas[index])


@pytest.mark.parametrize('depth', [1, 2, 4, 8, 16])
def test_one_gray_is_transparent(tmp_path, depth):
    gray = integers(depth)
    write_png(tmp_path / 'x.png', gray, GRAY, depth, (b'tRNS', struct.pack('>H', gray[3, 4])))
    color = np.repeat(gray[..., None] * (255 / (2**depth - 1)), 3, axis=-1)
    check(tmp_path / 'x.png', color, np.where(gray == gray[3, 4], 0, 255))


@pytest.mark.parametrize('depth', [8, 16])
def test_one_color_is_transparent(tmp_path, depth):
    color = integers(depth, 3)
    color[5] = color[3, 4]
    write_png(tmp_path / 'x.png', color, COLOR, depth,
              (b'tRNS', struct.pack('>HHH', *color[3, 4].tolist())))
    transparent = (color == color[3, 4]).all(-1)
    check(tmp_path / 'x.png', color * (255 / (2**depth - 1)), np.where(transparent, 0, 255))


@pytest.mark.parametrize('depth', [8, 16])
@pytest.mark.parametrize('kind', [GRAY_ALPHA, COLOR_ALPHA])
def test_alpha_is_a_channel_of_its_own(tmp_path, depth, kind):
    values = integers(depth, 2 if kind == GRAY_ALPHA else 4)
    write_png(tmp_path / 'x.png', values, kind, depth)
    scaled = values * (255 / (2**depth - 1))
    check(tmp_path / 'x.png', scaled[..., [0, 0, 0] if kind == GRAY_ALPHA else slice(3)],
          scaled[..., -1])


@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_colors_of_a_tiff_are_not_multiplied_by_alpha(tmp_path, kind):
    values = integers(8 * np.dtype(kind).itemsize, 4).astype(kind)
    assert cv2.imwrite(str(tmp_path / 'x.tiff'), values[..., [2, 1, 0, 3]])
    scaled = values * (255 / np.iinfo(kind).max)
    check(tmp_path / 'x.tiff', scaled[..., :3], scaled[..., 3])


@pytest.mark.parametrize('order', '<>')
def test_gray_tiffs_with_alpha_are_refused_and_others_are_read(tmp_path, order):
    for samples in (1, 2):
        pixels = np.full((*SIZE, samples), 77, np.uint8).tobytes()
        tags = [(256, SIZE[1]), (257, SIZE[0]), (258, 8), (259, 1), (262, 1), (273, 8),
                (277, samples), (278, SIZE[0]), (279, len(pixels))]
        if samples == 2:
            tags.append((338, 2))
        start = 8 + len(pixels)
        (tmp_path / 'x.tiff').write_bytes(
            (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(f'{order}I', start) + pixels
            + struct.pack(f'{order}H', len(tags))
            + b''.join(struct.pack(f'{order}HHIHH', tag, 3, 1, value, 0) for tag, value in tags)
            + bytes(4))
        if samples == 2:
            with pytest.raises(ValueError, match='x.tiff: alpha of a gray TIFF'):
                read_color_alpha(tmp_path / 'x.tiff', CAMERA)
        else:
            image, alpha = read_color_alpha(tmp_path / 'x.tiff', CAMERA)
            assert (image == 77).all() and alpha is None


@pytest.mark.parametrize('depth', [8, 16])
def test_an_image_that_is_opaque_everywhere_has_no_alpha(tmp_path, depth):
    values = integers(depth, 4)
    values[..., 3] = 2**depth - 1
    write_png(tmp_path / 'x.png', values, COLOR_ALPHA, depth)
    assert read_color_alpha(tmp_path / 'x.png', CAMERA)[1] is None
    gray = integers(depth)
    gray[gray == 7] = 8
    write_png(tmp_path / 'x.png', gray, GRAY, depth, (b'tRNS', struct.pack('>H', 7)))
    assert read_color_alpha(tmp_path / 'x.png', CAMERA)[1] is None

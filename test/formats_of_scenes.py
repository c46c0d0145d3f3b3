"""Cases of what `instant-nerf fit` reads: COLMAP, LLFF, phones, and folders of photos."""
import json
import struct
import zlib

import numpy as np
import photo_sets
from format_cases import READ, REFUSED, REPORTED, Case, Section
from photo_sets import CAMERA, room

from instant_nerf_ros.nerf.constants import MASKED_ALPHA
from instant_nerf_ros.scenes.photos import find_photos
from instant_nerf_ros.scenes.sources import open_source

COUNT = 3


def source(write, change=None):
    """Return a function that writes the painted room, and compares what is read with it.

    change(path) changes the folder before.
    """
    def run(path):
        frames = room(COUNT)
        write(path, frames)
        if change:
            change(path)
        opened = open_source(path)
        read = [frame for _, frame in opened.read(range(COUNT))]
        return len(opened.names) == COUNT and all(
            (got.image == frame.image).all() and abs(got.camera.fx - CAMERA.fx) < 1e-3
            and np.allclose(got.T_world_camera, frame.T_world_camera, atol=1e-5)
            for got, frame in zip(read, frames))
    return run


def cut(name):
    """Return a change that cuts a file in half."""
    return lambda path: (path / name).write_bytes(
        (path / name).read_bytes()[: (path / name).stat().st_size // 2])


def key(name, value, file='metadata.json'):
    """Return a change of a key of a JSON file; None removes it."""
    def change(path):
        document = json.loads((path / file).read_text())
        document[name] = value
        if value is None:
            del document[name]
        (path / file).write_text(json.dumps(document))
    return change


def bounds(change):
    """Return a change of the rows of poses_bounds.npy."""
    return lambda path: np.save(
        path / 'poses_bounds.npy', change(np.load(path / 'poses_bounds.npy')))


def photos(*names):
    """Return a function that finds photos of these names in a folder."""
    def run(path):
        for name in names:
            photo_sets.write_image(path / 'written.png', np.zeros((4, 4, 3), np.uint8))
            (path / 'written.png').rename(path / name)
        found = find_photos(path)[1]
        return found == [name for name in names if not name.endswith('.heic')]
    return run


def palette(path):
    """Return whether the alpha of a PNG with a palette is read."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack(
            '>I', zlib.crc32(kind + data))

    photo_sets.write_synthetic(path, room(6))
    rows = bytes([0, *[1] * CAMERA.width]) + bytes([0, *[0] * CAMERA.width]) * (CAMERA.height - 1)
    (path / 'train' / '000.png').write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', CAMERA.width, CAMERA.height, 8, 3, 0, 0, 0))
        + chunk(b'PLTE', bytes([200, 0, 0, 0, 90, 0])) + chunk(b'tRNS', bytes([0, 128]))
        + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
    [(_, frame)] = open_source(path).read([0])
    return (frame.alpha[0] == 128).all() and not frame.alpha[1:].any() and (
        frame.image[0] == (0, 90, 0)).all()


def masked(name, number=255, key=None):
    """Return a function that checks the mask of the first frame, in a file of that name.

    number: of the white pixels; key: of the frame in transforms.json that names the file.
    """
    def run(path):
        photo_sets.write_rgbd(path, room(1))
        white = np.zeros((CAMERA.height, CAMERA.width), bool)
        white[:, :20] = True
        photo_sets.write_image(path / name, (white[..., None] * np.full(3, number, np.uint8)))
        if key:
            document = json.loads((path / 'transforms.json').read_text())
            document['frames'][0][key] = name
            (path / 'transforms.json').write_text(json.dumps(document))
        [(_, frame)] = open_source(path).read([0])
        used = frame.alpha != MASKED_ALPHA
        return (used == (~white if 'dynamic' in name else white)).all() and (
            (frame.depth > 0) == used).all()
    return run


IMAGES = 'sparse/0/images.txt'
SCENES = Section('Photos and scans', (
    '`instant-nerf fit` reads these. Alpha is used there: what is transparent is learnt as empty. '
    'What a mask covers is neither trained on nor measured.'
), [
    Case('NeRF synthetic', READ, source(photo_sets.write_synthetic), 'poses, pixels'),
    Case('PNG with a palette and transparency', READ, palette, 'color, alpha'),
    *(Case(what, READ, masked(*arguments), 'alpha, depth') for what, *arguments in (
        ('`mask_path`, white is used', 'm.png', 255, 'mask_path'),
        ('`masks/NAME.png.png` of COLMAP', 'masks/000.png.png'),
        ('`masks/NAME.png`', 'masks/000.png'),
        ('`masks/NAME.png` with labels', 'masks/000.png', 1),
        ('`dynamic_mask_NAME.png`, black is used', 'images/dynamic_mask_000.png'))),
    Case('COLMAP model as text', READ, source(photo_sets.write_colmap_text), 'poses, pixels'),
    Case('COLMAP model as text, cut off', REFUSED, source(
        photo_sets.write_colmap_text, lambda path: (path / IMAGES).write_text('1 1 0 0')),
        'is damaged or truncated'),
    Case('COLMAP model without images', REFUSED, source(
        photo_sets.write_colmap_text, lambda path: (path / IMAGES).write_text('# empty\n')),
        'has no image'),
    Case('LLFF', READ, source(photo_sets.write_llff), 'poses, pixels'),
    Case('LLFF, `poses_bounds.npy` cut off', REFUSED, source(
        photo_sets.write_llff, cut('poses_bounds.npy')), 'is not a readable array'),
    Case('LLFF with another number of images', REFUSED, source(
        photo_sets.write_llff, bounds(lambda rows: rows[:2])), 'has 2 poses, but'),
    Case('LLFF with bounds that are not finite', REFUSED, source(
        photo_sets.write_llff, bounds(lambda rows: rows * [*[1] * 16, np.inf])),
        'must be finite, with 0 < near < far'),
    Case('Polycam', READ, source(photo_sets.write_polycam), 'poses, pixels'),
    Case('Polycam with a camera cut off', REFUSED, source(
        photo_sets.write_polycam, cut('keyframes/cameras/001.json')), '001.json'),
    Case('Record3D', READ, source(photo_sets.write_record3d), 'poses, pixels'),
    Case('Record3D without intrinsics', REFUSED, source(
        photo_sets.write_record3d, key('K', None)), 'it needs K, w, h and poses'),
    Case('Record3D with a pose that is no rotation', REFUSED, source(
        photo_sets.write_record3d, key('poses', [[0, 0, 0, 0, 1, 2, 3]] * COUNT)),
        'is not of Record3D'),
    Case('photos', READ, photos('2.JPG', '3.png', '10.jpeg'), 'names, in order'),
    Case('photos, of which some are HEIC', REPORTED, photos(
        '1.jpg', '2.jpg', '3.jpg', '4.heic'), 'convert them to JPEG'),
    Case('two photos', REFUSED, photos('1.jpg', '2.jpg'), 'at least 3 are needed'),
    Case('no photo', REFUSED, photos('1.txt'), 'has no photos'),
])

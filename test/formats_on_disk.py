"""Cases of folders: transforms.json, images and depth files."""
import json

import cv2
import numpy as np
from format_cases import READ, REFUSED, REPORTED, Case, Section
from posed_folders import SIZE, write_document, write_folder

from instant_nerf_ros.data.frames import load_folder
from instant_nerf_ros.nerf.camera import Camera

RED = (200, 0, 0)
TURNED = np.diag([1.0, -1.0, -1.0, 1.0])  # from optical to OpenGL axes


def folder(check, count=1, change=None, **keys):
    """Return a function that loads a folder with keys, and checks its FrameFolder.

    change(path, document) changes the folder before.
    """
    def run(path):
        document = write_folder(path, count, **keys)
        if change:
            change(path, document)
            write_document(path, document)
        frames = load_folder(path)
        return bool(check(frames) and all(
            (frame.image == RED).all() for _, frame in frames.readable(range(len(frames)))))
    return run


def lens(**keys):
    """Return a function that checks the Camera of a folder: a pinhole camera with a distortion."""
    model, distortion = keys.pop('is_model', 'none'), keys.pop('is_distortion', ())
    camera = Camera(12, 8, 10.0, 10.0, 5.5, 3.5, model, distortion)
    return folder(lambda frames: frames[0].camera == camera, **keys)


def pose(matrix, position=(1.0, 2.0, 3.0)):
    """Return a function that checks the position of a frame with a transform_matrix."""
    return folder(
        lambda frames: np.allclose(frames[0].T_world_camera[:3, 3], position)
        and np.allclose(frames[0].T_world_camera[:3, :3], TURNED[:3, :3]),
        frame={'transform_matrix': matrix})


def text(data):
    """Return a function that loads a transforms.json of some bytes."""
    def run(path):
        document = write_folder(path)
        (path / 'transforms.json').write_bytes(data(document) if callable(data) else data)
        return len(load_folder(path)) == 1
    return run


def second_of(key, value):
    """Return a change of a key of the second frame."""
    return lambda _, document: document['frames'][1].update({key: value})


def tear(path, document):
    (path / '1.png').write_bytes((path / '1.png').read_bytes()[:-20])


GOOD = [[1.0, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
def mask_both(path, document):
    """Mask the upper half of two images."""
    cv2.imwrite(str(path / 'm.png'), np.repeat([[0], [255]], (3, SIZE[0] - 3), 0) * np.ones(
        SIZE, np.uint8))
    for frame in document['frames']:
        frame['mask_path'] = 'm.png'


FOLDERS = Section('transforms.json', (
    'The layout of instant-ngp and nerfstudio. Folders in the layout of 7-Scenes are tested in '
    '`test_frames`.'), [
    *(Case(f'camera_model {name}', READ, lens(
        camera_model=name, k1=0.1, is_model='plumb_bob', is_distortion=(0.1, 0.0, 0.0, 0.0, 0.0)),
        'coefficients') for name in ('SIMPLE_RADIAL', 'RADIAL', 'OPENCV')),
    *(Case(f'camera_model {name}', READ, lens(camera_model=name), 'camera')
      for name in ('SIMPLE_PINHOLE', 'PINHOLE')),
    Case('OPENCV with k4 to k6, FULL_OPENCV', READ, lens(
        camera_model='FULL_OPENCV', k1=0.1, k6=0.2, is_model='rational_polynomial',
        is_distortion=(0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2)), 'coefficients'),
    Case('OPENCV_FISHEYE, is_fisheye', READ, lens(
        is_fisheye=True, k1=0.1, is_model='equidistant', is_distortion=(0.1, 0.0, 0.0, 0.0)),
        'coefficients'),
    Case('distortion_params', READ, lens(
        distortion_params=[0.1, 0.2, 0.0, 0.0, 0.3, 0.4], is_model='plumb_bob',
        is_distortion=(0.1, 0.2, 0.3, 0.4, 0.0)), 'k1 k2 k3 k4 p1 p2'),
    *(Case(f'camera_model {name}', REFUSED, lens(camera_model=name), 'is not supported')
      for name in ('EQUIRECTANGULAR', 'THIN_PRISM_FISHEYE')),
    *(Case(key, REFUSED, lens(**{key: value}), f'{key} is not supported')
      for key, value in (('ftheta_p0', 1.0), ('latlong', True), ('from_mitsuba', True))),
    Case('only camera_angle_x', READ, lens(without=('fl_x',), camera_angle_x=1.0808390005411683),
         'focal length'),
    Case('camera_angle_x in degrees', REFUSED, lens(without=('fl_x',), camera_angle_x=62.0),
         'is it in degrees'),
    Case('fl_x and camera_angle_x differ', REPORTED, lens(camera_angle_x=2.0),
         'fl_x = 10 is used'),
    Case('cx far from the middle', REPORTED, folder(
        lambda frames: frames[0].camera.cx == 1.5, cx=2.0), 'is far from the middle'),
    Case('skew', REPORTED, lens(skew=3.0), 'skew = 3 is not used'),
    Case('null', READ, lens(k1=None, w=None, h=None, camera_model=None), 'as a missing key'),
    *(Case(f'encoded as {coding}', READ, text(
        lambda document, coding=coding: json.dumps(document).encode(coding)), 'one frame')
      for coding in ('utf-8-sig', 'utf-16', 'utf-32')),
    *(Case(f'`{data.decode()}`', REFUSED, text(data), sentence) for data, sentence in (
        (b'[]', 'must contain a JSON object'), (b'{"frames": null}', 'names no image'),
        (b'{"frames": [null]}', 'frame 0 has no file_path'), (b'{', 'is not valid JSON'))),
    Case('pose 4 x 4', READ, pose(GOOD), 'pose'),
    Case('pose 3 x 4', READ, pose(GOOD[:3]), 'pose'),
    Case('pose with a uniform scale', REPORTED, pose(
        [[2.0, 0, 0, 1], [0, 2, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]]), 'rotations are scaled'),
    Case('pose transposed', REFUSED, pose(np.array(GOOD).T.tolist()), 'is the matrix transposed'),
    Case('pose mirrored', REFUSED, pose(np.diag([1.0, 1, -1, 1]).tolist()), 'not a rotation'),
    *(Case(f'one of 3 frames has {what}', REPORTED, folder(
        lambda frames: len(list(frames.readable(range(len(frames))))) == 2, 3, change),
        sentence) for what, change, sentence in (
            ('a pose of -inf', second_of('transform_matrix', np.diag([-np.inf] * 4).tolist()),
             'frame 1.png'),
            ('no image', second_of('file_path', 'lost.png'), 'lost.png is missing'),
            ('a torn image', tear, '1.png is damaged or truncated'),
            ('no depth', second_of('depth_path', 'lost.png'), 'lost.png is missing'))),
    Case('mask_path', REPORTED, folder(len, 2, mask_both), 'only depth is masked'),
    Case('rolling_shutter', REPORTED, folder(len, rolling_shutter=[0, 0, 0.01]),
         'rolling_shutter is not corrected'),
])


def depth(name, array, metres=1.5, **keys):
    """Return a function that checks the depth of a folder with such a file."""
    def write(path, document):
        document['frames'][0]['depth_path'] = name
        if name.endswith('.npy'):
            np.save(path / name, array)
        else:
            assert cv2.imwrite(str(path / name), array)
    return folder(lambda frames: np.allclose(frames[0].depth, metres), 1, write, **keys)


def image(name, pixels, value, stored=''):
    """Return a function that checks the pixels of a folder with such an image."""
    def run(path):
        write_folder(path, frame={'file_path': name})
        (path / 'rgb').mkdir()
        assert cv2.imwrite(str(path / (stored or name)), pixels)
        frame = load_folder(path)[0]
        return frame.image.shape == (*SIZE, 3) and bool((frame.image == value).all())
    return run


GRAY = np.full(SIZE, 100, np.uint8)
IMAGES = Section('Image files', (
    'Pixels are used as they are stored: EXIF orientation is ignored, as in COLMAP.'), [
    *(Case(f'color as {suffix}', READ, image(f'x{suffix}', GRAY, 100), 'pixels')
      for suffix in ('.png', '.bmp', '.tiff', '.jpg', '.webp')),
    Case('PNG of 16 bits', READ, image('x.png', GRAY.astype(np.uint16) << 8, 100), 'pixels'),
    Case('PNG of 16 bits with data of 12 bits', REPORTED, image(
        'x.png', np.full(SIZE, 3000, np.uint16), 11), 'almost black'),
    Case('transparent pixels', REPORTED, image(
        'x.png', np.dstack([GRAY, GRAY, GRAY, 0 * GRAY]), 100), 'transparency is not used'),
    Case('another size', REFUSED, image('x.png', np.zeros((7, 12), np.uint8), 0),
         'but its intrinsics are for'),
    Case('turned by a quarter', REFUSED, image('x.png', GRAY.T, 100), 'EXIF orientation'),
    *(Case(f'`{name}` for {stored}', READ, image(name, GRAY, 100, stored), 'pixels')
      for name, stored in (('rgb\\x.png', 'rgb/x.png'), ('rgb/x', 'rgb/x.jpg'),
                           ('rgb/x', 'rgb/x.JPG'), ('rgb/x', 'rgb/x.webp'),
                           ('rgb/X.jpg', 'rgb/x.JPG'))),
    *(Case(f'depth, {what}', READ, depth(name, array), 'metres') for what, name, array in (
        ('16 bits, millimetres', 'd.png', np.full(SIZE, 1500, np.uint16)),
        ('TIFF of floats, metres', 'd.tiff', np.full(SIZE, 1.5, np.float32)),
        ('npy of floats, metres', 'd.npy', np.full((*SIZE, 1), 1.5)),
        ('npy of integers, millimetres', 'd.npy', np.full(SIZE, 1500)),
        ('half the size, the nearest pixel', 'd.png', np.full((4, 6), 1500, np.uint16)))),
    Case('depth with `integer_depth_scale: 0.0001`', READ, depth(
        'd.png', np.full(SIZE, 15000, np.uint16), integer_depth_scale=0.0001), 'metres'),
    Case('depth with the largest count', READ, depth(
        'd.npy', np.full(SIZE, 32767, np.int16), 0.0), 'not measured'),
    Case('depth of floats in millimetres', REPORTED, depth(
        'd.tiff', np.full(SIZE, 1500.0, np.float32), 1500.0), 'are they millimetres'),
    Case('depth with `integer_depth_scale: 1000`', REPORTED, depth(
        'd.png', np.full(SIZE, 1500, np.uint16), 1.5e6, integer_depth_scale=1000.0),
        'is the metres per count'),
    Case('depth of 8 bits', REFUSED, depth('d.png', GRAY), 'has 8 bits'),
    Case('depth of several channels', REFUSED, depth(
        'd.png', np.full((*SIZE, 3), 1500, np.uint16)), 'must have one channel'),
    Case('depth of another aspect ratio', REFUSED, depth(
        'd.png', np.full((9, 12), 1500, np.uint16)), 'must have the shape of its image'),
])

"""Malformed transforms.json and recordings: the outcome is data, or a sentence."""
import json
import warnings

import cv2
import numpy as np
import pytest

from instant_nerf_ros.data.frames import Frame, load_folder
from instant_nerf_ros.data.images import read_color, read_depth
from instant_nerf_ros.nerf.camera import Camera

SIZE = 8, 12
COUNT = 2000
NUMBERS = 0, 1, -1, 12, 8, 0.5, 1e308, -1e308, 10**400, float('nan'), float('inf'), -float('inf')
NAMES = (
    'a.png', 'a', 'sub\\a.png', './a.png', 'torn.png', 'empty.png', 'lost.png', 'd.png', 'd.tiff',
    '', '.', '..', '/', '\\', 'sub', '\0', '\ud800', 'x' * 5000, '\u00b2.png', '9' * 200)
OTHERS = None, True, False, '', 'text', [], {}, [[]], [None], {'a': 1}
NUMBER_KEYS = (
    'w', 'h', 'fl_x', 'fl_y', 'cx', 'cy', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'p1', 'p2',
    'camera_angle_x', 'camera_angle_y', 'integer_depth_scale', 'depth_unit_scale_factor', 'skew')
PATH_KEYS = 'file_path', 'depth_path', 'depth_file_path', 'mask_path'
OTHER_KEYS = (
    'is_fisheye', 'enable_depth_loading', 'rolling_shutter', 'unknown', 'latlong',
    'distortion_params')
MODELS = 'OPENCV', 'OPENCV_FISHEYE', 'PINHOLE', 'FULL_OPENCV', 'EQUIRECTANGULAR'


class Grammar:
    """A random generator of documents: mostly well-formed, with wrong values here and there."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def of(self, choices):
        """Return one of some choices."""
        return choices[self.random.integers(len(choices))]

    def happens(self, probability):
        """Return whether an event of a probability happens."""
        return self.random.random() < probability

    def unless(self, good, choices, probability=0.05):
        """Return a good value, or with a probability one of others."""
        return self.of((*choices, *OTHERS)) if self.happens(probability) else good

    def matrix(self):
        """Return a pose, often with something wrong."""
        matrix = np.eye(4)
        matrix[:3, 3] = self.random.normal(size=3)
        matrix[:3, :3] *= self.of((1.0, 1.0, 1.0, 2.0, 0.0, -1.0, 1e-200, 1e200))
        rows = matrix.tolist()[:self.of((4, 4, 4, 3, 2, 0))]
        if rows and self.happens(0.1):
            row = self.of(rows)
            row[self.random.integers(len(row))] = self.of((*NUMBERS, *OTHERS))
        if rows and self.happens(0.05):
            self.of(rows).pop()
        return rows

    def keys(self, probability):
        """Return random keys of a frame or of the document."""
        keys = {key: self.unless(self.of(NUMBERS), NUMBERS) for key in NUMBER_KEYS
                if self.happens(probability)}
        keys.update({key: self.unless(self.of(NAMES), NUMBERS) for key in PATH_KEYS
                     if self.happens(probability)})
        keys.update({key: self.of(OTHERS) for key in OTHER_KEYS if self.happens(probability)})
        if self.happens(probability):
            keys['distortion_params'] = [
                self.unless(self.of(NUMBERS), NUMBERS) for _ in range(self.random.integers(8))]
        if self.happens(probability):
            keys['camera_model'] = self.unless(self.of(MODELS), NUMBERS)
        return keys

    def frame(self):
        """Return a frame."""
        name = self.of(('a.png', 'sub/a.png', 'sub\\a', 'a'))
        frame = {'file_path': self.unless(name, NAMES, 0.2),
                 'transform_matrix': self.unless(self.matrix(), NUMBERS), **self.keys(0.03)}
        return self.unless(frame, NUMBERS)

    def document(self):
        """Return a document."""
        document = {'fl_x': 10.0, 'w': SIZE[1], 'h': SIZE[0], **self.keys(0.02)}
        document['frames'] = self.unless(
            [self.frame() for _ in range(self.random.integers(6))], NUMBERS)
        return self.unless(document, NUMBERS, 0.02)

    def text(self):
        """Return the bytes of a document, some of them truncated or changed."""
        coding = self.of(('utf-8', 'utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'latin-1'))
        data = json.dumps(self.document()).encode(coding)
        return self.damaged(data) if self.happens(0.1) else data

    def damaged(self, data):
        """Return data that are truncated, or of which some bytes are changed."""
        data = bytearray(data)
        if self.happens(0.5):
            return bytes(data[:self.random.integers(len(data))])
        for _ in range(self.random.integers(1, 20)):
            data[self.random.integers(len(data))] = self.random.integers(256)
        return bytes(data)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of some images and depth, good and bad."""
    (tmp_path / 'sub').mkdir()
    for name in ('a.png', 'sub/a.png', 'torn.png'):
        cv2.imwrite(str(tmp_path / name), np.zeros((*SIZE, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'd.png'), np.full(SIZE, 1000, np.uint16))
    cv2.imwrite(str(tmp_path / 'd.tiff'), np.full(SIZE, 1.0, np.float32))
    (tmp_path / 'torn.png').write_bytes((tmp_path / 'torn.png').read_bytes()[:-10])
    (tmp_path / 'empty.png').write_bytes(b'')
    return tmp_path


def sentence(error):
    """Check that an error is a sentence."""
    assert len(str(error).split()) >= 3, repr(error)
    return True


def test_every_transforms_json_is_frames_or_a_sentence(folder):
    grammar, loaded = Grammar(1), 0
    for _ in range(COUNT):
        (folder / 'transforms.json').write_bytes(grammar.text())
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            warnings.simplefilter('ignore', UserWarning)
            try:
                frames = load_folder(folder)
                for frame in frames:
                    assert isinstance(frame, Frame) and np.isfinite(frame.T_world_camera).all()
                    assert frame.depth is None or np.isfinite(frame.depth).all()
                    loaded += 1
            except (ValueError, OSError) as error:
                assert sentence(error)
    assert loaded > COUNT / 10


def test_every_damaged_image_is_pixels_or_a_sentence(tmp_path):
    grammar = Grammar(3)
    camera, color = Camera(12, 8, 10.0, 10.0, 5.5, 3.5), np.zeros((*SIZE, 3), np.uint8)
    outcomes = {True: 0, False: 0}
    for suffix, image in (
            ('.png', color), ('.jpg', color), ('.webp', color), ('.tiff', color),
            ('.png', np.zeros(SIZE, np.uint16)), ('.tiff', np.zeros(SIZE, np.float32))):
        good = cv2.imencode(suffix, image)[1].tobytes()
        for number in range(COUNT // 40):
            path = tmp_path / f'image{suffix}'
            path.write_bytes(grammar.damaged(good) if number else good)
            try:
                if image is color:
                    assert read_color(path, camera).shape == (*SIZE, 3)
                else:
                    assert np.isfinite(read_depth(path, camera, 0.001, 1.0)).all()
                outcomes[True] += 1
            except ValueError as error:
                assert sentence(error)
                outcomes[False] += 1
    assert min(outcomes.values()) > 5


@pytest.mark.ros
@pytest.mark.parametrize('storage', ['MCAP', 'SQLITE3', 'ROS1'])
def test_every_damaged_recording_is_messages_or_a_sentence(tmp_path, storage):
    pytest.importorskip('rosbags', reason='needs rosbags')
    from recordings import drive, write_bag, write_ros1

    from instant_nerf_ros.data.bags import open_recording
    from instant_nerf_ros.data.cameras import find_camera
    grammar, refused = Grammar(2), 0
    if storage == 'ROS1':
        path = file = write_ros1(tmp_path / 'x.bag', drive(count=3))
    else:
        path = write_bag(tmp_path / 'bag', drive(count=3), storage)
        (file,) = path.glob('bag.*')
    metadata = path / 'metadata.yaml'
    good = {each: each.read_bytes() for each in (file, metadata) if each.is_file()}
    for number in range(COUNT // 20):
        for each, data in good.items():
            if grammar.happens(0.05):
                each.unlink(missing_ok=True)
                continue
            spared = each == metadata and number % 4
            each.write_bytes(data if spared else grammar.damaged(data))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)
            try:
                with open_recording(path) as recording:
                    for stamp, topic, data in recording.messages():
                        assert topic in recording.types and isinstance(data, bytes)
                        assert isinstance(stamp, int)
                    find_camera(recording)
            except (ValueError, OSError) as error:
                assert sentence(error)
                refused += 1
    assert refused

"""Helpers: folders of posed images with a transforms.json."""
import json
import warnings

import cv2
import numpy as np

from instant_nerf_ros.data.frames import load_folder

SIZE = 8, 12  # rows and columns


def write_folder(path, count=1, frame=(), without=(), **common):
    """Write a folder of red images 0.png, 1.png, ..., and return its document.

    frame: keys of all frames; common: keys of the document; without: keys to omit.
    """
    for number in range(count):
        cv2.imwrite(str(path / f'{number}.png'), np.full((*SIZE, 3), (0, 0, 200), np.uint8))
    document = {
        'fl_x': 10.0, 'cx': 6.0, 'cy': 4.0, 'w': SIZE[1], 'h': SIZE[0], **common,
        'frames': [
            {'file_path': f'{number}.png', 'transform_matrix': np.eye(4).tolist(), **dict(frame)}
            for number in range(count)]}
    document = {key: value for key, value in document.items() if key not in without}
    write_document(path, document)
    return document


def write_document(path, document):
    """Write a transforms.json."""
    (path / 'transforms.json').write_text(json.dumps(document))


def load_quietly(path):
    """Return the FrameFolder of a folder; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        frames = load_folder(path)
        list(frames)
        return frames

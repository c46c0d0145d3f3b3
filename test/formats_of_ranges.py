"""Cases of messages: depth and ranges."""
import array

import cv2
import numpy as np
from format_cases import READ, REFUSED, Case, Section
from sensor_msgs.msg import CompressedImage, LaserScan, PointCloud2, PointField

from instant_nerf_ros.ros.conversions import image_message
from instant_nerf_ros.ros.inputs.encodings import decode_depth
from instant_nerf_ros.ros.inputs.range_messages import free_rays_of, points_from

NAN, INF = float('nan'), float('inf')
SIZE = 8, 16


def measures(expected, message, **settings):
    """Return a function that tells whether the depths in the first row of a message are right."""
    def run(_):
        depth = decode_depth(message, **settings)[0, :len(expected)]
        valid = np.isfinite(depth) & (depth > 0)
        return np.allclose(np.where(valid, depth, NAN), expected, equal_nan=True)
    return run


def depth_image(values, dtype, encoding):
    """Return a depth image with such a first row."""
    pixels = np.ones(SIZE, dtype)
    pixels[0, :len(values)] = values
    return image_message(pixels, encoding, 1, 'camera')


DEPTHS = Section('Encodings of depth', (
    'Depth of another frame, size or calibration than its image is registered to it, if it has a '
    'CameraInfo\nof its own.'), [
    Case('32FC1, metres', READ, measures(
        [1.5, NAN, NAN, NAN, NAN], depth_image([1.5, NAN, INF, -1.0, 0.0], np.float32, '32FC1')),
        'NaN, infinite, negative and 0 are not measured'),
    Case('16UC1, mono16, millimetres', READ, lambda path: all(measures(
        [1.5, NAN, NAN], depth_image([1500, 0, 65535], np.uint16, encoding))(path)
        for encoding in ('16UC1', 'mono16')), '0 and 65535 are not measured'),
    Case('16UC1 with `depth_unit: 0.0001`', READ, measures(
        [0.15], depth_image([1500], np.uint16, '16UC1'), unit=1e-4), 'metres'),
    Case('`max_depth: 2.0`', READ, measures(
        [1.9, NAN, NAN], depth_image([1.9, 2.0, 3.0], np.float32, '32FC1'), limit=2.0),
        'from 2 m on, nothing is measured'),
    Case('compressedDepth, PNG', READ, measures([1.5], CompressedImage(
        format='16UC1; compressedDepth png', data=array.array('B', bytes(12) + cv2.imencode(
            '.png', np.full(SIZE, 1500, np.uint16))[1].tobytes()))), 'metres'),
    *(Case(encoding, REFUSED, measures([], depth_image([1], dtype, encoding)),
           'is not an encoding of depth') for encoding, dtype in (
        ('8UC1', np.uint8), ('16SC1', np.int16), ('64FC1', np.float64))),
    Case('JPEG', REFUSED, measures([], CompressedImage(
        format='jpeg', data=array.array(
            'B', cv2.imencode('.jpg', np.zeros(SIZE, np.uint8))[1].tobytes()))),
        'is not 16-bit depth'),
])


def scan(**fields):
    return LaserScan(**{'angle_min': -1.0, 'angle_increment': 0.1, 'range_min': 0.1,
                        'range_max': 10.0, **fields})


def echoes(expected, message, limit=0.0):
    """Return a function that tells which points of a message are measured."""
    return lambda _: np.isfinite(points_from(message, limit)).all(axis=-1).tolist() == expected


def cloud(points, row_step=None, dtype='<f4', names='xyz', height=1):
    values = np.array(points, dtype)
    kind = PointField.FLOAT32 if values.itemsize == 4 else PointField.FLOAT64
    return PointCloud2(
        height=height, width=len(values) // min(height, 2),
        point_step=values.itemsize * len(names),
        row_step=values.nbytes // height if row_step is None else row_step,
        is_bigendian=dtype[0] == '>', data=array.array('B', values.tobytes()), fields=[
            PointField(name=name, offset=k * values.itemsize, datatype=kind, count=1)
            for k, name in enumerate(names)])


POINTS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [1.0, 1.0, 1.0]]
RANGES = Section('Range sensors', (
    'Intensities are not used. A cloud in the frame of the map is refused, as its rays have no '
    'origin.'), [
    Case('LaserScan', READ, echoes(
        [True, False, False, False, False], scan(ranges=[1.0, 0.05, 11.0, NAN, -INF])),
        'ranges outside of [range_min, range_max) are not measured'),
    Case('range_max where nothing is', READ, echoes(
        [True, False], scan(ranges=[9.9, 10.0])), 'not measured'),
    Case('+inf with `inf_is_valid` (REP 117)', READ, lambda _: np.allclose(
        np.linalg.norm(free_rays_of(scan(ranges=[INF, 1.0, NAN])), axis=-1), [10.0, NAN, NAN],
        equal_nan=True), 'free up to range_max'),
    Case('negative and NaN intensities', READ, echoes(
        [True, True], scan(ranges=[1.0, 2.0], intensities=[-1.0, NAN])), 'measured'),
    Case('LaserScan with NaN angles', REFUSED, echoes(
        [], scan(ranges=[1.0], angle_min=NAN)), 'must be finite'),
    *(Case(f'PointCloud2, {name}', READ, echoes([True] * 4, cloud(POINTS, dtype=dtype)), 'points')
      for name, dtype in (('FLOAT32', '<f4'), ('FLOAT64', '<f8'), ('big endian', '>f4'))),
    *(Case(f'packed points with row_step {name}', READ, echoes(
        [True] * 4, cloud(POINTS, row, height=2)), 'points')
      for name, row in (('0', 0), ('of the whole cloud', 48))),
    Case('NaN, infinite, (0, 0, 0), 1e30', READ, echoes([False] * 4 + [True], cloud(
        [[NAN, 0, 0], [INF, 1, 1], [0, 0, 0], [1e30, 0, 0], [1, 0, 0]])), 'not measured'),
    Case('`max_range: 5.0`', READ, echoes(
        [True, False], cloud([[4.9, 0, 0], [5.0, 0, 0]]), 5.0),
        'from 5 m on, nothing is measured'),
    Case('no field x of FLOAT32 or FLOAT64', REFUSED, echoes([], cloud(POINTS, names='XYZ')),
         "no field 'x'"),
    Case('points that do not fit into the data', REFUSED, echoes(
        [], cloud(POINTS, row_step=99, height=4)), 'do not fit'),
])

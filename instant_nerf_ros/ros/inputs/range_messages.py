"""PointCloud2 and LaserScan to points in the frame of the sensor: pure functions, no node.

What is no measurement becomes NaN. ValueError, with a sentence, for what cannot be read.
"""
import math

import numpy as np
from sensor_msgs.msg import LaserScan, PointField

_DTYPES = {PointField.FLOAT32: 'f4', PointField.FLOAT64: 'f8'}
LONGEST_SCAN = 1.0  # seconds; more is a broken message


def points_from(message):
    """Return the points (N, 3) float64, metres, of a sensor_msgs/LaserScan or PointCloud2."""
    if isinstance(message, LaserScan):
        return _points_of_scan(message)
    return _points_of_cloud(message)


def duration_of(message):
    """Return how long a message took to measure [s]: 0 for a cloud, which does not tell."""
    if not isinstance(message, LaserScan):
        return 0.0
    duration = message.time_increment * max(len(message.ranges) - 1, 0)
    if not 0 <= duration <= LONGEST_SCAN:
        raise ValueError(
            f'{len(message.ranges)} ranges with time_increment = {message.time_increment} s '
            f'take {duration:.3g} s, not 0 to {LONGEST_SCAN} s')
    return duration


def _points_of_scan(scan):
    ranges = np.array(scan.ranges, dtype=np.float64)
    if not math.isfinite(scan.angle_min) or not math.isfinite(scan.angle_increment):
        raise ValueError(
            f'angle_min = {scan.angle_min} and angle_increment = {scan.angle_increment} '
            'must be finite')
    # Beyond its limits a range stands for something else: too near, nothing there, an error.
    ranges[~((ranges >= scan.range_min) & (ranges <= scan.range_max))] = np.nan
    angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
    return np.stack(
        [ranges * np.cos(angles), ranges * np.sin(angles), 0.0 * ranges], axis=-1)


def _points_of_cloud(cloud):
    width, height, step, row = cloud.width, cloud.height, cloud.point_step, cloud.row_step
    needed = (height - 1) * row + width * step
    if not width or not height:
        return np.empty((0, 3))
    if step < 1 or (height > 1 and row < width * step) or len(cloud.data) < needed:
        raise ValueError(
            f'{width} x {height} points of {step} bytes, in rows of {row} bytes, do not fit '
            f'into {len(cloud.data)} bytes')
    order = '>' if cloud.is_bigendian else '<'
    columns = []
    for name in 'xyz':
        field = next((field for field in cloud.fields if field.name == name), None)
        if field is None or field.datatype not in _DTYPES:
            raise ValueError(
                f"it has no field '{name}' of FLOAT32 or FLOAT64; its fields are: "
                f"{', '.join(field.name for field in cloud.fields[:10])}")
        dtype = np.dtype(order + _DTYPES[field.datatype])
        if field.offset + dtype.itemsize > step:
            raise ValueError(
                f"the field '{name}' begins at byte {field.offset} of a point of {step} bytes")
        columns.append(np.ndarray(
            (height, width), dtype, buffer=cloud.data, offset=field.offset,
            strides=(row, step)).ravel())
    return np.stack(columns, axis=-1).astype(np.float64)

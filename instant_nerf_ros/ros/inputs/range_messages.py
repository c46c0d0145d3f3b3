"""Points of a LaserScan or PointCloud2 in the frame of the sensor: pure functions, no node.

Points without a measurement are NaN. The functions raise ValueError for an unreadable message.
"""
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import LaserScan, PointCloud2, PointField

RangeMessage: TypeAlias = LaserScan | PointCloud2
_DTYPES = {PointField.FLOAT32: 'f4', PointField.FLOAT64: 'f8'}
MAX_DURATION = 1.0  # seconds of a scan; more is a malformed message
FARTHEST = 1e4  # metres; a larger number stands for no echo


def points_from(message: RangeMessage, limit: float = 0.0) -> NDArray[np.float64]:
    """Return the points (N, 3) [m] of a message in the frame of its sensor.

    limit: points from this distance [m] on are no measurement; 0 for FARTHEST. Intensities do
    not matter: what they mean depends on the device.
    """
    if isinstance(message, LaserScan):
        points = _points_of_scan(message)
    else:
        points = _points_of_cloud(message)
        points[(points == 0).all(axis=-1)] = np.nan  # of drivers that keep beams without an echo
    with np.errstate(invalid='ignore', over='ignore'):
        points[np.linalg.norm(points, axis=-1) >= min(limit or FARTHEST, FARTHEST)] = np.nan
    return points


def free_rays_of(message: RangeMessage) -> NDArray[np.float64]:
    """Return the ends (N, 3) [m] of rays that met nothing, NaN for all others.

    By REP 117, a range of +inf in a LaserScan says that nothing is nearer than range_max.
    """
    points = points_from(message)
    if not isinstance(message, LaserScan) or not math.isfinite(message.range_max):
        return np.full_like(points, np.nan)
    ranges = np.where(np.isposinf(np.array(message.ranges)), message.range_max, np.nan)
    return _fan(message, ranges)


def duration_of(message: RangeMessage) -> float:
    """Return the duration of a scan [s]; 0 for a PointCloud2, which does not contain it."""
    if not isinstance(message, LaserScan):
        return 0.0
    duration = message.time_increment * max(len(message.ranges) - 1, 0)
    if not 0 <= duration <= MAX_DURATION:
        raise ValueError(
            f'{len(message.ranges)} ranges with time_increment = {message.time_increment} s '
            f'take {duration:.3g} s, not 0 to {MAX_DURATION} s: set time_increment in the driver')
    return duration


def _points_of_scan(scan: LaserScan) -> NDArray[np.float64]:
    ranges = np.array(scan.ranges, dtype=np.float64)
    if not math.isfinite(scan.angle_min) or not math.isfinite(scan.angle_increment):
        raise ValueError(
            f'angle_min = {scan.angle_min} and angle_increment = {scan.angle_increment} '
            'must be finite: set them in the driver')
    # A range outside its limits is not a distance: too near, no echo, or an error code. Many
    # drivers give range_max itself where there is no echo. It has 32 bits, as ranges have.
    ranges[~((ranges >= scan.range_min) & (ranges < np.float32(scan.range_max)))] = np.nan
    return _fan(scan, ranges)


def _fan(scan: LaserScan, ranges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points (N, 3) at ranges (N,) [m] in the plane of a scan."""
    angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
    return np.stack(
        [ranges * np.cos(angles), ranges * np.sin(angles), 0.0 * ranges], axis=-1)


def _points_of_cloud(cloud: PointCloud2) -> NDArray[np.float64]:
    width, height, step, row = cloud.width, cloud.height, cloud.point_step, cloud.row_step
    if len(cloud.data) == width * height * step:
        row = width * step  # without padding, whatever row_step says: some drivers leave it 0
    needed = (height - 1) * row + width * step
    if not width or not height:
        return np.empty((0, 3))
    if step < 1 or (height > 1 and row < width * step) or len(cloud.data) < needed:
        raise ValueError(
            f'{width} x {height} points of {step} bytes, in rows of {row} bytes, do not fit '
            f'into {len(cloud.data)} bytes: the message is malformed, check its driver')
    order = '>' if cloud.is_bigendian else '<'
    columns = []
    for name in 'xyz':
        field = next((field for field in cloud.fields if field.name == name), None)
        if field is None or field.datatype not in _DTYPES:
            raise ValueError(
                f"it has no field '{name}' of FLOAT32 or FLOAT64: remap to a topic with x, y and "
                f"z; its fields are: {', '.join(field.name for field in cloud.fields[:10])}")
        dtype = np.dtype(order + _DTYPES[field.datatype])
        if field.offset + dtype.itemsize > step:
            raise ValueError(
                f"the field '{name}' begins at byte {field.offset} of a point of {step} bytes: "
                'the message is malformed, check its driver')
        columns.append(np.ndarray(
            (height, width), dtype, buffer=cloud.data, offset=field.offset,
            strides=(row, step)).ravel())
    return np.stack(columns, axis=-1).astype(np.float64)

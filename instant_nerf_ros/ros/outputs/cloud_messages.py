"""Messages of volumes: point cloud, distance slice, voxels, octree.

Optional message packages are imported by the functions that need them.
"""
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import PointCloud2, PointField

from instant_nerf_ros.ros.conversions import header_message, octets_of

if TYPE_CHECKING:
    from octomap_msgs.msg import Octomap
    from visualization_msgs.msg import Marker

_DISTANCE_FIELDS = 'x', 'y', 'z', 'intensity', 'normal_x', 'normal_y', 'normal_z'
_DISTANCE = np.dtype([(name, '<f4') for name in _DISTANCE_FIELDS])
_POINT = np.dtype({
    'names': ['x', 'y', 'z', 'rgb'],
    'formats': ['<f4', '<f4', '<f4', '<u4'],  # rgb is 0x00RRGGBB, declared FLOAT32 as PCL does
    'itemsize': 16,
})


def point_cloud_message(
    positions: ArrayLike, colors: ArrayLike, stamp_ns: int, frame_id: str,
) -> PointCloud2:  # fmt: skip
    """Return a point cloud of positions (N, 3) [m] and colors (N, 3) uint8 RGB."""
    positions = np.asarray(positions, np.float32)
    points = np.empty(len(positions), _POINT)
    points['x'], points['y'], points['z'] = positions.T
    red, green, blue = np.asarray(colors).astype(np.uint32).T
    points['rgb'] = red << 16 | green << 8 | blue
    return _cloud(points, stamp_ns, frame_id)


def distances_message(
    positions: NDArray[np.floating], distances: NDArray[np.floating],
    gradients: NDArray[np.floating], stamp_ns: int, frame_id: str,
) -> PointCloud2:  # fmt: skip
    """Return a point cloud of positions (N, 3) [m], with distances (N,) [m] as intensity.

    The gradients (N, 3) are its normals, with PCL's names of the fields.
    """
    points = np.empty(len(positions), _DISTANCE)
    for name, values in zip(_DISTANCE_FIELDS, (*positions.T, distances, *gradients.T)):
        points[name] = values
    return _cloud(points, stamp_ns, frame_id)


def _cloud(points: NDArray[np.void], stamp_ns: int, frame_id: str) -> PointCloud2:
    """Return a point cloud of a structured array; all its fields are declared FLOAT32."""
    fields: Mapping[str, Any] = points.dtype.fields or {}
    return PointCloud2(
        header=header_message(stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=[
            PointField(name=name, offset=field[1], datatype=PointField.FLOAT32, count=1)
            for name, field in fields.items()
        ],
        is_bigendian=False,
        point_step=points.itemsize,
        row_step=points.nbytes,
        data=octets_of(points),
        is_dense=True,
    )


def points_from_message(message: PointCloud2) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return positions (N, 3) [m] and colors (N, 3) RGB of a point_cloud_message."""
    points = np.frombuffer(message.data, _POINT)
    positions = np.stack([points['x'], points['y'], points['z']], axis=-1)
    colors = np.stack([points['rgb'] >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    return positions, colors.astype(np.uint8)


def cubes_message(
    positions: NDArray[np.floating], colors: NDArray[np.uint8], size: float, stamp_ns: int,
    frame_id: str,
) -> 'Marker':  # fmt: skip
    """Return a CUBE_LIST of cubes with edges of a size [m].

    positions (N, 3) [m] are the centers; colors (N, 3) RGB. Without any, the action is DELETE, as
    RViz reports an empty list as an error.
    """
    from geometry_msgs.msg import Point
    from std_msgs.msg import ColorRGBA
    from visualization_msgs.msg import Marker

    marker = Marker(header=header_message(stamp_ns, frame_id), ns='voxels', type=Marker.CUBE_LIST)
    marker.action = Marker.ADD if len(positions) else Marker.DELETE
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = float(size)
    marker.color.a = 1.0
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in positions.tolist()]
    marker.colors = [
        ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (colors / 255).tolist()]
    return marker


def octomap_message(
    data: bytes, resolution: float, stamp_ns: int, frame_id: str,
) -> 'Octomap':  # fmt: skip
    """Return a binary OctoMap of the data and the resolution [m] of an Octree."""
    from octomap_msgs.msg import Octomap

    message = Octomap(
        header=header_message(stamp_ns, frame_id), binary=True, id='OcTree',
        resolution=float(resolution))
    message.data = octets_of(np.frombuffer(data, np.int8), 'b')
    return message

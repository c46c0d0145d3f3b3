"""Conversions between messages and NumPy arrays: pure functions, no node.

Stamps are integer nanoseconds. Images are decoded in inputs/encodings.py, CameraInfo is read in
inputs/calibration.py, point clouds are written in outputs/cloud_messages.py.
"""
import array
from typing import TYPE_CHECKING

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Vector3
from map_msgs.msg import OccupancyGridUpdate
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf_transformations import quaternion_from_matrix, quaternion_matrix

from instant_nerf_ros.nerf.camera import Camera

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.products.grids import MapGrid


def nanoseconds(stamp: Time) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def time_message(stamp_ns: int) -> Time:
    """Return a builtin_interfaces/Time."""
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def header_message(stamp_ns: int, frame_id: str) -> Header:
    """Return a std_msgs/Header."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame_id)


def image_message(image: NDArray, encoding: str, stamp_ns: int, frame_id: str) -> Image:
    """Return a sensor_msgs/Image of a (H, W) or (H, W, C) array.

    The encoding has to match the array, which is not checked: 'rgb8' for (H, W, 3) uint8, '32FC1'
    for (H, W) float32 depth in metres, '16UC1' for (H, W) uint16 depth in millimetres.
    """
    return Image(
        header=header_message(stamp_ns, frame_id),
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=False,
        step=image[0].size * image.itemsize,
        data=octets_of(image),
    )


def jpeg_message(
    image: NDArray[np.uint8], quality: int, stamp_ns: int, frame_id: str,
) -> CompressedImage:  # fmt: skip
    """Return a JPEG of an image (H, W, 3) RGB in the format of image_transport."""
    _, data = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return CompressedImage(
        header=header_message(stamp_ns, frame_id), format='rgb8; jpeg compressed bgr8',
        data=octets_of(data))


def camera_info_message(camera: Camera, stamp_ns: int, frame_id: str) -> CameraInfo:
    """Return the sensor_msgs/CameraInfo of an unrectified image; P is set because RViz uses it."""
    model, distortion = camera.distortion_model, camera.distortion
    if model == 'none':
        model, distortion = 'plumb_bob', (0.0,) * 5
    k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    return CameraInfo(
        header=header_message(stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model=model,
        d=[float(coefficient) for coefficient in distortion],
        k=[float(element) for element in k],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[float(element) for element in (*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0)],
    )


def transform_message(
    T_parent_child: NDArray[np.float64], stamp_ns: int, parent: str, child: str,
) -> TransformStamped:  # fmt: skip
    """Return a geometry_msgs/TransformStamped of a (4, 4) matrix."""
    message = TransformStamped(header=header_message(stamp_ns, parent), child_frame_id=child)
    _write_pose(T_parent_child, message.transform.translation, message.transform.rotation)
    return message


def matrix_from_transform(transform: Transform) -> NDArray[np.float64]:
    """Return the (4, 4) matrix of a geometry_msgs/Transform.

    Raises ValueError if it is not finite, or if its quaternion is zero.
    """
    return _read_pose(transform.translation, transform.rotation)


def write_pose(T_parent_child: NDArray[np.float64], pose: Pose) -> None:
    """Write a (4, 4) matrix into a geometry_msgs/Pose."""
    _write_pose(T_parent_child, pose.position, pose.orientation)


def pose_message(T_parent_child: NDArray[np.float64]) -> Pose:
    """Return a geometry_msgs/Pose of a (4, 4) matrix."""
    pose = Pose()
    write_pose(T_parent_child, pose)
    return pose


def matrix_from_pose(pose: Pose) -> NDArray[np.float64]:
    """Return the (4, 4) matrix of a geometry_msgs/Pose.

    Raises ValueError if it is not finite, or if its quaternion is zero.
    """
    return _read_pose(pose.position, pose.orientation)


def _write_pose(
    matrix: NDArray[np.float64], position: Point | Vector3, orientation: Quaternion,
) -> None:  # fmt: skip
    position.x, position.y, position.z = (float(element) for element in matrix[:3, 3])
    orientation.x, orientation.y, orientation.z, orientation.w = (
        float(element) for element in quaternion_from_matrix(matrix))


def _read_pose(position: Point | Vector3, orientation: Quaternion) -> NDArray[np.float64]:
    translation = np.array([position.x, position.y, position.z])
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    norm = np.linalg.norm(quaternion)
    if not np.isfinite(translation).all() or not np.isfinite(norm) or norm < 1e-6:
        raise ValueError(
            f'not a pose: translation {translation.tolist()}, quaternion {quaternion.tolist()}')
    matrix = np.array(quaternion_matrix(quaternion / norm), dtype=np.float64)
    matrix[:3, 3] = translation
    return matrix


def occupancy_grid_message(grid: 'MapGrid', stamp_ns: int, frame_id: str) -> OccupancyGrid:
    """Return a nav_msgs/OccupancyGrid of a MapGrid.

    Cells are -1 (unknown), 0 (free) or 100 (occupied); row 0 has the lowest y.
    """
    message = OccupancyGrid(header=header_message(stamp_ns, frame_id))
    message.info.resolution = float(grid.resolution)
    message.info.height, message.info.width = grid.cells.shape
    # Nav2 ignores the orientation of the origin, so the grid is always aligned with the frame.
    message.info.origin.position.x = float(grid.origin[0])
    message.info.origin.position.y = float(grid.origin[1])
    message.info.origin.position.z = float(grid.floor)  # for RViz: Nav2 ignores it, too
    message.info.origin.orientation.w = 1.0
    message.data = octets_of(grid.cells, 'b')
    return message


def occupancy_patch_message(
    cells: NDArray[np.int8], patch: tuple[slice, slice], stamp_ns: int, frame_id: str,
) -> OccupancyGridUpdate:  # fmt: skip
    """Return a map_msgs/OccupancyGridUpdate of slices (rows, columns) of the cells of a map."""
    rows, columns = patch
    part = cells[patch]
    return OccupancyGridUpdate(
        header=header_message(stamp_ns, frame_id), x=int(columns.start), y=int(rows.start),
        width=part.shape[1], height=part.shape[0], data=octets_of(part, 'b'))


def cells_from_message(message: OccupancyGrid) -> NDArray[np.int8]:
    """Return the (height, width) int8 cells of a nav_msgs/OccupancyGrid; row 0 is the lowest y."""
    cells = np.frombuffer(message.data, np.int8)
    return cells.reshape(message.info.height, message.info.width)


def octets_of(data: NDArray, typecode: str = 'B') -> array.array:
    """Return the bytes of a NumPy array as an array.array, which is the type of message fields."""
    # Assigning another type to a field would check every byte in Python.
    result = array.array(typecode)
    result.frombytes(np.ascontiguousarray(data).tobytes())
    return result

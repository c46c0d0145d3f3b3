"""Messages to numpy and back: pure functions, no node.

Stamps are integer nanoseconds. Images are decoded in encodings.py, CameraInfo is read in
calibration.py, what fills space is written in clouds.py.
"""
import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
from map_msgs.msg import OccupancyGridUpdate
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf_transformations import quaternion_from_matrix, quaternion_matrix


def nanoseconds(stamp):
    """Return a builtin_interfaces/Time in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def time_message(stamp_ns):
    """Return a builtin_interfaces/Time."""
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def header_message(stamp_ns, frame_id):
    """Return a std_msgs/Header."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame_id)


def image_message(image, encoding, stamp_ns, frame_id):
    """Return a sensor_msgs/Image of a (H, W) or (H, W, C) array.

    The encoding is not checked against the array: 'rgb8' for (H, W, 3) uint8, '32FC1' for
    (H, W) float32 depth in metres, '16UC1' for (H, W) uint16 depth in millimetres.
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


def jpeg_message(image, quality, stamp_ns, frame_id):
    """Return a sensor_msgs/CompressedImage of (H, W, 3) uint8 RGB, as image_transport names it."""
    _, octets = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return CompressedImage(
        header=header_message(stamp_ns, frame_id), format='rgb8; jpeg compressed bgr8',
        data=octets_of(octets))


def camera_info_message(camera, stamp_ns, frame_id):
    """Return a sensor_msgs/CameraInfo of an unrectified image; P is filled, as RViz needs it."""
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


def transform_message(T_parent_child, stamp_ns, parent, child):
    """Return a geometry_msgs/TransformStamped of a (4, 4) matrix."""
    message = TransformStamped(header=header_message(stamp_ns, parent), child_frame_id=child)
    _write_pose(T_parent_child, message.transform.translation, message.transform.rotation)
    return message


def matrix_from_transform(transform):
    """Return the (4, 4) float64 matrix of a geometry_msgs/Transform; ValueError if it is none."""
    return _read_pose(transform.translation, transform.rotation)


def write_pose(T_parent_child, pose):
    """Write a (4, 4) matrix into a geometry_msgs/Pose."""
    _write_pose(T_parent_child, pose.position, pose.orientation)


def pose_message(T_parent_child):
    """Return a geometry_msgs/Pose of a (4, 4) matrix."""
    pose = Pose()
    write_pose(T_parent_child, pose)
    return pose


def matrix_from_pose(pose):
    """Return the (4, 4) float64 matrix of a geometry_msgs/Pose; ValueError if it is none."""
    return _read_pose(pose.position, pose.orientation)


def _write_pose(matrix, position, orientation):
    position.x, position.y, position.z = (float(element) for element in matrix[:3, 3])
    orientation.x, orientation.y, orientation.z, orientation.w = (
        float(element) for element in quaternion_from_matrix(matrix))


def _read_pose(position, orientation):
    translation = np.array([position.x, position.y, position.z])
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    norm = np.linalg.norm(quaternion)
    if not np.isfinite(translation).all() or not np.isfinite(norm) or norm < 1e-6:
        raise ValueError(
            f'not a pose: translation {translation.tolist()}, quaternion {quaternion.tolist()}')
    matrix = np.array(quaternion_matrix(quaternion / norm), dtype=np.float64)
    matrix[:3, 3] = translation
    return matrix


def occupancy_grid_message(grid, stamp_ns, frame_id):
    """Return a nav_msgs/OccupancyGrid of a MapGrid (cells -1, 0, 100; row 0 is the lowest y)."""
    message = OccupancyGrid(header=header_message(stamp_ns, frame_id))
    message.info.resolution = float(grid.resolution)
    message.info.height, message.info.width = grid.cells.shape
    # Nav2 ignores the orientation of the origin, so the grid is always aligned with the frame.
    message.info.origin.position.x = float(grid.origin[0])
    message.info.origin.position.y = float(grid.origin[1])
    message.info.origin.position.z = float(grid.floor)  # for the eye: Nav2 ignores it, too
    message.info.origin.orientation.w = 1.0
    message.data = octets_of(grid.cells, 'b')
    return message


def occupancy_patch_message(cells, patch, stamp_ns, frame_id):
    """Return a map_msgs/OccupancyGridUpdate of two slices of the cells of a map."""
    rows, columns = patch
    part = cells[patch]
    return OccupancyGridUpdate(
        header=header_message(stamp_ns, frame_id), x=int(columns.start), y=int(rows.start),
        width=part.shape[1], height=part.shape[0], data=octets_of(part, 'b'))


def cells_from_message(message):
    """Return the (height, width) int8 cells of a nav_msgs/OccupancyGrid; row 0 is the lowest y."""
    cells = np.frombuffer(message.data, np.int8)
    return cells.reshape(message.info.height, message.info.width)


def octets_of(data, typecode='B'):
    """Return an array.array of all bytes of a numpy array."""
    # The only way into a message that does not visit every byte in Python.
    octets = array.array(typecode)
    octets.frombytes(np.ascontiguousarray(data).tobytes())
    return octets

"""Helpers: recordings of a robot with a camera, in every storage."""
import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rclpy.serialization import serialize_message
from rosbags import rosbag1, rosbag2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CompressedImage, LaserScan, PointCloud2
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    header_message,
    image_message,
    transform_message,
)

START = 1_700_000_000_000_000_000
CAMERA = Camera(32, 24, 30.0, 30.0, 15.5, 11.5)
COLOR, INFO = '/camera/color/image_raw', '/camera/color/camera_info'
COUNT = 5
CHANNELS = {'rgb8': (3, np.uint8), '16UC1': (1, np.uint16), '32FC1': (1, np.float32)}


def image(encoding, stamp, frame, camera=CAMERA):
    """Return an Image of random pixels."""
    channels, dtype = CHANNELS.get(encoding, (1, np.uint8))
    pixels = np.random.default_rng(stamp % 2**32).integers(
        0, 255, (camera.height, camera.width, channels)).astype(dtype)
    return image_message(pixels.squeeze(), encoding, stamp, frame)


def drive(count=COUNT, infos=((INFO, 'cam'),), images=((COLOR, 'rgb8', 'cam'),)):
    """Return [(topic, stamp, message)] of a drive, of all types that are played and of another.

    infos: (topic, frame) of CameraInfo; images: (topic, encoding, frame[, count]) of Image.
    """
    messages = [('/tf_static', START, TFMessage(
        transforms=[transform_message(np.eye(4), 0, 'base_link', 'cam')]))]
    for number in range(count):
        stamp = START + number * 200_000_000
        header = header_message(stamp, 'cam')
        messages += [
            ('/tf', stamp, TFMessage(
                transforms=[transform_message(np.eye(4), stamp, 'map', 'base_link')])),
            *((topic, stamp, camera_info_message(CAMERA, stamp, frame))
              for topic, frame in infos),
            *((topic, stamp, image(encoding, stamp, frame))
              for topic, encoding, frame, *most in images if number < min([count, *most])),
            ('/scan', stamp, LaserScan(header=header, ranges=[1.0, 2.0])),
            ('/cloud', stamp, PointCloud2(header=header)),
            ('/odom', stamp, Odometry(header=header)),
            ('/pose', stamp, PoseStamped(header=header)),
            ('/path', stamp, Path(header=header)),
            ('/preview', stamp, CompressedImage(header=header, format='jpeg')),
            ('/chatter', stamp, String(data='not for a mapper'))]
    return messages


def type_of(message):
    """Return the name of the type of a message."""
    return f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"


def write_bag(path, messages, storage='MCAP', compress=False):
    """Write a rosbag2; return its folder."""
    writer = rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin[storage])
    if compress:
        writer.set_compression(
            rosbag2.CompressionMode.MESSAGE, rosbag2.CompressionFormat.ZSTD)
    with writer:
        _write(writer, messages, get_typestore(Stores.ROS2_HUMBLE), lambda data, _: data)
    return path


def write_ros1(path, messages):
    """Write a bag of ROS 1, with the type that /tf had before tf2; return its file."""
    store = get_typestore(Stores.ROS1_NOETIC)
    for kind in ('tf2_msgs/msg/TFMessage', 'tf/msg/tfMessage'):
        store.register(get_types_from_msg('geometry_msgs/TransformStamped[] transforms', kind))
    convert = get_typestore(Stores.ROS2_HUMBLE).cdr_to_ros1
    with rosbag1.Writer(path) as writer:
        _write(writer, messages, store, lambda data, kind: bytes(convert(data, kind)))
    return path


def _write(writer, messages, store, convert):
    connections = {}
    for topic, stamp, message in messages:
        kind = type_of(message)
        if topic not in connections:
            old = isinstance(writer, rosbag1.Writer) and topic == '/tf'
            connections[topic] = writer.add_connection(
                topic, 'tf/msg/tfMessage' if old else kind, typestore=store)
        writer.write(connections[topic], stamp, convert(bytes(serialize_message(message)), kind))

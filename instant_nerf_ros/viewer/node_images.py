"""NodeImages: the images that a node maps, so that its keyframes have pictures.

The node publishes the stamps of its keyframes, not their images. So the latest messages of its
cameras are kept as they have arrived, and decoded only if they have become keyframes.
"""
from __future__ import annotations

import collections
import functools
import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.calibration import camera_from_message, is_rectified
from instant_nerf_ros.ros.inputs.encodings import decode_color

WAITING_BYTES = 128 * 2**20  # of messages that may become keyframes yet
MAX_KEPT = 2000  # images of keyframes, as JPEG
MAX_WIDTH = 640  # pixel, of these
QUALITY = 90  # of these
TYPES = {
    'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage,
    'sensor_msgs/msg/CameraInfo': CameraInfo}
DEPTH_ENCODINGS = '16UC1', '32FC1', 'mono16'


class NodeImages:
    """Finds the topics that the mapper subscribes to, and keeps the images of its keyframes."""

    def __init__(self, node: Node, mapper: str) -> None:
        """Keep a node, and the name of the mapper's node."""
        self._node, self._mapper = node, mapper
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: collections.OrderedDict[int, tuple[bytes, type, str]] = (
            collections.OrderedDict())  # by stamp: serialized message, type, topic
        self._bytes = 0
        self._jpegs: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._cameras: dict[str, Camera] = {}  # by the folder of the topic

    def follow(self) -> None:
        """Subscribe to the cameras of the mapper; to be called now and then by the executor."""
        try:
            topics = dict(self._node.get_subscriber_names_and_types_by_node(
                self._mapper, self._node.get_namespace()))
        except Exception:  # the mapper is not there; rclpy has no public name for this error
            return
        for topic, names in topics.items():
            kind = TYPES.get(names[0])
            if kind is None or topic in self._subscriptions or 'depth' in topic:
                continue
            if kind is CameraInfo:
                self._subscriptions[topic] = self._node.create_subscription(
                    kind, topic, functools.partial(self._keep_camera, topic),
                    qos_profile_sensor_data)
            else:
                self._subscriptions[topic] = self._node.create_subscription(
                    kind, topic, functools.partial(self._keep, kind, topic),
                    qos_profile_sensor_data, raw=True)

    def camera(self) -> Camera | None:
        """Return a camera of the mapper, None before its calibration has come."""
        return next(iter(self._cameras.values()), None)

    def image(self, stamp_ns: int) -> NDArray[np.uint8] | None:
        """Return the image (H, W, 3) RGB of a stamp, None if it came before this process began."""
        if stamp_ns not in self._jpegs and not self._decode(stamp_ns):
            return None
        data = np.frombuffer(self._jpegs[stamp_ns], np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]

    def clear(self) -> None:
        """Forget all images."""
        self._waiting.clear()
        self._jpegs.clear()
        self._bytes = 0

    def _keep(self, kind: type, topic: str, data: bytes) -> None:
        """Keep a serialized message: its stamp follows the four bytes that begin every one."""
        sec, nanosec = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
        stamp_ns = sec * 1_000_000_000 + nanosec
        replaced = self._waiting.pop(stamp_ns, None)
        self._waiting[stamp_ns] = data, kind, topic
        self._bytes += len(data) - (len(replaced[0]) if replaced else 0)
        while self._bytes > WAITING_BYTES and len(self._waiting) > 1:
            self._bytes -= len(self._waiting.popitem(last=False)[1][0])

    def _keep_camera(self, topic: str, message: CameraInfo) -> None:
        folder = topic.rpartition('/')[0]
        if folder not in self._cameras:
            try:
                self._cameras[folder] = camera_from_message(message, is_rectified(message, topic))
            except ValueError:
                return  # the mapper says so in its diagnostics

    def _decode(self, stamp_ns: int) -> bool:
        """Make a JPEG of a message that waits; return whether there is one."""
        if stamp_ns not in self._waiting:
            return False
        data, kind, _ = self._waiting[stamp_ns]
        message: Any = deserialize_message(data, kind)
        if kind is Image and message.encoding in DEPTH_ENCODINGS:
            return False
        try:
            image = decode_color(message)
        except ValueError:
            return False
        scale = min(1.0, MAX_WIDTH / image.shape[1])
        small = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        _, jpeg = cv2.imencode(
            '.jpg', np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self._jpegs[stamp_ns] = jpeg.tobytes()
        while len(self._jpegs) > MAX_KEPT:
            self._jpegs.popitem(last=False)
        return True

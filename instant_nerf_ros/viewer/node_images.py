"""NodeImages: the images that a node maps, so that its keyframes have pictures.

The node publishes the stamps of its keyframes, not their images. So the latest messages of its
cameras are kept as they have arrived, and decoded only if they have become keyframes. Topics of
depth images are known by their encoding, and left again.
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
        """Keep a node, and the full name of the mapper's node."""
        self._node = node
        self._namespace, _, self._mapper = mapper.rpartition('/')
        self._subscriptions: dict[str, Subscription] = {}
        self._depth: set[str] = set()  # topics of depth images
        self._color: set[str] = set()  # topics of color images
        self._waiting: collections.OrderedDict[int, tuple[bytes, type, str]] = (
            collections.OrderedDict())  # by stamp: serialized message, type, topic
        self._ambiguous: set[int] = set()  # stamps of several cameras
        self._bytes = 0
        self._jpegs: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._cameras: dict[str, Camera] = {}  # by the folder of the topic

    def follow(self) -> None:
        """Subscribe to the cameras of the mapper; to be called now and then by the executor."""
        for topic in self._depth & self._subscriptions.keys():
            self._node.destroy_subscription(self._subscriptions.pop(topic))
        try:
            topics = dict(self._node.get_subscriber_names_and_types_by_node(
                self._mapper, self._namespace or '/'))
        except Exception:  # the mapper is not there; rclpy has no public name for this error
            return
        for topic, names in topics.items():
            kind = TYPES.get(names[0])
            if kind is None or topic in self._subscriptions or topic in self._depth:
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
        """Return a camera that takes color images, None before its calibration has come."""
        return next((camera for folder, camera in self._cameras.items()
                     if any(topic.startswith(f'{folder}/') for topic in self._color)), None)

    def image(self, stamp_ns: int) -> NDArray[np.uint8] | None:
        """Return the image (H, W, 3) RGB of a stamp, None if it is not known.

        It came before this process began, or several cameras have images of this stamp.
        """
        if stamp_ns not in self._jpegs and not self._decode(stamp_ns):
            return None
        data = np.frombuffer(self._jpegs[stamp_ns], np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]

    def clear(self) -> None:
        """Forget all images."""
        self._waiting.clear()
        self._jpegs.clear()
        self._ambiguous.clear()
        self._bytes = 0

    def _keep(self, kind: type, topic: str, data: bytes) -> None:
        """Keep a serialized message, unless it is a depth image."""
        stamp_ns, encoding = stamp_and_encoding(data, kind)
        if encoding in DEPTH_ENCODINGS or 'compressedDepth' in encoding:
            self._depth.add(topic)
            return
        self._color.add(topic)
        replaced = self._waiting.pop(stamp_ns, None)
        if replaced and replaced[2] != topic:
            self._ambiguous.add(stamp_ns)
        self._waiting[stamp_ns] = data, kind, topic
        self._bytes += len(data) - (len(replaced[0]) if replaced else 0)
        while self._bytes > WAITING_BYTES and len(self._waiting) > 1:
            stamp_ns, (oldest, *_) = self._waiting.popitem(last=False)
            self._ambiguous.discard(stamp_ns)
            self._bytes -= len(oldest)

    def _keep_camera(self, topic: str, message: CameraInfo) -> None:
        folder = topic.rpartition('/')[0]
        if folder not in self._cameras:
            try:
                self._cameras[folder] = camera_from_message(message, is_rectified(message, topic))
            except ValueError:
                return  # the mapper says so in its diagnostics

    def _decode(self, stamp_ns: int) -> bool:
        """Make a JPEG of a message that waits; return whether there is one."""
        if stamp_ns not in self._waiting or stamp_ns in self._ambiguous:
            return False
        data, kind, _ = self._waiting[stamp_ns]
        message: Any = deserialize_message(data, kind)
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


def stamp_and_encoding(data: bytes, kind: type) -> tuple[int, str]:
    """Return the stamp [ns], and the encoding or format, of a serialized Image or CompressedImage.

    CDR (OMG DDS-XTypes 1.3, 7.4): four bytes that say the byte order, the fields in their order,
    numbers of four bytes aligned to four, strings after their length, which counts their 0.
    """
    order, body = '<' if data[1] & 1 else '>', memoryview(data)[4:]
    sec, nanosec, length = struct.unpack_from(f'{order}iII', body)
    at = 12 + -(-length // 4) * 4
    if kind is Image:
        at += 8  # height and width
    (length,) = struct.unpack_from(f'{order}I', body, at)
    text = bytes(body[at + 4:at + 3 + length]).decode(errors='replace')
    return sec * 1_000_000_000 + nanosec, text

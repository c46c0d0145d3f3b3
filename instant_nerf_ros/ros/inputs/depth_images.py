"""Depth images, which wait for the image that each belongs to."""
import collections
import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import Buffer

from instant_nerf_ros.nerf import EstimatedDepth
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.camera_history import CameraHistory
from instant_nerf_ros.ros.inputs.encodings import ImageMessage, decode_depth, reason
from instant_nerf_ros.ros.inputs.estimated_depth import is_normalized, stretched
from instant_nerf_ros.ros.inputs.registration import register
from instant_nerf_ros.ros.inputs.tf_lookup import (
    NotYetError,
    UnusableError,
    frame_name,
    lookup_pose,
)
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages, label, stamp

MAX_SHIFT = 0.5  # pixels, between images of the same pixels
FARTHEST = 65.535  # m, that the mapper keeps


@dataclasses.dataclass(frozen=True)
class OtherCamera:
    """The camera of a depth image that has to be registered to the color image."""

    camera: Camera
    T_camera_depth: NDArray[np.float64]  # (4, 4), from its frame to that of the color image


@dataclasses.dataclass(frozen=True)
class PosedDepth:
    """The depth message that belongs to an image."""

    message: ImageMessage
    other_camera: OtherCamera | None = None  # None: it has the pixels of the image


class DepthImages:
    """Finds the depth of each image. An image whose depth is unusable is used without depth."""

    def __init__(
        self, buffer: Buffer, config: NodeConfig, depth_topic: str, dropped: DroppedMessages,
    ) -> None:  # fmt: skip
        """Use the settings of a NodeConfig that do not change while running."""
        self._buffer, self._map_frame, self._dropped = buffer, config.map_frame, dropped
        self._unit, self._tolerance = config.depth_unit, config.sync_tolerance
        self._max_depth, self._estimated = config.max_depth, config.depth_trust == 'estimated'
        # Whether the images of the color camera are rectified says nothing about depth.
        self._calibrations = CameraHistory(
            'auto', depth_topic, lambda sentence: dropped.warn('suspicious camera_info', sentence))
        self._messages: collections.deque[ImageMessage] = collections.deque(
            maxlen=config.queue_size)
        self._expected = False  # until the first one has arrived: not every camera has depth

    def add(self, message: ImageMessage) -> None:
        """Add a depth image."""
        self._messages.append(message)
        self._expected = True

    def add_camera_info(self, message: CameraInfo) -> None:
        """Add a calibration of a depth camera that is not registered to the image."""
        self._calibrations.add(message)

    def clear(self) -> None:
        """Remove all depth images."""
        self._messages.clear()
        self._calibrations.clear()

    def find(
        self, image_message: ImageMessage, camera: Camera, frame_id: str,
        T_map_camera: NDArray[np.float64], expired: bool,
    ) -> PosedDepth | None:  # fmt: skip
        """Return the depth of an image of a Camera, at a pose (4, 4); None if it has none.

        Raises NotYetError if the depth or its pose may still arrive, unless the wait has expired.
        """
        message = self._nearest(image_message, expired)
        if message is None:
            return None
        if self._estimated:  # from the image itself, whatever frame it says
            return PosedDepth(message)
        same_frame = frame_name(message.header.frame_id) == frame_id
        if same_frame and not self._calibrations:
            return PosedDepth(message)
        try:
            calibration, settled = self._calibrations.at(
                stamp(message), message.header.frame_id, expired)
            other_camera = calibration.usable_camera()
            if not settled:
                raise NotYetError('depth unlike image', 'its camera_info has not arrived')
            if same_frame and _same_pixels(other_camera, camera):
                return PosedDepth(message)
            # At its own stamp: the robot moves between the two.
            T_map_depth = lookup_pose(
                self._buffer, self._map_frame, message.header.frame_id, stamp(message))
        except UnusableError as error:
            if error.reason != 'no camera_info' and not expired and isinstance(
                    error, NotYetError):
                raise
            if same_frame and isinstance(message, Image) and (
                    message.height, message.width) == (camera.height, camera.width):
                return PosedDepth(message)
            self._drop(message, 'depth unlike image', (
                f"it does not have the pixels of the image of '{frame_id}', and cannot be "
                f'registered to it: {error}'))
            return None
        return PosedDepth(
            message, OtherCamera(other_camera, np.linalg.inv(T_map_camera) @ T_map_depth))

    def decode(
        self, depth: PosedDepth | None, camera: Camera, frame_id: str,
    ) -> NDArray[np.float32] | EstimatedDepth | None:  # fmt: skip
        """Return the depth (H, W) [m] of a PosedDepth for the image of a Camera.

        frame_id is that of the image. Returns None for None, and for a depth that is unusable.
        What is not trusted is of any unit, and stretched over the image.
        """
        if depth is None:
            return None
        message, other = depth.message, depth.other_camera
        try:
            metres = decode_depth(message, self._unit, 0.0 if self._estimated else self._max_depth)
        except ValueError as error:
            self._drop(message, reason(error, 'depth'), str(error))
            return None
        if self._estimated:
            return EstimatedDepth(stretched(metres, camera.height, camera.width))
        if is_normalized(metres):
            self._drop(message, 'normalized depth', (
                'its values are from 0 to 1 exactly, so that it was estimated from an image and '
                "not measured: set 'depth_trust' to estimated"))
            return None
        if frame_name(message.header.frame_id) == frame_id and metres.shape == (
                camera.height, camera.width) and other and metres.shape != (
                other.camera.height, other.camera.width):
            other = None  # it is the camera_info of another image
        own = other.camera if other else camera
        if metres.shape != (own.height, own.width):
            self._drop(message, 'depth unlike image', (
                f'it is {metres.shape[1]} x {metres.shape[0]}, '
                f"{'its camera_info' if other else 'the image'} is "
                f"{own.width} x {own.height} of '{frame_id}': use the depth topic of the driver "
                'that is aligned to the image, or remap depth_camera_info'))
            return None
        measured = metres[np.isfinite(metres) & (metres > 0)]
        if not len(measured):
            self._drop(message, 'empty depth', (
                "no pixel holds a measurement: check the camera, or set 'use_depth' to false"))
            return None
        if measured.min() >= FARTHEST:
            self._drop(message, 'empty depth', (
                f'all pixels are farther than {FARTHEST:.0f} m, the nearest is {measured.min():g} '
                'm away: are they millimetres? Floats must be metres (REP 118), and depth_unit '
                'is that of integers'))
            return None
        if other:
            metres = register(metres, other.camera, other.T_camera_depth, camera)
        return metres

    def _nearest(self, image_message: ImageMessage, expired: bool) -> ImageMessage | None:
        """Return the depth message nearest in time to an image, None if there will be none."""
        if not self._expected:
            return None
        image_ns, tolerance_ns = stamp(image_message), int(self._tolerance * 1e9)
        while self._messages and stamp(self._messages[0]) < image_ns - tolerance_ns:
            self._messages.popleft()
        near = [m for m in self._messages if abs(stamp(m) - image_ns) <= tolerance_ns]
        if near:
            return min(near, key=lambda message: abs(stamp(message) - image_ns))
        if not self._messages and not expired:
            raise NotYetError('no depth', 'its depth image has not arrived')
        # The wait has expired, or a newer one has arrived already, so this one will not.
        self._dropped.add('no depth', (
            f"{label(image_message, 'image')}: none within {self._tolerance} s, the image is used "
            "without depth: increase 'sync_tolerance' if their stamps differ by more"))
        return None

    def _drop(self, message: ImageMessage, why: str, sentence: str) -> None:
        self._dropped.add(why, f"{label(message, 'depth')}: {sentence}")


@functools.lru_cache(maxsize=8)
def _same_pixels(one: Camera, other: Camera) -> bool:
    """Return whether each pixel of a camera has the same ray as that of another camera."""
    if (one.width, one.height) != (other.width, other.height):
        return False
    difference = np.abs(one.directions() - other.directions()).max()
    return bool(difference * max(one.fx, one.fy) <= MAX_SHIFT)

"""Images with the pose, calibration and depth that belong to them.

These arrive on several topics in any order. Callbacks add messages, and poll() pairs them in the
order of arrival, with a bounded wait. The pose is looked up as soon as TF has it, because the TF
history is short and training may be slow. The image is decoded later, only if it is needed.
"""
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage
from tf2_ros import Buffer

from instant_nerf_ros.nerf import EstimatedDepth
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.camera_history import CameraHistory
from instant_nerf_ros.ros.inputs.depth_images import DepthImages, PosedDepth
from instant_nerf_ros.ros.inputs.encodings import (
    ImageMessage,
    bits_warning,
    check_color,
    decode_color,
    reason,
)
from instant_nerf_ros.ros.inputs.pending_messages import PendingMessages
from instant_nerf_ros.ros.inputs.tf_lookup import (
    NO_STAMP,
    NotYetError,
    UnusableError,
    frame_name,
    lookup_angular_velocity,
    lookup_pose,
)
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages, label, stamp
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

if TYPE_CHECKING:
    from instant_nerf_ros.ros.inputs.input_queue import InputQueue


@dataclasses.dataclass(frozen=True)
class PosedImage:
    """An image message with everything the Mapper needs."""

    stamp_ns: int
    frame_id: str  # of the camera
    camera: Camera
    T_map_camera: NDArray[np.float64]  # (4, 4)
    # (3,) rad/s of the camera in its own frame; None: unknown, or not needed beside its depth
    angular_velocity: NDArray[np.float64] | None
    message: ImageMessage
    depth: PosedDepth | None
    source: 'PosedImages'  # of its camera

    @property
    def T_map_sensor(self) -> NDArray[np.float64]:  # noqa: N802
        """Return T_map_camera by the name that it has in a PosedScan."""
        return self.T_map_camera


class PosedImages:
    """Pairs the messages of a camera into posed images; reports those that cannot be used.

    All methods may be called from any thread, and none of them blocks.
    """

    def __init__(
        self, buffer: Buffer, config: NodeConfig, image_topic: str, dropped: DroppedMessages,
        statistics: TopicStatistics, queue: 'InputQueue',
        clock: Callable[[], float] = time.monotonic, depth_topic: str = '',
    ) -> None:  # fmt: skip
        """Append the posed images to a queue; clock() is in seconds."""
        self.config = config
        self._buffer, self._dropped, self._statistics = buffer, dropped, statistics
        self._queue = queue
        self._calibrations = CameraHistory(
            config.rectification, image_topic,
            lambda sentence: dropped.warn('suspicious camera_info', sentence))
        self._lock = threading.RLock()
        self._pending: PendingMessages[ImageMessage] = PendingMessages(
            clock, lambda message, error: self._drop(message, error.reason, str(error)))
        self._depths = DepthImages(buffer, config, depth_topic, dropped)
        self._newest_ns = 0  # stamp of the newest image that was queued
        self.frame_id = ''  # of its camera

    def set_config(self, config: NodeConfig) -> None:
        """Use the settings of another NodeConfig that may change while running."""
        self.config = config

    def add_image(self, message: ImageMessage) -> None:
        """Add an image."""
        with self._lock:
            if len(self._pending) >= self.config.queue_size:
                self._drop(self._pending.popleft(), 'queue full', (
                    f'{self.config.queue_size} images are waiting ({self._pending.blocked_by}): '
                    "provide what is missing, or increase 'queue_size'"))
            self._pending.append(message)

    def add_depth(self, message: ImageMessage) -> None:
        """Add a depth image."""
        with self._lock:
            self._depths.add(message)

    def add_depth_camera_info(self, message: CameraInfo) -> None:
        """Update the calibration of a depth camera that is not registered to the image."""
        with self._lock:
            self._depths.add_camera_info(message)

    def add_camera_info(self, message: CameraInfo) -> None:
        """Add a calibration, which belongs to the image of its stamp."""
        with self._lock:
            self._calibrations.add(message)

    def clear(self) -> None:
        """Remove all messages but the calibration, as after a jump back in time."""
        with self._lock:
            self._pending.clear()
            self._calibrations.clear()
            self._depths.clear()
            self._newest_ns = 0

    @property
    def waiting(self) -> bool:
        """Return whether an image waits to be paired."""
        return bool(self._pending)

    def poll(self) -> None:
        """Pair the messages that have arrived; to be called often."""
        with self._lock:
            self._pending.poll(self._process, self.config.tf_timeout)

    def decode(
        self, posed: PosedImage,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | EstimatedDepth | None] | None:
        """Return image (H, W, 3) uint8 RGB and depth (H, W) float32 [m] of a PosedImage.

        The depth is None if there is none. Returns None for an image that cannot be decoded.
        """
        try:
            image = decode_color(posed.message, self.config.image_bits)
            if sentence := bits_warning(posed.message, self.config.image_bits):
                self._dropped.warn('dark image', f"{label(posed.message, 'image')}: {sentence}")
            _check_size(image.shape[:2], posed.camera)
        except UnusableError as error:
            self._drop(posed.message, error.reason, str(error))
            return None
        except ValueError as error:
            self._drop(posed.message, reason(error, 'image'), str(error))
            return None
        return image, self._depths.decode(posed.depth, posed.camera, posed.frame_id)

    def _process(self, message: ImageMessage, age: float, expired: bool) -> None:
        posed = self._pair(message, expired)
        self._newest_ns, self.frame_id = posed.stamp_ns, posed.frame_id
        self._statistics.waited(age)
        self._queue.append(posed)

    def _pair(self, message: ImageMessage, expired: bool) -> PosedImage:
        stamp_ns = stamp(message)
        if stamp_ns == 0:
            raise UnusableError('no stamp', NO_STAMP)
        if stamp_ns <= self._newest_ns:
            raise UnusableError('out of order', (
                f'an image of {self._newest_ns * 1e-9:.9f} came before; '
                'to play a bag again, set use_sim_time'))
        calibration, settled = self._calibrations.at(
            stamp_ns, message.header.frame_id, expired)
        camera = calibration.usable_camera()
        frame_id = calibration.frame_id or frame_name(message.header.frame_id)
        if not isinstance(message, CompressedImage):
            _check_size((message.height, message.width), camera)
        try:
            check_color(message)
        except ValueError as error:
            raise UnusableError(reason(error, 'image'), str(error)) from error
        T_map_camera = lookup_pose(self._buffer, self.config.map_frame, frame_id, stamp_ns)
        if not settled:
            raise NotYetError('no camera_info', 'the one with its stamp has not arrived')
        depth = self._depths.find(message, camera, frame_id, T_map_camera, expired)
        measured = depth is not None and self.config.depth_trust == 'measured'
        velocity = None if measured else lookup_angular_velocity(
            self._buffer, self.config.map_frame, frame_id, stamp_ns, T_map_camera)
        return PosedImage(
            stamp_ns, frame_id, camera, T_map_camera, velocity, message, depth, self)

    def _drop(self, message: ImageMessage, why: str, sentence: str) -> None:
        self._dropped.add(why, f"{label(message, 'image')}: {sentence}")


def _check_size(shape: tuple[int, ...], camera: Camera) -> None:
    if shape != (camera.height, camera.width):
        raise UnusableError('size unlike camera_info', (
            f'it is {shape[1]} x {shape[0]}, camera_info is of {camera.width} x {camera.height}: '
            'remap camera_info to that of this image'))

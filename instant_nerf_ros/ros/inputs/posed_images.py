"""Images with the pose, camera and depth that belong to them.

The messages of an image come on several topics in any order. Callbacks add them here, and poll()
pairs them in the order of arrival, with a bounded wait. A pose is looked up as soon as TF has it,
because TF forgets while the engine is busy. An image is decoded later, by the one who has seen
its pose and wants it.
"""
import dataclasses
import threading
import time

import numpy as np
from sensor_msgs.msg import CompressedImage

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.calibration import Calibration
from instant_nerf_ros.ros.inputs.depth_images import DepthImages, PosedDepth
from instant_nerf_ros.ros.reporting.dropped_messages import label, reason, stamp
from instant_nerf_ros.ros.inputs.encodings import check_color, decode_color
from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError, UnusableError, lookup_pose
from instant_nerf_ros.ros.inputs.pending_messages import Waiting


@dataclasses.dataclass(frozen=True)
class PosedImage:
    """An image with all that the engine needs, still as messages."""

    stamp_ns: int
    frame_id: str  # of the camera
    camera: Camera
    T_map_camera: np.ndarray  # (4, 4) float64
    message: object  # sensor_msgs/Image or CompressedImage
    depth: PosedDepth  # or None
    source: object  # the PosedImages it comes from, one for each camera

    @property
    def T_map_sensor(self):  # noqa: N802
        """Return T_map_camera, which is that of a PosedScan, too."""
        return self.T_map_camera


class PosedImages:
    """Pairs the messages of a camera into posed images; what cannot be used goes to drops.

    All methods may be called from any thread, and none of them blocks.
    """

    def __init__(self, buffer, config, image_topic, drops, traffic, ready, clock=time.monotonic):
        """Keep a tf2_ros Buffer, a NodeConfig, where to report, Ready and a clock [s]."""
        self.config = config
        self._buffer, self._drops, self._traffic, self._ready = buffer, drops, traffic, ready
        self._calibration = Calibration(config.rectification, image_topic)
        self._depth_calibration = Calibration(config.rectification, image_topic)
        self._lock = threading.RLock()
        self._waiting = Waiting(
            clock, lambda message, error: self._drop(message, error.reason, str(error)))
        self._depths = DepthImages(config, drops)
        self._newest_ns = 0  # stamp of the newest image that was ready

    def add_image(self, message):
        """Queue a sensor_msgs/Image or CompressedImage."""
        with self._lock:
            if len(self._waiting) >= self.config.queue_size:
                self._drop(
                    self._waiting.popleft(), 'queue full', f'it waited for {self._waiting.cause}')
            self._waiting.append(message)

    def add_depth(self, message):
        """Queue a depth image."""
        with self._lock:
            self._depths.add(message)

    def add_depth_camera_info(self, message):
        """Take the calibration of a depth camera that is not registered to the image."""
        with self._lock:
            self._depth_calibration.update(message)

    def add_camera_info(self, message):
        """Take a calibration, which holds from now on."""
        with self._lock:
            before = self._calibration.frame_id
            if not self._calibration.update(message):
                return
            # Images from before the change may have either calibration.
            count = self._waiting.keep(lambda image: stamp(image) >= stamp(message))
            self._drop(message, 'camera_info changed', (
                f"that of '{before}' held before; {count} waiting images are dropped"),
                'camera_info')

    def clear(self):
        """Forget everything but the calibration, as after a jump back in time."""
        with self._lock:
            self._waiting.clear()
            self._depths.clear()
            self._newest_ns = 0

    @property
    def waiting(self):
        """Tell whether an image waits to be polled."""
        return bool(self._waiting)

    def poll(self):
        """Pair what can be paired. To be called often."""
        with self._lock:
            self._waiting.poll(self._use, self.config.tf_timeout)

    def decode(self, posed):
        """Return (image, depth) of a PosedImage as Mapper.add takes them, or None if it is bad.

        image is (H, W, 3) uint8 RGB, depth (H, W) float32 in metres or None.
        """
        try:
            image = decode_color(posed.message)
            _check_size(image.shape[:2], posed.camera)
        except UnusableError as error:
            self._drop(posed.message, error.reason, str(error))
        except ValueError as error:
            self._drop(posed.message, reason(error, 'image'), str(error))
        else:
            return image, self._depths.decode(posed.depth, posed.camera, posed.frame_id)

    def _use(self, message, waited, expired):
        posed = self._pair(message, expired)
        self._newest_ns = posed.stamp_ns
        self._traffic.waited(waited)
        self._ready.append(posed)

    def _pair(self, message, expired):
        stamp_ns = stamp(message)
        if stamp_ns == 0:
            raise UnusableError('no stamp', 'TF takes a zero stamp for the latest time')
        if stamp_ns <= self._newest_ns:
            raise UnusableError('out of order', (
                f'one of {self._newest_ns * 1e-9:.9f} came before; '
                'to play a bag again, set use_sim_time'))
        camera, frame_id = self._calibration.camera(), self._calibration.frame_id
        if not isinstance(message, CompressedImage):
            _check_size((message.height, message.width), camera)
        try:
            check_color(message)
        except ValueError as error:
            raise UnusableError(reason(error, 'image'), str(error)) from error
        T_map_camera = lookup_pose(self._buffer, self.config.map_frame, frame_id, stamp_ns)
        depth_message = self._depths.find(message, expired)
        depth = self._posed_depth(depth_message, T_map_camera, expired)
        return PosedImage(
            stamp_ns, frame_id, camera, T_map_camera, message, depth, self)

    def _posed_depth(self, message, T_map_camera, expired):
        """Return the PosedDepth of a depth message, None for none or one without a pose."""
        if message is None or message.header.frame_id == self._calibration.frame_id:
            return message and PosedDepth(message)
        try:
            # At its own stamp: the robot moves between the two.
            camera = self._depth_calibration.camera()
            T_map_depth = lookup_pose(
                self._buffer, self.config.map_frame, message.header.frame_id, stamp(message))
        except UnusableError as error:
            if error.reason != 'no camera_info' and not expired and isinstance(
                    error, NotYetError):
                raise
            return self._depths.drop(message, 'depth unlike image', (
                f"it is not in the frame '{self._calibration.frame_id}' of the image, and to "
                f'register it, this is missing: {error}'))
        return PosedDepth(message, camera, np.linalg.inv(T_map_camera) @ T_map_depth)

    def _drop(self, message, why, sentence, kind='image'):
        self._drops.add(why, f'{label(message, kind)}: {sentence}')


def _check_size(shape, camera):
    if shape != (camera.height, camera.width):
        raise UnusableError('size unlike camera_info', (
            f'it is {shape[1]} x {shape[0]}, camera_info is of {camera.width} x {camera.height}'))

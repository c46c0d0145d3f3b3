"""Depth images, until the image to which each belongs has come."""
import collections
import dataclasses

import numpy as np

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.reporting.dropped_messages import label, reason, stamp
from instant_nerf_ros.ros.inputs.encodings import decode_depth
from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError
from instant_nerf_ros.ros.inputs.registration import register


@dataclasses.dataclass(frozen=True)
class PosedDepth:
    """A depth image, still as a message; if it is not registered, how it lies to the image."""

    message: object  # sensor_msgs/Image or CompressedImage
    camera: Camera = None  # that of the depth; None: it has the pixels of the image
    T_camera_depth: np.ndarray = None  # (4, 4) float64


class DepthImages:
    """Finds the depth of an image. Whatever is wrong with it costs the depth, not the image."""

    def __init__(self, config, drops):
        """Keep a NodeConfig and a Drops."""
        self._unit, self._drops = config.depth_unit, drops
        self._tolerance = config.sync_tolerance
        self._messages = collections.deque(maxlen=config.queue_size)
        self._expected = False  # until one has come: not every camera has depth

    def add(self, message):
        """Queue a depth image."""
        self._messages.append(message)
        self._expected = True

    def clear(self):
        """Forget those that wait."""
        self._messages.clear()

    def find(self, image_message, expired):
        """Return the depth message nearest in time to an image, None if there will be none.

        Raises NotYetError where it may still come, unless the wait has expired.
        """
        if not self._expected:
            return None
        image_ns, tolerance_ns = stamp(image_message), int(self._tolerance * 1e9)
        while self._messages and stamp(self._messages[0]) < image_ns - tolerance_ns:
            self._messages.popleft()
        near = [m for m in self._messages if abs(stamp(m) - image_ns) <= tolerance_ns]
        if near:
            return min(near, key=lambda message: abs(stamp(message) - image_ns))
        if not self._messages and not expired:
            raise NotYetError('no depth', 'its depth image')
        # Waited long enough, or a newer one is there already, so that this one will not come.
        self._drops.add('no depth', (
            f"{label(image_message, 'image')}: none within {self._tolerance} s, "
            'the image is used without'))
        return None

    def decode(self, depth, camera, frame_id):
        """Return (H, W) float32 metres of a PosedDepth, for the image of a Camera and a frame.

        Returns None for a depth that cannot be used, and for None.
        """
        if depth is None:
            return None
        message = depth.message
        try:
            metres = decode_depth(message, self._unit)
        except ValueError as error:
            return self.drop(message, reason(error, 'depth'), str(error))
        size = (camera.height, camera.width) if depth.camera is None else (
            depth.camera.height, depth.camera.width)
        if metres.shape != size:
            return self.drop(message, 'depth unlike image', (
                f"it is {metres.shape[1]} x {metres.shape[0]}, "
                f"{'the image' if depth.camera is None else 'its camera_info'} is "
                f"{size[1]} x {size[0]} of '{frame_id}'; take the driver's depth that is aligned "
                'to the image, or remap depth_camera_info'))
        if not (np.isfinite(metres) & (metres > 0)).any():
            return self.drop(message, 'empty depth', 'no pixel holds a measurement')
        if depth.camera is not None:
            metres = register(metres, depth.camera, depth.T_camera_depth, camera)
        return metres

    def drop(self, message, why, sentence):
        """Count a depth that is not used."""
        self._drops.add(why, f"{label(message, 'depth')}: {sentence}")

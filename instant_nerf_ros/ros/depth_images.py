"""Depth images, until the image to which each belongs has come."""
import collections

import numpy as np

from instant_nerf_ros.ros.drops import label, reason, stamp
from instant_nerf_ros.ros.encodings import decode_depth
from instant_nerf_ros.ros.poses import NotYetError


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

    def decode(self, message, frame_id, size):
        """Return (H, W) float32 metres of a message or None, for an image of that frame and size.

        Returns None for a depth that cannot be used.
        """
        if message is None:
            return None
        try:
            depth = decode_depth(message, self._unit)
        except ValueError as error:
            return self._drop(message, reason(error, 'depth'), str(error))
        if depth.shape != size or message.header.frame_id != frame_id:
            return self._drop(message, 'depth unlike image', (
                f"it is {depth.shape[1]} x {depth.shape[0]}, the image is {size[1]} x {size[0]} "
                f"of '{frame_id}'; the depth must be registered to the image"))
        if not (np.isfinite(depth) & (depth > 0)).any():
            return self._drop(message, 'empty depth', 'no pixel holds a measurement')
        return depth

    def _drop(self, message, why, sentence):
        self._drops.add(why, f"{label(message, 'depth')}: {sentence}")

"""The posed images of a recording: its color camera, its depth, and the poses of TF."""
import bisect
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.bag_images import calibration, decode_color, decode_depth
from instant_nerf_ros.data.bags import Recording, open_recording
from instant_nerf_ros.data.cameras import find_camera
from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.transform_tree import TransformTree
from instant_nerf_ros.nerf.camera import Camera

MAX_DELAY = 25_000_000  # ns between an image and its depth
WORLDS = 'map', 'world', 'odom'  # frames that poses are in, the first that there is


class BagFrames:
    """The posed images of a recording, which is read again for each pass over them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Find the camera and read all poses.

        Raises ImportError, OSError or ValueError, with the reason and the topics that there are.
        """
        from rosbags.typesys import Stores, get_typestore
        self.path = path
        self._decode = get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr
        with open_recording(path) as recording:
            self.camera = find_camera(recording)
            self._tree = self._read_tree(recording)
            _, frame, self.intrinsics = self._first_info(recording)
            depth_frame = self._first_info(recording, self.camera.depth_camera_info)[1] \
                if self.camera.depth_camera_info else ''
        self.frame, chain = frame, self._tree.chain(frame)
        if len(chain) == 1:
            raise ValueError(
                f"{path}: no transform of the camera's frame '{frame}': a recording needs /tf and "
                '/tf_static up to a fixed frame')
        self.world = next((name for name in WORLDS if name in chain), chain[-1])
        self.with_depth = bool(self.camera.depth) and depth_frame == frame
        if self.camera.depth and not self.with_depth:
            warnings.warn(
                f"{path}: {self.camera.depth} is in '{depth_frame}' and not in the color camera's "
                f"'{frame}': depth is not used; record depth that is registered to color",
                stacklevel=2)

    def poses(self) -> Iterator[tuple[int, NDArray[np.float64] | None]]:
        """Yield stamp [ns] and T_world_camera of all images; None where TF does not say it."""
        with open_recording(self.path) as recording:
            for message in self._messages(recording, self._image_topic()):
                stamp = _stamp(message)
                yield stamp, self._tree.pose(self.world, self.frame, stamp)

    def read(self, stamps: set[int]) -> Iterator[Frame]:
        """Yield the Frames of the images with some stamps [ns]; unreadable ones are left out.

        One warning counts them.
        """
        unreadable = []
        with open_recording(self.path) as recording:
            depths = self._depth_stamps(recording) if self.with_depth else []
            chosen = {_nearest(depths, stamp): stamp for stamp in stamps} if depths else {}
            waiting: dict[int, NDArray[np.float32] | None] = {}
            if chosen:
                for message in self._messages(recording, self._depth_topic()):
                    if (stamp := chosen.get(_stamp(message))) is not None and (
                            abs(_stamp(message) - stamp) <= MAX_DELAY):
                        waiting[stamp] = decode_depth(message)
            for message in self._messages(recording, self._image_topic()):
                if (stamp := _stamp(message)) not in stamps:
                    continue
                pose = self._tree.pose(self.world, self.frame, stamp)
                try:
                    image = decode_color(message, self.intrinsics)
                except ValueError as error:
                    unreadable.append(f'{self._image_topic()}: {error}')
                    continue
                depth = waiting.pop(stamp, None)
                if depth is not None and depth.shape != image.shape[:2]:
                    depth = None
                if pose is not None:
                    yield Frame(stamp, image, self.intrinsics, pose, depth)
        if unreadable:
            warnings.warn(f'{self.path}: {len(unreadable)} images cannot be read and are left '
                          f'out: {unreadable[0]}', stacklevel=2)

    def _image_topic(self) -> str:
        return _topic(self.camera.image, self.camera.image_transport)

    def _depth_topic(self) -> str:
        return _topic(self.camera.depth, self.camera.depth_transport)

    def _messages(self, recording: Recording, topic: str) -> Iterator[Any]:
        for _, _, data in recording.messages([topic]):
            yield self._decode(data, recording.types[topic])

    def _first_info(self, recording: Recording, topic: str = '') -> tuple[int, str, Camera]:
        """Return the stamp, the frame and the Camera of the first CameraInfo of a topic."""
        for message in self._messages(recording, topic or self.camera.camera_info):
            return _stamp(message), message.header.frame_id.lstrip('/'), calibration(
                message, self.camera.image)
        raise ValueError(f'{self.path}: no message on {topic or self.camera.camera_info}')

    def _read_tree(self, recording: Recording) -> TransformTree:
        tree = TransformTree()
        kinds = recording.types
        for topic in (name for name, kind in kinds.items() if kind.endswith('/TFMessage')):
            for message in self._messages(recording, topic):
                for each in message.transforms:
                    _add(tree, each.header, each.child_frame_id, each.transform.translation,
                         each.transform.rotation, topic.endswith('tf_static'))
        odometry = TransformTree()
        for topic in (name for name, kind in kinds.items() if kind.endswith('/Odometry')):
            for message in self._messages(recording, topic):
                if message.child_frame_id.lstrip('/') not in tree:
                    pose = message.pose.pose
                    _add(odometry, message.header, message.child_frame_id, pose.position,
                         pose.orientation, False)
        tree.add_missing(odometry)
        return tree

    def _depth_stamps(self, recording: Recording) -> list[int]:
        return sorted(_stamp(m) for m in self._messages(recording, self._depth_topic()))


def _add(
    tree: TransformTree, header: Any, child: str, position: Any, rotation: Any, static: bool,
) -> None:  # fmt: skip
    tree.add(header.frame_id.lstrip('/'), child.lstrip('/'),
             header.stamp.sec * 10**9 + header.stamp.nanosec,
             (position.x, position.y, position.z),
             (rotation.x, rotation.y, rotation.z, rotation.w), static)


def _topic(base: str, transport: str) -> str:
    return base if transport == 'raw' else f'{base}/{transport}'


def _stamp(message: Any) -> int:
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def _nearest(stamps: list[int], stamp: int) -> int:
    after = bisect.bisect_left(stamps, stamp)
    return min(stamps[max(after - 1, 0) : after + 1], key=lambda each: abs(each - stamp))

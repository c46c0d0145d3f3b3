"""Replay: the node that plays a folder of posed images or a rosbag2.

A folder is published on camera/color/image_raw, camera/color/camera_info, camera/depth/image_raw,
/tf (map -> camera_link), /tf_static and /clock; a bag on its recorded topics (remap them as
usual), with its own stamps, and on /clock. The node exits at the end of the recording. Frames that
cannot be read are named, counted and left out.
"""
import contextlib
import dataclasses
import os.path
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module

import numpy as np
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile

from instant_nerf_ros.data.bags import is_bag, open_recording
from instant_nerf_ros.data.cameras import find_camera
from instant_nerf_ros.data.frames import Frame, FrameFolder, holdout, load_folder
from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.nerf.settings import setting
from instant_nerf_ros.ros.playback.playback_node import (
    FIRST_STAMP,
    OPTICAL_FRAME,
    CameraPublishers,
    PlaybackNode,
    printable,
    run,
)
from instant_nerf_ros.ros.qos import LATE, RELIABLE

PROGRESS_PERIOD = 5.0  # s between log lines
STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Parameters of the node."""

    path: str = setting('', 'folder of posed images, transforms.json, rosbag2 or .bag')
    rate: float = setting(1.0, 'factor on the recorded speed', 0.001, 1000.0)
    frame_rate: float = setting(
        30.0, 'images per second of a folder without times [Hz]', 0.001, 1000.0)
    scale: float = setting(1.0, 'metres per unit of a transforms.json', 1e-6, 1e6)
    hold_out: bool = setting(False, 'leave out the images 0, 8, 16, ... of a folder, for tests')
    with_depth: bool = setting(True, 'publish the depth images of a folder')
    reliability: str = setting(
        'reliable', 'QoS of the images of a folder', choices=('reliable', 'best_effort'))
    wait_for_subscriber: float = setting(
        60.0, 'longest wait for a subscriber of the image before the start [s]', 0.0, 3600.0)


class Replay(PlaybackNode[ReplayConfig]):
    """Plays a recording once."""

    def __init__(self, stop: threading.Event) -> None:
        """Declare the parameters. Raises ValueError for a wrong one."""
        super().__init__('replay', ReplayConfig(), stop)
        self._logged_at = 0.0  # time of the last progress in the log [s]
        self._warned: set[str] = set()  # warnings in the log
        self._left_out = 0  # frames that could not be read
        if not self.config.path:
            raise ValueError("the parameter 'path' is missing: give the folder or bag to play")
        self._path = os.path.expanduser(self.config.path)

    def play(self) -> None:
        """Play the recording. Raises ValueError or OSError if it cannot be read."""
        count, duration = self._play_bag() if is_bag(self._path) else self._play_folder()
        self.get_logger().info(
            f'replay finished: {count} frames in {duration:.1f} s{self.lag_text()}'
            + (f', {self._left_out} left out' if self._left_out else ''))

    def _play_folder(self) -> tuple[int, float]:
        """Play a folder; return the number of images and the duration [s].

        Raises ValueError if no image can be read.
        """
        config = self.config
        with self._log_warnings():
            frames = load_folder(self._path, config.frame_rate, config.scale)
        if not config.with_depth:
            frames = frames.without_depth()
        camera = CameraPublishers(
            self, '16UC1' if config.with_depth else 'none', config.reliability)
        camera.publish_static([(T_BODY_OPTICAL, 'camera_link', OPTICAL_FRAME)])
        played = {i for i in range(len(frames)) if not (config.hold_out and holdout(i))}
        begin = self._begin(f'{len(played)} of {len(frames)} frames', [camera.image])
        T_optical_link = np.linalg.inv(T_BODY_OPTICAL)
        for index, entry in enumerate(frames.entries):
            # Files are read before their image is due, so that it is published in time.
            frame = self._read(frames, index) if index in played else None
            stamp = FIRST_STAMP + entry.stamp
            self.advance(stamp, config.rate)
            camera.publish_transform(
                stamp, entry.T_world_camera @ T_optical_link, 'map', 'camera_link')
            if frame:
                camera.publish(stamp, frame.image, frame.camera, frame.depth)
            self._log_progress(f'frame {index + 1} of {len(frames)}')
        if played and self._left_out == len(played):
            raise ValueError(f'{config.path}: none of {len(played)} frames can be read')
        return len(played) - self._left_out, self._end(begin, [camera.image, camera.depth])

    def _read(self, frames: FrameFolder, index: int) -> Frame | None:
        """Return a frame with or without depth; count and log it if it cannot be read."""
        try:
            with self._log_warnings():
                return frames[index]
        except (ValueError, OSError) as error:
            self._left_out += 1
            self.get_logger().warning(printable(f'frame {index} is left out: {error}'))
            return None

    @contextlib.contextmanager
    def _log_warnings(self) -> Iterator[None]:
        """Log the warnings of the readers, each kind once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always', UserWarning)
            yield
        for text in (printable(str(warning.message)) for warning in caught):
            if text not in self._warned:
                self._warned.add(text)
                self.get_logger().warning(text)

    def _play_bag(self) -> tuple[int, float]:
        """Play a bag; return the number of images and the duration [s]."""
        with contextlib.ExitStack() as stack:
            with self._log_warnings():
                recording = stack.enter_context(open_recording(self._path))
            publishers: dict[str, Publisher] = {
                topic: self.create_publisher(_message_type(name), topic, _qos(topic, name))
                for topic, name in recording.types.items()}
            images = {topic for topic, name in recording.types.items() if 'Image' in name}
            try:
                self.get_logger().info(find_camera(recording).reason)
            except ValueError as error:
                self.get_logger().warning(f'{self.config.path}: {error}')
            begin = self._begin(
                f"a bag with {', '.join(sorted(recording.types))}",
                [publishers[topic] for topic in images])
            self._log_use(publishers)
            count = 0
            for stamp, topic, serialized in recording.messages():
                self.advance(stamp, self.config.rate)
                publishers[topic].publish(serialized)
                count += topic in images
                self._log_progress(f'{count} images')
            return count, self._end(begin, publishers.values())

    def _log_use(self, publishers: dict[str, Publisher]) -> None:
        """Log which topics of a bag have a subscriber."""
        used = [topic for topic in sorted(publishers)
                if publishers[topic].get_subscription_count()]
        unused = sorted(publishers.keys() - used)
        self.get_logger().info(
            f"topics in use: {', '.join(used) or 'none'}"
            + (f"; without a subscriber: {', '.join(unused)}" if unused else ''))

    def _begin(self, contents: str, publishers: Sequence[Publisher]) -> float:
        """Wait for a subscriber; return the time at which playing begins [s]."""
        log = self.get_logger()
        log.info(f'{self.config.path}: {contents}; waiting for a subscriber of the image')
        if not self.wait_for_subscriber(publishers, self.config.wait_for_subscriber):
            log.warning('no subscriber came; starting without one')
        log.info('replay started')
        self._logged_at = time.monotonic()
        return self._logged_at

    def _end(self, begin: float, publishers: Iterable[Publisher]) -> float:
        """Wait until all messages have been received; return the duration of playing [s]."""
        duration = time.monotonic() - begin
        self.drain(publishers)
        return duration

    def _log_progress(self, progress: str) -> None:
        now = time.monotonic()
        if now - self._logged_at >= PROGRESS_PERIOD:
            self._logged_at = now
            self.get_logger().info(progress)


def _qos(topic: str, message_type: str) -> QoSProfile:
    """Return the QoS of a topic of a bag; late subscribers get what may have been sent once."""
    if topic.endswith('/tf_static'):
        return STATIC_QOS
    return LATE if message_type == 'sensor_msgs/msg/CameraInfo' else RELIABLE


def _message_type(name: str) -> type:
    """Return a message type by its name, package/msg/Name."""
    package, _, message = name.split('/')
    return getattr(import_module(f'{package}.msg'), message)


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit status."""
    return run(Replay, 'replay', args)


if __name__ == '__main__':
    sys.exit(main())

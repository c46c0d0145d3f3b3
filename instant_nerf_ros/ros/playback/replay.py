"""Replay: the node that plays a folder of posed images or a rosbag2.

A folder is published on camera/color/image_raw, camera/color/camera_info, camera/depth/image_raw,
/tf (map -> camera_link), /tf_static and /clock; a bag on its recorded topics (remap them as
usual), with its own stamps, and on /clock. The node exits at the end of the recording.
"""
import dataclasses
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from importlib import import_module

import numpy as np
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile

from instant_nerf_ros.data.bags import is_bag, open_bag
from instant_nerf_ros.data.frames import holdout, load_folder
from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.nerf.settings import setting
from instant_nerf_ros.ros.playback.playback_node import (
    FIRST_STAMP,
    OPTICAL_FRAME,
    CameraPublishers,
    PlaybackNode,
    run,
)

PROGRESS_PERIOD = 5.0  # s between log lines
STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Parameters of the node."""

    path: str = setting('', 'folder of posed images, transforms.json or rosbag2')
    rate: float = setting(1.0, 'factor on the recorded speed', 0.001, 1000.0)
    frame_rate: float = setting(
        30.0, 'images per second of a folder without times [Hz]', 0.001, 1000.0)
    scale: float = setting(1.0, 'metres per unit of a transforms.json', 1e-6, 1e6)
    hold_out: bool = setting(False, 'leave out the images 0, 8, 16, ... of a folder, for tests')
    with_depth: bool = setting(True, 'publish the depth images of a folder')
    reliability: str = setting(
        'reliable', 'QoS of the camera topics of a folder', choices=('reliable', 'best_effort'))
    wait_for_subscriber: float = setting(
        60.0, 'longest wait for a subscriber of the image before the start [s]', 0.0, 3600.0)


class Replay(PlaybackNode[ReplayConfig]):
    """Plays a recording once."""

    def __init__(self, stop: threading.Event) -> None:
        """Declare the parameters. Raises ValueError for a wrong one."""
        super().__init__('replay', ReplayConfig(), stop)
        self._logged_at = 0.0  # time of the last progress in the log [s]
        if not self.config.path:
            raise ValueError("the parameter 'path' is missing: give the folder or bag to play")

    def play(self) -> None:
        """Play the recording. Raises ValueError or OSError if it cannot be read."""
        count, duration = self._play_bag() if is_bag(self.config.path) else self._play_folder()
        self.get_logger().info(
            f'replay finished: {count} frames in {duration:.1f} s{self.lag_text()}')

    def _play_folder(self) -> tuple[int, float]:
        """Play a folder; return the number of images and the duration [s]."""
        config = self.config
        frames = load_folder(config.path, config.frame_rate, config.scale)
        camera = CameraPublishers(
            self, '16UC1' if config.with_depth else 'none', config.reliability)
        camera.publish_static([(T_BODY_OPTICAL, 'camera_link', OPTICAL_FRAME)])
        played = {i for i in range(len(frames)) if not (config.hold_out and holdout(i))}
        begin = self._begin(f'{len(played)} of {len(frames)} frames', [camera.image])
        T_optical_link = np.linalg.inv(T_BODY_OPTICAL)
        for index, entry in enumerate(frames.entries):
            # Files are read before their image is due, so that it is published in time.
            frame = frames[index] if index in played else None
            stamp = FIRST_STAMP + entry.stamp
            self.advance(stamp, config.rate)
            camera.publish_transform(
                stamp, entry.T_world_camera @ T_optical_link, 'map', 'camera_link')
            if frame:
                camera.publish(stamp, frame.image, frame.camera, frame.depth)
            self._log_progress(f'frame {index + 1} of {len(frames)}')
        return len(played), self._end(begin, [camera.image, camera.depth])

    def _play_bag(self) -> tuple[int, float]:
        """Play a bag; return the number of images and the duration [s]."""
        with open_bag(self.config.path) as (types, messages):
            publishers: dict[str, Publisher] = {
                topic: self.create_publisher(
                    _message_type(name), topic,
                    STATIC_QOS if topic.endswith('/tf_static') else QoSProfile(depth=10))
                for topic, name in types.items()}
            images = {topic for topic, name in types.items() if 'Image' in name}
            begin = self._begin(
                f"a bag with {', '.join(sorted(types))}", [publishers[topic] for topic in images])
            count = 0
            for stamp, topic, serialized in messages:
                self.advance(stamp, self.config.rate)
                publishers[topic].publish(serialized)
                count += topic in images
                self._log_progress(f'{count} images')
            return count, self._end(begin, publishers.values())

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


def _message_type(name: str) -> type:
    """Return a message type by its name, package/msg/Name."""
    package, _, message = name.split('/')
    return getattr(import_module(f'{package}.msg'), message)


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit status."""
    return run(Replay, 'replay', args)


if __name__ == '__main__':
    sys.exit(main())

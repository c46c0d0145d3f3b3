"""The node `replay`: plays a folder of posed images or a rosbag2 as if the robot were there.

A folder comes out on camera/color/image_raw, camera/color/camera_info, camera/depth/image_raw,
/tf (map -> camera_link), /tf_static and /clock; a bag on the topics it was recorded on (remap
them as usual), with its own stamps, and /clock. The node exits when it is done.
"""
import dataclasses
import sys
import time
from importlib import import_module

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile

from instant_nerf_ros.data.bags import is_bag, open_bag
from instant_nerf_ros.data.frames import holdout, load_folder
from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.nerf.settings import setting
from instant_nerf_ros.ros.playback.playback_node import (
    FIRST_STAMP,
    OPTICAL_FRAME,
    CameraTopics,
    PlaybackNode,
    run,
)

PROGRESS_PERIOD = 5.0  # s
STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """What is played, and how."""

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


class Replay(PlaybackNode):
    """Plays a recording once."""

    def __init__(self, stop):
        """Read the parameters; raises ValueError for a wrong one."""
        super().__init__('replay', ReplayConfig(), stop)
        if not self.config.path:
            raise ValueError("the parameter 'path' is missing: give the folder or bag to play")

    def play(self):
        """Play the folder or the bag; ValueError or FileNotFoundError where it is neither."""
        count, duration = self._play_bag() if is_bag(self.config.path) else self._play_folder()
        late = f', {self.behind:.1f} s behind' if self.behind else ''
        self.get_logger().info(f'replay finished: {count} frames in {duration:.1f} s{late}')

    def _play_folder(self):
        config = self.config
        frames = load_folder(config.path, config.frame_rate, config.scale)
        topics = CameraTopics(self, '16UC1' if config.with_depth else 'none', config.reliability)
        topics.publish_static([(T_BODY_OPTICAL, 'camera_link', OPTICAL_FRAME)])
        played = [i for i in range(len(frames)) if not (config.hold_out and holdout(i))]
        begin = self._begin(f'{len(played)} of {len(frames)} frames', [topics.image])
        T_optical_link = np.linalg.inv(T_BODY_OPTICAL)
        told = begin
        for index, entry in enumerate(frames.entries):
            # The images of a file are read before they are due, so that they leave in time.
            frame = frames[index] if index in played else None
            stamp = FIRST_STAMP + entry.stamp
            self.advance(stamp, config.rate)
            topics.publish_transform(
                stamp, entry.T_world_camera @ T_optical_link, 'map', 'camera_link')
            if frame:
                topics.publish(stamp, frame.image, frame.camera, frame.depth)
            told = self._tell(told, f'frame {index + 1} of {len(frames)}')
        return self._end(begin, len(played), [topics.image, topics.depth])

    def _play_bag(self):
        with open_bag(self.config.path) as (types, messages):
            publishers = {
                topic: self.create_publisher(
                    _message_type(name), topic,
                    STATIC_QOS if topic.endswith('/tf_static') else QoSProfile(depth=10))
                for topic, name in types.items()}
            images = {topic for topic, name in types.items() if 'Image' in name}
            begin = self._begin(
                f"a bag with {', '.join(sorted(types))}", [publishers[topic] for topic in images])
            told, count = begin, 0
            for stamp, topic, serialized in messages:
                self.advance(stamp, self.config.rate)
                publishers[topic].publish(serialized)
                count += topic in images
                told = self._tell(told, f'{count} images')
            return self._end(begin, count, publishers.values())

    def _begin(self, what, publishers):
        log = self.get_logger()
        log.info(f'{self.config.path}: {what}; waiting for a subscriber of the image')
        if not self.wait_for_subscriber(publishers, self.config.wait_for_subscriber):
            log.warning('no subscriber came; starting without one')
        log.info('replay started')
        return time.monotonic()

    def _tell(self, told, progress):
        now = time.monotonic()
        if now - told < PROGRESS_PERIOD:
            return told
        self.get_logger().info(progress)
        return now

    def _end(self, begin, count, publishers):
        duration = time.monotonic() - begin
        self.drain(publishers)
        return count, duration


def _message_type(name):
    package, _, message = name.split('/')
    return getattr(import_module(f'{package}.msg'), message)


def main(args=None):
    """Run the node; return the exit status."""
    return run(Replay, 'replay', args)


if __name__ == '__main__':
    sys.exit(main())

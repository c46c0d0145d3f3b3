"""SimRobot: the node of a robot with a camera that drives through the simulated flat.

It publishes camera/color/image_raw, camera/color/camera_info, camera/depth/image_raw, /tf
(odom -> base_link), /tf_static and /clock, like a localized robot. It is deterministic.
"""
import dataclasses
import sys
import threading

import numpy as np

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL, Camera
from instant_nerf_ros.nerf.settings import setting
from instant_nerf_ros.ros.playback.playback_node import (
    FIRST_STAMP,
    OPTICAL_FRAME,
    CameraPublishers,
    PlaybackNode,
    run,
)
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import T_BASE_LINK, Tour

TF_RATE = 50  # Hz
FOCAL_LENGTH = 0.72  # of the image width: 69 degrees, like RGB-D cameras
PROGRESS_PERIOD = 10.0  # s of robot time between log lines


@dataclasses.dataclass(frozen=True)
class SimRobotConfig:
    """Parameters of the node."""

    rate: float = setting(10.0, 'images per second of robot time [Hz]', 0.1, 50.0)
    width: int = setting(320, 'image width [pixel]', 16, 1920)
    height: int = setting(240, 'image height [pixel]', 16, 1080)
    depth_encoding: str = setting(
        '16UC1', '16UC1 [mm], 32FC1 [m], or none: a camera without depth',
        choices=('16UC1', '32FC1', 'none'))
    reliability: str = setting(
        'reliable', 'QoS of the images', choices=('reliable', 'best_effort'))
    speed: float = setting(1.0, 'robot seconds per second', 0.01, 100.0)
    laps: float = setting(
        0.0, 'laps through the flat (68 s each) before it ends, 0 to drive on', 0.0, 1e6)
    wait_for_subscriber: float = setting(
        0.0, 'longest wait for a subscriber of the image before driving off [s]', 0.0, 3600.0)


class SimRobot(PlaybackNode[SimRobotConfig]):
    """Drives along the tour, and publishes what its camera records."""

    def __init__(self, stop: threading.Event) -> None:
        """Declare the parameters, and build the flat. Raises ValueError for a wrong parameter."""
        super().__init__('sim_robot', SimRobotConfig(), stop)
        config = self.config
        focal = FOCAL_LENGTH * config.width
        self._camera = Camera(
            config.width, config.height, focal, focal,
            (config.width - 1) / 2, (config.height - 1) / 2)
        self._flat, self._tour = Flat(), Tour()
        self._camera_publishers = CameraPublishers(self, config.depth_encoding, config.reliability)
        self._camera_publishers.publish_static([
            (np.eye(4), 'map', 'odom'),  # odometry without drift
            (T_BASE_LINK, 'base_link', 'camera_link'),
            (T_BODY_OPTICAL, 'camera_link', OPTICAL_FRAME)])

    def play(self) -> None:
        """Drive until the last lap is finished, or for ever if laps is 0."""
        config, log = self.config, self.get_logger()
        lap = self._tour.duration
        end = config.laps * lap or np.inf
        if config.wait_for_subscriber:
            log.info('waiting for a subscriber of the image')
            self.wait_for_subscriber([self._camera_publishers.image], config.wait_for_subscriber)
        log.info(f'driving through the flat, {lap:.0f} s a lap')
        images, poses, next_log = 0, 0, PROGRESS_PERIOD
        # The last pose is later than the last image, so that TF covers all stamps.
        while (time := min(images / config.rate, poses / TF_RATE)) <= end + 1.0 / TF_RATE:
            stamp = FIRST_STAMP + round(time * 1e9)
            self.advance(stamp, config.speed)
            if time == poses / TF_RATE:
                self._camera_publishers.publish_transform(
                    stamp, self._tour.T_world_base(time), 'odom', 'base_link')
                poses += 1
            if time == images / config.rate:
                if time < end:
                    image, depth = self._flat.render(
                        self._camera, self._tour.T_world_camera(time))
                    self._camera_publishers.publish(stamp, image, self._camera, depth)
                images += 1
            if time >= next_log:
                log.info(f'{time:.0f} s, lap {time / lap:.2f}, {images} images')
                next_log += PROGRESS_PERIOD
        self.drain([self._camera_publishers.image, self._camera_publishers.depth])
        log.info(f'tour finished: {end:.1f} s{self.lag_text()}')


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit status."""
    return run(SimRobot, 'sim_robot', args)


if __name__ == '__main__':
    sys.exit(main())

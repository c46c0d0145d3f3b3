"""Poses that arrive after their images, in a node over DDS."""
import collections
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseArray
from nav_msgs.msg import Path
from ros_helpers import CAMERA, R_MAP_OPTICAL, Robot, drive_until, mapper, statuses_of, wait_until
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    nanoseconds,
    transform_message,
)
from instant_nerf_ros.ros.qos import LATCHED

pytestmark = pytest.mark.ros
STEP = 0.04  # metres between images, so that each has a new viewpoint
COUNT = 40  # images
HELD_OUT = 8, 24  # indices of the images that do not become keyframes, but measure the quality


@pytest.fixture
def robot():
    """Return a robot."""
    robot = Robot()
    yield robot
    robot.close()


@pytest.mark.parametrize('late', [0.0, 0.25, 0.5])
def test_no_image_is_lost_if_tf_is_late(robot, late):
    name = 'patient'
    node, statuses = robot.node, statuses_of(robot, name)
    paths = robot.collect(Path, f'{name}/path', LATCHED)
    keyframes = robot.collect(PoseArray, f'{name}/keyframes', LATCHED)
    images = node.create_publisher(Image, 'late/image', COUNT)
    infos = node.create_publisher(CameraInfo, 'late/camera_info', COUNT)
    tf = node.create_publisher(TFMessage, '/tf', 100)
    waiting, sent = collections.deque(), []
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)

    def send():
        now = node.get_clock().now().nanoseconds
        if len(sent) < COUNT:
            T_map_late = np.eye(4)
            T_map_late[:3, :3], T_map_late[1, 3] = R_MAP_OPTICAL, STEP * len(sent)
            infos.publish(camera_info_message(CAMERA, now, 'late'))
            images.publish(image_message(pixels, 'rgb8', now, 'late'))
            waiting.append(transform_message(T_map_late, now, 'map', 'late'))
            sent.append(now)
        while waiting and now - nanoseconds(waiting[0].header.stamp) >= late * 1e9:
            tf.publish(TFMessage(transforms=[waiting.popleft()]))

    def connected():
        return all(topic.get_subscription_count() for topic in (images, infos, tf))

    def kept():
        return set(sent) - {sent[k] for k in HELD_OUT}

    def indices():
        """Return the indices of the images that became keyframes."""
        return {round(pose.position.y / STEP) for pose in keyframes[-1].poses}

    # Reliable QoS, so that DDS loses no image, however busy the machine.
    reliable = (
        f'qos_overrides./late/{topic}.subscription.{policy}'
        for topic in ('image', 'camera_info')
        for policy in ('reliability:=reliable', f'depth:={COUNT}'))
    # A busy machine may stop this process between an image and its TF for longer than a second.
    with mapper('cameras:=[late]', 'late.use_depth:=false', 'keyframes_rate:=5.0',
                'tf_timeout:=5.0', *reliable, name=name) as process:
        process.wait_for('the engine runs on backend')
        wait_until(connected, 20.0)
        time.sleep(0.5)  # the subscriber has to discover the publisher, too
        drive_until(robot, lambda: len(sent) == COUNT and not waiting, each=send)
        wait_until(lambda: paths and stamps(paths[-1]) == kept(), 20.0, lambda: (
            f'missing {[k for k, s in enumerate(sent) if s in kept() - stamps(paths[-1])]}, '
            f'more {len(stamps(paths[-1]) - kept())}; {process.text()}'))
        wait_until(lambda: indices() == set(range(COUNT)) - set(HELD_OUT), 5.0, lambda: (
            f'not keyframes: {set(range(COUNT)) - indices()}'))
        assert not any('dropping' in status.message for status in statuses)


def stamps(path):
    """Return the stamps of the poses of a nav_msgs/Path."""
    return {nanoseconds(pose.header.stamp) for pose in path.poses}

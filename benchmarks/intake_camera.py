"""An RGB-D camera that moves at half a metre a second.

Usage: intake_camera.py WIDTH HEIGHT RATE TF_DELAY
"""
import collections
import signal
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import TransformBroadcaster

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    time_message,
    transform_message,
)

SPEED = 0.5  # m/s


def main(width: int, height: int, rate: float, tf_delay: float) -> None:
    """Publish until SIGTERM."""
    # rclpy's own handler would shut the context down between two messages.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    node = rclpy.create_node('camera')
    camera = Camera(width, height, 0.8 * width, 0.8 * width, (width - 1) / 2, (height - 1) / 2)
    color = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    color_message = image_message(color, 'rgb8', 0, 'camera')
    depth_message = image_message(np.full((height, width), 2000, np.uint16), '16UC1', 0, 'camera')
    images, depths, infos = (
        node.create_publisher(kind, topic, qos_profile_sensor_data)
        for kind, topic in ((Image, 'image'), (Image, 'depth'), (CameraInfo, 'camera_info')))
    broadcaster, pending = TransformBroadcaster(node), collections.deque()
    begin, count = time.monotonic(), 0
    while rclpy.ok():
        stamp_ns = node.get_clock().now().nanoseconds
        T_map_camera = np.eye(4)
        # Back and forth along a line that moves sideways, so that every viewpoint is new.
        T_map_camera[:2, 3] = abs((SPEED * count / rate) % 4.0 - 2.0), 0.002 * count
        pending.append((stamp_ns, T_map_camera))
        infos.publish(camera_info_message(camera, stamp_ns, 'camera'))
        for publisher, message in ((images, color_message), (depths, depth_message)):
            message.header.stamp = time_message(stamp_ns)
            publisher.publish(message)
        while pending and stamp_ns - pending[0][0] >= tf_delay * 1e9:
            broadcaster.sendTransform(transform_message(
                pending[0][1], pending[0][0], 'map', 'camera'))
            pending.popleft()
        count += 1
        time.sleep(max(0.0, begin + count / rate - time.monotonic()))


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))

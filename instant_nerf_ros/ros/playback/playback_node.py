"""What a simulated and a recorded robot share: its topics, its clock, its signals."""
import signal
import threading
import time

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    time_message,
    transform_message,
)
from instant_nerf_ros.ros.params.declaration import declare, misspelt, take_overrides

OPTICAL_FRAME = 'camera_color_optical_frame'
# A stamp of 0 means "the newest" to TF and "no time yet" to clocks, so time begins later.
FIRST_STAMP = 1_000_000_000  # ns
CLOCK_PERIOD = 0.02  # s
SETTLING = 0.5  # s, for the other topics of a subscriber after its image, and for the last image


class Stopped(Exception):
    """SIGINT or SIGTERM came."""


class PlaybackNode(Node):
    """A node that publishes along a time line of its own, which it tells on /clock."""

    def __init__(self, name, defaults, stop):
        """Declare the settings of a dataclass as parameters; ValueError for a wrong one."""
        super().__init__(name, automatically_declare_parameters_from_overrides=True)
        overrides = take_overrides(self)
        self.config = declare(self, defaults, overrides)
        for sentence in misspelt(self, overrides):
            self.get_logger().warning(sentence)
        self._stop = stop
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10)
        self._zero = None  # (stamp ns, wall s) that belong together
        self.behind = 0.0  # s of wall time that were lost because publishing took too long

    def wait_for_subscriber(self, publishers, timeout):
        """Wait until something subscribes to one of the publishers, at most timeout [s].

        Return whether it came; the rest of its subscriptions get a moment to be found.
        """
        deadline = time.monotonic() + timeout
        while not any(publisher.get_subscription_count() for publisher in publishers):
            if time.monotonic() >= deadline:
                return False
            self._spin(CLOCK_PERIOD)
        self._rest(SETTLING)
        return True

    def advance(self, stamp, speed):
        """Wait until the time line reaches stamp [ns]; it runs at speed times wall time.

        /clock follows meanwhile. Raises Stopped where a signal asks the process to end.
        """
        now = time.monotonic()
        if self._zero is None:
            self._zero = (stamp, now)
        due = self._zero[1] + (stamp - self._zero[0]) / 1e9 / speed
        if now - due > SETTLING:  # too slow for this speed: go on from here, without a rush
            self.behind += now - due
            self._zero = (stamp, now)
            due = now
        while (left := due - time.monotonic()) > 0:
            self._clock_publisher.publish(
                Clock(clock=time_message(max(stamp - round(left * speed * 1e9), 0))))
            self._spin(min(left, CLOCK_PERIOD))
        self._spin(0.0)
        self._clock_publisher.publish(Clock(clock=time_message(stamp)))

    def drain(self, publishers):
        """Give the last messages the time to arrive."""
        for publisher in publishers:
            publisher.wait_for_all_acked(Duration(seconds=2))
        self._rest(SETTLING)

    def _rest(self, duration):
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self._spin(CLOCK_PERIOD)

    def _spin(self, timeout):
        """Serve parameter requests while there is nothing to publish."""
        end = time.monotonic() + timeout
        self._executor.spin_once(timeout_sec=max(timeout, 0.0))
        if self._stop.is_set():
            raise Stopped
        self._stop.wait(max(end - time.monotonic(), 0.0))


class CameraTopics:
    """The topics of a colour camera with registered depth, and the TF that belongs to it."""

    def __init__(self, node, depth_encoding, reliability):
        """Create the publishers: depth_encoding '16UC1' [mm], '32FC1' [m] or 'none'."""
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability.upper()])
        self.image = node.create_publisher(Image, 'camera/color/image_raw', qos)
        self.info = node.create_publisher(CameraInfo, 'camera/color/camera_info', qos)
        self.depth = node.create_publisher(Image, 'camera/depth/image_raw', qos)
        self._depth_encoding = depth_encoding
        self._tf = TransformBroadcaster(node)
        self._tf_static = StaticTransformBroadcaster(node)

    def publish(self, stamp, image, camera, depth):
        """Publish an image (H, W, 3) uint8, its Camera and depth (H, W) float32 [m] or None."""
        self.info.publish(camera_info_message(camera, stamp, OPTICAL_FRAME))
        if depth is not None and self._depth_encoding != 'none':
            if self._depth_encoding == '16UC1':
                millimetres = np.round(np.nan_to_num(depth, posinf=0.0, neginf=0.0) * 1000.0)
                depth = np.where(millimetres < 65535, millimetres, 0).astype(np.uint16)
            self.depth.publish(image_message(depth, self._depth_encoding, stamp, OPTICAL_FRAME))
        self.image.publish(image_message(image, 'rgb8', stamp, OPTICAL_FRAME))

    def publish_transform(self, stamp, T_parent_child, parent, child):
        """Publish where a moving frame is."""
        self._tf.sendTransform(transform_message(T_parent_child, stamp, parent, child))

    def publish_static(self, transforms):
        """Publish the frames that do not move, [(T_parent_child, parent, child)], latched."""
        self._tf_static.sendTransform([
            transform_message(T_parent_child, 0, parent, child)
            for T_parent_child, parent, child in transforms])


def run(make_node, name, args):
    """Make a node with a stop event, call its play(), and return the exit status of the process.

    Wrong parameters and data that cannot be read end it with a sentence and status 1.
    """
    # rclpy's own handlers would shut the context down while messages are still published.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        make_node(stop).play()
    except Stopped:
        get_logger(name).info('stopped by a signal')
    except (ValueError, OSError, ImportError) as error:
        get_logger(name).fatal(str(error))
        return 1
    finally:
        rclpy.shutdown()
    return 0

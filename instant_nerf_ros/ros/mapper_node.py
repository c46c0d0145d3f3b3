"""The node: topics in, engine in its own thread, topics out."""
import os
import signal
import sys
import threading

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_ros import Buffer, TransformListener

from instant_nerf_ros.nerf import Config, Mapper
from instant_nerf_ros.ros.config import NodeConfig
from instant_nerf_ros.ros.drops import Drops
from instant_nerf_ros.ros.map_services import MapServices
from instant_nerf_ros.ros.monitor import Monitor
from instant_nerf_ros.ros.parameters import declare, misspelt, take_overrides
from instant_nerf_ros.ros.posed_images import PosedImages
from instant_nerf_ros.ros.products import Products
from instant_nerf_ros.ros.training import Training
from instant_nerf_ros.ros.view_requests import ViewRequests

POLL_PERIOD = 0.02  # seconds
REPORT_PERIOD = 1.0
JOIN_TIMEOUT = 4.0  # launch sends SIGTERM 5 s after SIGINT


class MapperNode(Node):
    """Wires the parts together. Callbacks only enqueue, so that one thread can spin it."""

    def __init__(self, stop):
        """Start everything; raises ValueError for a wrong parameter."""
        super().__init__('instant_nerf', automatically_declare_parameters_from_overrides=True)
        overrides = take_overrides(self)
        config = declare(self, NodeConfig(), overrides)
        engine_config = declare(self, Config(), overrides)
        for sentence in misspelt(self, overrides):
            self.get_logger().warning(sentence)

        self._buffer = Buffer(Duration(seconds=config.tf_buffer), self)
        self._listener = TransformListener(self._buffer, self)
        drops = Drops(self.get_logger().warning)
        topics = self._topics(config)
        self._posed_images = PosedImages(self._buffer, config, topics['image'], drops)
        self._requests = ViewRequests(self._buffer, config, drops)
        map_services = MapServices(
            self, config, lambda folder: Mapper.load(folder, engine_config))
        self.training = Training(
            lambda: Mapper(engine_config), config, self._posed_images, self._requests,
            Products(self, config.map_frame), map_services, drops, self.get_logger(), stop)

        self._received = dict.fromkeys((topics['image'], topics['camera_info']), 0)
        self._subscribe_to_camera(config, topics)
        self.create_subscription(
            PoseStamped, '~/render/pose', self._requests.add, QoSProfile(depth=100))
        self._monitor = Monitor(self, self.training, drops, self._received)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # goes on while a bag is paused
        self.create_timer(POLL_PERIOD, self._poll, clock=steady)
        self.create_timer(REPORT_PERIOD, self._monitor.report, clock=steady)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            post_callback=self._on_time_jump)

    def _topics(self, config):
        # As image_transport does: a transport's topic lies below the remapped base topic.
        def below(base, transport):
            topic = self.resolve_topic_name(base)
            return topic if transport == 'raw' else f'{topic}/{transport}'

        topics = {
            'image': below('image', config.image_transport),
            'camera_info': self.resolve_topic_name('camera_info'),
        }
        if config.use_depth:
            topics['depth'] = below('depth', config.depth_transport)
        return topics

    def _subscribe_to_camera(self, config, topics):
        def subscribe(message_type, topic, callback):
            self.create_subscription(
                message_type, topic, callback, qos_profile_sensor_data,
                qos_overriding_options=QoSOverridingOptions.with_default_policies())

        def counted(topic, callback):
            def count_and_call(message):
                self._received[topic] += 1
                callback(message)
            return count_and_call

        def type_of(transport):
            return Image if transport == 'raw' else CompressedImage

        images, image, camera_info = self._posed_images, topics['image'], topics['camera_info']
        subscribe(type_of(config.image_transport), image, counted(image, images.add_image))
        subscribe(CameraInfo, camera_info, counted(camera_info, images.add_camera_info))
        if config.use_depth:
            subscribe(type_of(config.depth_transport), topics['depth'], images.add_depth)

    def _poll(self):
        self._posed_images.poll()
        self._requests.poll()

    def _on_time_jump(self, _):
        # Stamps from before the jump can be compared with nothing; the map stays.
        self._buffer.clear()
        self._posed_images.clear()
        self._requests.clear()


def main(args=None):
    """Run the node until SIGINT or SIGTERM; return the exit status."""
    stop = threading.Event()
    try:
        # rclpy's own handlers would shut the context down while the thread still publishes.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        node = MapperNode(stop)
    except (ValueError, RuntimeError) as error:  # rclpy's errors are RuntimeErrors
        get_logger('instant_nerf').fatal(f'cannot start: {error}')
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.training.start()
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    finally:
        stop.set()
        node.training.join(JOIN_TIMEOUT)
    if node.training.is_alive():
        # Compiling or rendering cannot be interrupted, and there is nothing to save.
        os._exit(0)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    return 1 if node.training.error else 0


if __name__ == '__main__':
    sys.exit(main())

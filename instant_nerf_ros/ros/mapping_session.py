"""All that a configured mapper has: from configure to cleanup."""
import contextlib

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from tf2_ros import Buffer

from instant_nerf_ros.ros.inputs.camera_inputs import (
    camera_topics,
    range_topics,
    subscribe,
    subscribe_camera,
)
from instant_nerf_ros.ros.qos import subscription
from instant_nerf_ros.ros.engine import start_engine
from instant_nerf_ros.ros.outputs.floor_height import FloorHeight
from instant_nerf_ros.ros.inputs.keyframe_feeder import Intake
from instant_nerf_ros.ros.inputs.loop_closures import LoopClosures
from instant_nerf_ros.ros.inputs.pose_sources import pose_source
from instant_nerf_ros.ros.inputs.posed_images import PosedImages
from instant_nerf_ros.ros.outputs.publishers import Products
from instant_nerf_ros.ros.inputs.range_scans import RangeScans
from instant_nerf_ros.ros.inputs.input_queue import Ready
from instant_nerf_ros.ros.training import Training
from instant_nerf_ros.ros.inputs.trajectory import Trajectory
from instant_nerf_ros.ros.outputs.view_requests import ViewRequests
from instant_nerf_ros.ros.outputs.view_publisher import Views
from instant_nerf_ros.ros.outputs.path_publisher import Way

POLL_PERIOD = 0.02  # seconds
REQUEST_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class Mapping:
    """The parts of the mapper, wired. Nothing here takes long; callbacks only enqueue."""

    def __init__(self, node, settings, map_services, drops, traffic, after):
        """Create publishers and start the training thread, which waits for the one before."""
        self._node, self._settings, self._traffic = node, settings, traffic
        self._subscriptions, self._timer = [], None
        with contextlib.ExitStack() as made:  # undone if something further down fails
            self._make(made, map_services, drops, after)
            self._made = made.pop_all()
        self.training.start()

    def _make(self, made, map_services, drops, after):
        node, settings, traffic, config = (
            self._node, self._settings, self._traffic, self._settings.node)
        self._buffer = Buffer(Duration(seconds=config.tf_buffer))
        made.callback(pose_source(node, self._buffer, config, drops).unregister)
        self._ready = Ready(config.queue_size, lambda: settings.engine.keyframes, drops)
        self.topics = {
            name: camera_topics(node, name, of_camera)
            for name, of_camera in settings.cameras.items()}
        self._images = {
            name: PosedImages(
                self._buffer, settings.cameras[name], topics.image, drops, traffic, self._ready)
            for name, topics in self.topics.items()}
        self.range_topics = range_topics(node, config)
        self._scans = {
            topic: RangeScans(self._buffer, config, drops, self._ready)
            for topic in self.range_topics}
        self._requests = ViewRequests(self._buffer, config, drops)

        def now_ns():
            return node.get_clock().now().nanoseconds

        self.trajectory_topic = config.trajectory and node.resolve_topic_name(config.trajectory)
        self._trajectory = Trajectory(config.map_frame, drops, now_ns)
        floor = FloorHeight(self._buffer, settings, node.get_logger().warning)
        self.products = Products(node, config.map_frame, floor)
        way = Way(node, config.map_frame)
        made.callback(self.products.close)
        made.callback(way.close)
        self._views = Views(self._buffer, config, self._requests, self.products, drops)
        self.training = Training(
            lambda: start_engine(settings.engine, node.get_logger().error), settings,
            Intake(
                settings, self._ready,
                LoopClosures(self._trajectory, way, drops, node.get_logger().info), way, traffic,
                drops, now_ns),
            self._views, self.products, way, map_services, node.get_logger(), after)

    def activate(self):
        """Take images and work."""
        node, traffic = self._node, self._traffic

        def wanted():
            return not self.training.paused

        for name, topics in self.topics.items():
            self._subscriptions += subscribe_camera(
                node, topics, self._settings.cameras[name], self._images[name], traffic, wanted,
                self._and_poll)
        for topic, message_type in self.range_topics.items():
            add = self._and_poll(self._scans[topic].add)
            self._subscriptions.append(
                subscribe(node, message_type, topic, add, traffic, wanted))
        if self.trajectory_topic:
            self._subscriptions.append(subscribe(
                node, Path, self.trajectory_topic, self._trajectory.add, traffic))
        for topic, add in (
                ('~/render/pose', self._requests.add), ('~/render/goal', self._requests.add_goal)):
            self._subscriptions.append(subscription(
                node, PoseStamped, topic, self._and_poll(add), REQUEST_QOS))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # goes on while a bag is paused
        self._timer = node.create_timer(POLL_PERIOD, self._poll, clock=steady)
        self.training.activate()

    def deactivate(self):
        """Stop taking images and working; what is known stays."""
        self.training.active = False
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        if self._timer:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._traffic.forget()
        self._clear()

    def close(self):
        """Let go of everything; the thread may go on for a while until it notices."""
        self.deactivate()
        self.training.end()
        self._made.close()

    def retune(self):
        """Take over the settings that changed."""
        for name, images in self._images.items():
            images.config = self._settings.cameras[name]
        for waiting in (self._requests, self._views, *self._scans.values()):
            waiting.config = self._settings.node

    def time_jumped(self):
        """Forget what cannot be compared with stamps from now on."""
        self._buffer.clear()
        self._trajectory.forget()
        self._clear()
        if self._settings.node.reset_on_time_jump:
            self.training.forget()

    def _clear(self):
        for waiting in (*self._images.values(), *self._scans.values()):
            waiting.clear()
        self._ready.clear()
        self._requests.clear()

    def _and_poll(self, add):
        """Return a callback that adds a message to what waits, and lets the timer run."""
        def add_and_poll(message):
            add(message)
            # What belongs to the message comes at the same time, so it is soon enough then.
            if self._timer.is_canceled():
                self._timer.reset()
        return add_and_poll

    def _poll(self):
        inputs = (*self._images.values(), *self._scans.values(), self._requests)
        for each in inputs:
            each.poll()
        if not any(each.waiting for each in inputs):
            self._timer.cancel()  # until a message comes: each poll wakes the executor

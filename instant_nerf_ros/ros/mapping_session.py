"""MappingSession: all objects that exist from the configure to the cleanup transition."""
import contextlib
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from tf2_ros import Buffer

from instant_nerf_ros.ros.engine import start_engine
from instant_nerf_ros.ros.inputs.body_poses import BodyPoses
from instant_nerf_ros.ros.inputs.camera_inputs import (
    camera_topics,
    range_topics,
    subscribe,
    subscribe_camera,
)
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.inputs.keyframe_feeder import KeyframeFeeder
from instant_nerf_ros.ros.inputs.loop_closures import LoopClosures
from instant_nerf_ros.ros.inputs.pose_jumps import PoseJumps
from instant_nerf_ros.ros.inputs.pose_sources import pose_source
from instant_nerf_ros.ros.inputs.posed_images import PosedImages
from instant_nerf_ros.ros.inputs.range_scans import RangeScans
from instant_nerf_ros.ros.inputs.trajectory import Trajectory
from instant_nerf_ros.ros.outputs.floor_height import FloorHeight
from instant_nerf_ros.ros.outputs.map_services import MapServices
from instant_nerf_ros.ros.outputs.output_schedule import OutputSchedule
from instant_nerf_ros.ros.outputs.path_publisher import PathPublisher
from instant_nerf_ros.ros.outputs.publishers import Publishers
from instant_nerf_ros.ros.outputs.view_publisher import ViewPublisher
from instant_nerf_ros.ros.outputs.view_requests import ViewRequests
from instant_nerf_ros.ros.params.live_parameters import LiveParameters
from instant_nerf_ros.ros.qos import subscription
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics
from instant_nerf_ros.ros.training import TrainingThread
from instant_nerf_ros.session.recorder import Recorder
from instant_nerf_ros.session.session_source import SessionConfig

POLL_PERIOD = 0.02  # s
REQUEST_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class MappingSession:
    """Creates and connects inputs, the training thread and outputs.

    No method takes long; the callbacks of the subscriptions only append to queues.
    """

    def __init__(
        self, node: LifecycleNode, parameters: LiveParameters, map_services: MapServices,
        dropped: DroppedMessages, statistics: TopicStatistics, previous: TrainingThread | None,
    ) -> None:  # fmt: skip
        """Create the publishers and start the training thread; it waits for the previous one."""
        self._node, self._parameters, self._statistics = node, parameters, statistics
        self._subscriptions: list[Subscription] = []
        self._timer: Timer | None = None
        with contextlib.ExitStack() as cleanup:  # runs if anything below fails
            self._create(cleanup, map_services, dropped, previous)
            self._cleanup = cleanup.pop_all()
        self.training.start()

    def _create(
        self, cleanup: contextlib.ExitStack, map_services: MapServices, dropped: DroppedMessages,
        previous: TrainingThread | None,
    ) -> None:  # fmt: skip
        node, parameters, statistics = self._node, self._parameters, self._statistics
        config, logger = parameters.node, node.get_logger()

        def now_ns() -> int:
            return node.get_clock().now().nanoseconds

        self._buffer = Buffer(Duration(seconds=config.tf_buffer))
        cleanup.callback(pose_source(node, self._buffer, config, dropped).unregister)
        self._queue = InputQueue(
            config.queue_size, lambda: parameters.engine.keyframes, dropped,
            lambda: self.training.activity)
        self.topics = {
            name: camera_topics(node, name, camera_config)
            for name, camera_config in parameters.cameras.items()}
        self._images = {
            name: PosedImages(
                self._buffer, parameters.cameras[name], topics.image, dropped, statistics,
                self._queue, depth_topic=topics.depth)
            for name, topics in self.topics.items()}
        self.range_topics = range_topics(node, config)
        self._scans = {
            topic: RangeScans(self._buffer, config, dropped, self._queue)
            for topic in self.range_topics}
        self._body_poses = BodyPoses(
            self._buffer, parameters,
            lambda: [images.frame_id for images in self._images.values() if images.frame_id],
            dropped, self._queue)
        self._requests = ViewRequests(self._buffer, config, dropped)
        self.trajectory_topic = config.trajectory and node.resolve_topic_name(config.trajectory)
        self._trajectory = Trajectory(config.map_frame, dropped, now_ns)
        floor_height = FloorHeight(self._buffer, parameters, logger.warning)
        self.publishers = Publishers(node, config.map_frame, floor_height)
        cleanup.callback(self.publishers.close)
        path_publisher = PathPublisher(node, config.map_frame)
        cleanup.callback(path_publisher.close)
        self._views = ViewPublisher(
            self._buffer, config, self._requests, self.publishers, dropped)
        recorder = Recorder(SessionConfig(
            config.session_folder, config.resume, config.session_images, config.map_frame,
            config.base_session_folder))
        loop_closures = LoopClosures(self._trajectory, path_publisher, dropped, logger.info)
        self.pose_jumps = PoseJumps(
            self._buffer, config, [*self._images.values(), *self._scans.values()], now_ns,
            lambda: loop_closures.settled_ns)
        self.training = TrainingThread(
            lambda: start_engine(parameters.engine, logger.error), parameters,
            KeyframeFeeder(
                parameters, self._queue, loop_closures, path_publisher, statistics, dropped,
                now_ns, recorder),
            OutputSchedule(parameters, self.publishers, path_publisher, self._views),
            map_services, recorder, logger, previous)

    def activate(self) -> None:
        """Create the subscriptions and let the training thread work."""
        node, statistics = self._node, self._statistics

        def enabled() -> bool:
            return not self.training.paused

        for name, topics in self.topics.items():
            self._subscriptions += subscribe_camera(
                node, topics, self._parameters.cameras[name], self._images[name], statistics,
                enabled, self._with_poll)
        for topic, message_type in self.range_topics.items():
            add = self._with_poll(self._scans[topic].add)
            self._subscriptions.append(
                subscribe(node, message_type, topic, add, statistics, enabled))
        if self.trajectory_topic:
            self._subscriptions.append(subscribe(
                node, Path, self.trajectory_topic, self._trajectory.add, statistics))
        for topic, add in (
                ('~/render/pose', self._requests.add), ('~/render/goal', self._requests.add_goal),
                ('~/render/preview', self._requests.add_preview)):
            self._subscriptions.append(subscription(
                node, PoseStamped, topic, self._with_poll(add), REQUEST_QOS))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # continues while a bag is paused
        self._timer = node.create_timer(POLL_PERIOD, self._poll, clock=steady)
        self.training.activate()

    def deactivate(self) -> None:
        """Destroy the subscriptions and let the training thread rest; the map is kept."""
        self.training.deactivate()
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        if self._timer:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._statistics.reset()
        self._clear_inputs()

    def close(self) -> None:
        """Destroy everything; the training thread ends later, after its current step."""
        self.deactivate()
        self.training.stop()
        self._cleanup.close()

    def update_config(self) -> None:
        """Pass changed parameters on to the parts that keep a copy."""
        for name, images in self._images.items():
            images.set_config(self._parameters.cameras[name])
        for scans in self._scans.values():
            scans.set_config(self._parameters.node)
        self._requests.set_config(self._parameters.node)
        self._views.set_config(self._parameters.node)

    def on_time_jump(self) -> None:
        """Remove everything whose stamps cannot be compared with those of new messages."""
        self._buffer.clear()
        self._trajectory.reset()
        self.pose_jumps.clear()
        self._clear_inputs()
        if self._parameters.node.reset_on_time_jump:
            self.training.reset()

    def _inputs(self) -> tuple[PosedImages | RangeScans | ViewRequests, ...]:
        return *self._images.values(), *self._scans.values(), self._requests

    def _clear_inputs(self) -> None:
        for messages in (*self._inputs(), self._body_poses, self._queue):
            messages.clear()

    def _with_poll(self, add: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback that adds a message, and starts the timer that polls the inputs."""
        def add_and_poll(message: Any) -> None:
            add(message)
            # The next tick is soon enough: what belongs to the message arrives with it.
            if self._timer and self._timer.is_canceled():
                self._timer.reset()
        return add_and_poll

    def _poll(self) -> None:
        inputs = self._inputs()
        for messages in inputs:
            messages.poll()
        self._body_poses.poll()
        if self._timer and not any(messages.waiting for messages in inputs):
            self._timer.cancel()  # until the next message: each tick wakes the executor

"""A mapper process and a synthetic robot to talk to it."""
import threading
import time

import numpy as np
import rclpy
import tf2_ros
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Path
from node_process import NodeProcess
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from waiting import wait_until

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    header_message,
    image_message,
    pose_message,
    time_message,
    transform_message,
)

WALL_DISTANCE = 1.5  # along x of the map
WALL_COLOR = (200, 100, 50)
CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
# Optical frame (z forward, y down) of a camera that looks along x of a frame with z up.
R_MAP_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
SMALL_ENGINE = (
    'occupancy.length:=4.0', 'occupancy.width:=4.0', 'occupancy.height:=2.0',
    'occupancy.voxel_size:=0.1', 'sampling.samples_per_step:=1024', 'sampling.far:=4.0',
    'field.levels:=4', 'field.log2_table:=12', 'render_width:=32',
    'map_rate:=5.0', 'points_rate:=5.0', 'render_rate:=5.0')


def mapper(*parameters, name='', namespace='', without=()):
    """Start a mapper_node with a small engine and parameters 'name:=value'.

    With a name, the node has that name and publishes <name>/map: there may be several. With a
    namespace, all its topics and TF are in there, as launch files do it.
    """
    # Each parameter once: rcl keeps one value of every type that it was given.
    values = {text.partition(':=')[0]: text for text in (*SMALL_ENGINE, *parameters)}
    arguments = [word for text in values.values() for word in ('-p', text)]
    if name:
        arguments += ['-r', f'__node:={name}', '-r', f'map:={name}/map']
    if namespace:
        arguments += in_namespace(namespace)
    return NodeProcess('ros.mapper_node', arguments, without)


def in_namespace(namespace):
    """Return the arguments that move a node and its TF to a namespace."""
    remappings = f'__ns:=/{namespace}', '/tf:=tf', '/tf_static:=tf_static'
    return [word for text in remappings for word in ('-r', text)]


class Robot:
    """A node whose camera moves sideways before a wall; spins in its own thread."""

    def __init__(self, namespace='', wall_distance=WALL_DISTANCE):
        arguments = in_namespace(namespace) if namespace else []
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=['--ros-args', *arguments])
        self.node = rclpy.create_node('robot', context=self._context)
        self._wall = np.full((48, 64), wall_distance, np.float32)
        qos = qos_profile_sensor_data
        self._image = self.node.create_publisher(Image, 'image', qos)
        self._depth = self.node.create_publisher(Image, 'depth', qos)
        self._info = self.node.create_publisher(CameraInfo, 'camera_info', qos)
        self._clock = self.node.create_publisher(Clock, '/clock', qos)
        self._broadcaster = tf2_ros.TransformBroadcaster(self.node)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._stop = threading.Event()
        self._thread.start()
        self._count = 0

    def _spin(self):
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def close(self):
        """End the thread and the node."""
        self._stop.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def collect(self, message_type, topic, qos):
        """Subscribe; return the list that fills with messages."""
        messages = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def drive(self, count, sim_time_ns=None):
        """Publish posed images with depth, stamped now or from a /clock; return the last stamp."""
        for index in range(count):
            stamp_ns = self.node.get_clock().now().nanoseconds
            if sim_time_ns is not None:
                stamp_ns = sim_time_ns + index * 50_000_000
                self._clock.publish(Clock(clock=time_message(stamp_ns)))
            self.send_tf(stamp_ns)
            self._info.publish(camera_info_message(CAMERA, stamp_ns, 'camera'))
            self._depth.publish(image_message(self._wall, '32FC1', stamp_ns, 'camera'))
            self.send_image(stamp_ns)
            self._count += 1
            time.sleep(0.05)
        return stamp_ns

    def wait_for_listener(self, timeout=10.0):
        """Wait until somebody receives all that drive() publishes."""
        publishers = self._image, self._depth, self._info
        wait_until(lambda: all(p.get_subscription_count() for p in publishers), timeout)

    def send_tf(self, stamp_ns):
        """Broadcast the pose of the camera."""
        self._broadcaster.sendTransform(
            transform_message(self.pose(), stamp_ns, 'map', 'camera'))

    def send_image(self, stamp_ns, **changes):
        """Publish an image with some fields changed."""
        message = image_message(
            np.full((48, 64, 3), WALL_COLOR, np.uint8), 'rgb8', stamp_ns, 'camera')
        for field, value in changes.items():
            setattr(message, field, value)
        self._image.publish(message)

    def send_info(self, message):
        """Publish a CameraInfo."""
        self._info.publish(message)

    def pose(self):
        """Return T_map_camera (4, 4): sideways, to and fro, half a metre above the floor."""
        T_map_camera = np.eye(4)
        T_map_camera[:3, :3] = R_MAP_OPTICAL
        T_map_camera[:3, 3] = [0.0, 0.5 * np.sin(0.3 * self._count), 0.5]
        return T_map_camera


def drive_until(robot, condition, explain=str, timeout=30.0, each=None):
    """Drive on until a condition holds, calling each() in between; fail, explaining, if not."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, explain()
        if each:
            each()
        robot.drive(1)


def statuses_of(robot, name):
    """Return a list that fills with the DiagnosticStatus of a mapper."""
    found = []
    robot.node.create_subscription(
        DiagnosticArray, '/diagnostics',
        lambda array: found.extend(s for s in array.status if s.name == f'{name}: mapping'), 10)
    return found


class Slam:
    """Publishes the trajectory of a robot on slam/path: one pose, from the beginning up to now."""

    def __init__(self, robot):
        """Publish with the node of a robot."""
        self._robot = robot
        self._publisher = robot.node.create_publisher(Path, 'slam/path', 1)

    def begin(self, process):
        """Wait until a mapper listens to the robot and to this, and begin a trajectory."""
        process.wait_for('the engine runs on backend')
        self._robot.wait_for_listener()
        wait_until(lambda: self._publisher.get_subscription_count(), 10.0)
        self._begin = self._robot.node.get_clock().now().nanoseconds

    def publish(self, pose):
        """Publish a trajectory of a robot that was at a pose (4, 4) all the time."""
        times = self._begin, self._robot.node.get_clock().now().nanoseconds
        self._publisher.publish(Path(header=header_message(times[1], 'map'), poses=[
            PoseStamped(header=header_message(time, 'map'), pose=pose_message(pose))
            for time in times]))


class LifecycleClient:
    """Calls the services of a mapper that has a name."""

    def __init__(self, robot, name):
        self._robot, self._name, self._clients = robot, name, {}

    def call(self, service_type, service, **request):
        """Return (response, seconds it took)."""
        if service not in self._clients:
            self._clients[service] = self._robot.node.create_client(
                service_type, f'{self._name}/{service}')
            assert self._clients[service].wait_for_service(30.0)
            time.sleep(0.5)  # the server has to find the client, too, or its answer is lost
        client = self._clients[service]
        assert client.wait_for_service(30.0)
        begin = time.monotonic()
        answer = client.call_async(service_type.Request(**request))
        wait_until(answer.done, 30.0, lambda: f'{self._name}/{service} does not answer')
        return answer.result(), time.monotonic() - begin

    def change(self, transition):
        """Change the state; return (success, seconds it took)."""
        response, duration = self.call(
            ChangeState, 'change_state', transition=Transition(id=transition))
        return response.success, duration

    def timed_state(self):
        """Return (id of the state, seconds it took)."""
        response, duration = self.call(GetState, 'get_state')
        return response.current_state.id, duration

    def state(self):
        """Return the id of the state."""
        return self.timed_state()[0]


def value_of(status, key):
    """Return a value of a DiagnosticStatus, a string."""
    return next(pair.value for pair in status.values if pair.key == key)

"""NodeControls: what changes the mapper or the robot, by its services and by Nav2's goal."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

TIMEOUT = 60.0  # s, for saving a large map


class NodeControls:
    """Calls the services of the mapper from the threads of the page."""

    def __init__(self, node: Node, mapper: str, map_frame: Callable[[], str]) -> None:
        """Create the clients on a node; mapper is the name of the mapper's node."""
        self._node, self._mapper, self._map_frame = node, mapper, map_frame
        self._pause = node.create_client(SetBool, f'{mapper}/pause')
        self._reset = node.create_client(Trigger, f'{mapper}/reset')
        self._save = node.create_client(Trigger, f'{mapper}/save_map')
        self._goal = node.create_publisher(PoseStamped, 'goal_pose', 1)

    def pause(self, paused: bool) -> tuple[bool, str]:
        """Pause or resume mapping."""
        return self._call(self._pause, SetBool.Request(data=paused))

    def reset(self) -> tuple[bool, str]:
        """Discard the map."""
        return self._call(self._reset, Trigger.Request())

    def save(self) -> tuple[bool, str]:
        """Save the map where the node runs, to its parameter map_folder."""
        return self._call(self._save, Trigger.Request())

    def send_goal(self, x: float, y: float) -> tuple[bool, str]:
        """Publish a goal for Nav2 at a position of the map [m], in the present direction of x."""
        message = PoseStamped()
        message.header.frame_id = self._map_frame()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.pose.position.x, message.pose.position.y = x, y
        message.pose.orientation.w = 1.0
        if not self._goal.get_subscription_count():
            return False, f'nothing subscribes to {self._goal.topic_name}: is Nav2 running?'
        self._goal.publish(message)
        return True, f'the goal is x = {x:.2f} m, y = {y:.2f} m'

    def _call(self, client: Any, request: Any) -> tuple[bool, str]:
        if not client.service_is_ready():
            return False, f'{client.srv_name} does not answer: is the mapper running?'
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(TIMEOUT):
            return False, f'{client.srv_name} has not answered for {TIMEOUT:.0f} s'
        answer = future.result()
        return answer.success, answer.message or 'done'

"""Transitions of a managed node that may raise."""
import functools
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn


def transition(
    change: Callable[[Any], None],
) -> Callable[[Any, LifecycleState], TransitionCallbackReturn]:
    """Make a transition callback of a method that may raise; rclpy would hide the exception.

    The node says in state_label which state the method has led to.
    """
    @functools.wraps(change)
    def callback(self: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            change(self)
            # The base class enables and disables the publishers.
            result = getattr(LifecycleNode, change.__name__)(self, state)
            self.get_logger().info(
                f'{change.__name__} succeeded: the node is {self.state_label}')
            return result
        except Exception:
            self.get_logger().error(f'{change.__name__} failed: {traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
    return callback

"""The node: a life cycle, services, and the process around them."""
import functools
import os
import signal
import sys
import threading
import traceback

import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool, Trigger

from instant_nerf_ros.ros.reporting.dropped_messages import Drops
from instant_nerf_ros.ros.outputs.map_services import MapServices
from instant_nerf_ros.ros.mapping_session import Mapping
from instant_nerf_ros.ros.reporting.diagnostics import Monitor
from instant_nerf_ros.ros.params.live_parameters import Settings
from instant_nerf_ros.ros.reporting.topic_statistics import Traffic

REPORT_PERIOD = 1.0
JOIN_TIMEOUT = 2.0  # launch sends SIGTERM 5 s after SIGINT


def transition(change):
    """Make a method that may raise a transition callback: rclpy swallows what it raises."""
    @functools.wraps(change)
    def callback(self, state):
        try:
            change(self)
            # Publishers are enabled and disabled by the base class.
            return getattr(super(MapperNode, self), change.__name__)(state)
        except Exception:
            self.get_logger().error(f'{change.__name__} failed: {traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
    return callback


class MapperNode(LifecycleNode):
    """A managed node. One thread can spin it: no callback and no transition takes long."""

    def __init__(self):
        """Declare the parameters; raises ValueError for a wrong one."""
        super().__init__('instant_nerf', automatically_declare_parameters_from_overrides=True)
        self.settings = Settings(self)
        self._drops, self._traffic = Drops(self.get_logger().warning), Traffic()
        self._mapping = None  # from configure to cleanup
        self._training = None  # the latest one; it may outlive its mapping for a while
        self._label = 'unconfigured'
        self.create_service(SetBool, '~/pause', self._pause)
        self.create_service(Trigger, '~/reset', self._reset)
        self._map_services = MapServices(self, self.settings, lambda: self._label)
        self._monitor = Monitor(
            self, lambda: (self._label, self._mapping), self._drops, self._traffic)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # goes on while a bag is paused
        self.create_timer(REPORT_PERIOD, self._monitor.report, clock=steady)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            post_callback=self._on_time_jump)

    @property
    def failed(self):
        """Return whether the engine has failed, with the error in the log."""
        return self._training is not None and self._training.error is not None

    @transition
    def on_configure(self):
        """Create publishers, and start the engine in its thread."""
        self._mapping = Mapping(
            self, self.settings, self._map_services, self._drops, self._traffic, self._training)
        self._training = self._mapping.training
        self.settings.configured = True
        self.settings.on_change(self._mapping.retune)
        self._label = 'inactive'

    @transition
    def on_activate(self):
        """Subscribe and map."""
        self._mapping.activate()
        self._label = 'active'

    @transition
    def on_deactivate(self):
        """Stop mapping; what is known stays."""
        self._mapping.deactivate()
        self._label = 'inactive'
        self._map_services.refuse_waiting()

    @transition
    def on_cleanup(self):
        """Forget everything."""
        self._close('unconfigured')

    @transition
    def on_shutdown(self):
        """Forget everything, for good."""
        self._close('finalized')

    @transition
    def on_error(self):
        """Clean up after a transition that failed, so that it can be tried again."""
        self._close('unconfigured')

    def _close(self, label):
        self.settings.on_change(None)
        self.settings.configured = False
        mapping, self._mapping = self._mapping, None
        self._label = label
        if mapping:
            mapping.close()
        self._map_services.refuse_waiting()

    def end(self):
        """End the training thread; return whether it has ended, within JOIN_TIMEOUT."""
        if self._training is None:
            return True
        self._training.end()
        self._training.join(JOIN_TIMEOUT)
        return not self._training.is_alive()

    def _pause(self, request, response):
        response.success = self._mapping is not None
        if response.success:
            self._mapping.training.paused = request.data
            response.message = 'paused' if request.data else 'mapping'
        else:
            response.message = f'the node is {self._label}: configure it first'
        return response

    def _reset(self, _, response):
        response.success = self._mapping is not None
        if response.success:
            self._mapping.training.forget()
            response.message = 'the map is forgotten before the next step'
        else:
            response.message = f'the node is {self._label}: there is no map'
        return response

    def _on_time_jump(self, _):
        if self._mapping:
            self._mapping.time_jumped()


def main(args=None):
    """Run the node until SIGINT or SIGTERM; return the exit status if it did not start."""
    stop = threading.Event()
    try:
        # rclpy's own handlers would shut the context down while the thread still publishes.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        node = MapperNode()
    except (ValueError, RuntimeError) as error:  # rclpy's errors are RuntimeErrors
        get_logger('instant_nerf').fatal(f'cannot start: {error}')
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    failed = False
    if node.settings.node.autostart:
        done = TransitionCallbackReturn.SUCCESS
        if node.trigger_configure() != done or node.trigger_activate() != done:
            stop.set()  # the error is in the log
            failed = True
    while not stop.is_set() and not node.failed:
        executor.spin_once(timeout_sec=0.1)
    if node.end():  # if not, it compiles or renders, which cannot be interrupted
        failed = failed or node.failed
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
    # Nothing is left to save, and the interpreter would clear up the engine for seconds.
    os._exit(1 if failed else 0)


if __name__ == '__main__':
    sys.exit(main())

"""MapperNode: the managed node, its services, and its process."""
import os
import signal

if __name__ == '__main__':  # imports take seconds, and there is nothing to clean up yet
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))

import sys
import threading

import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool, Trigger

from instant_nerf_ros.ros.mapping_session import MappingSession
from instant_nerf_ros.ros.outputs.map_services import MapServices
from instant_nerf_ros.ros.params.live_parameters import LiveParameters
from instant_nerf_ros.ros.reporting.diagnostics import DiagnosticsPublisher
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics
from instant_nerf_ros.ros.training import TrainingThread
from instant_nerf_ros.ros.transitions import transition

REPORT_PERIOD = 1.0  # s
JOIN_TIMEOUT = 2.0  # s in which the training thread should end
SESSION_TIMEOUT = 6.0  # s more to write the session; launch sends SIGKILL 10 s after SIGINT


class MapperNode(LifecycleNode):
    """A managed node for a single-threaded executor: no callback or transition takes long."""

    def __init__(self) -> None:
        """Declare the parameters. Raises ValueError for a wrong type or value."""
        super().__init__('instant_nerf', automatically_declare_parameters_from_overrides=True)
        self.live_parameters = LiveParameters(self)
        self._dropped = DroppedMessages(self.get_logger().warning)
        self._statistics = TopicStatistics()
        self._session: MappingSession | None = None  # from configure to cleanup
        self._training: TrainingThread | None = None  # the last one; it may outlive its session
        self.state_label = 'unconfigured'
        self.create_service(SetBool, '~/pause', self._pause)
        self.create_service(Trigger, '~/reset', self._reset)
        self._map_services = MapServices(self, self.live_parameters, lambda: self.state_label)
        self._diagnostics = DiagnosticsPublisher(
            self, lambda: (self.state_label, self._session), self._dropped, self._statistics)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # continues while a bag is paused
        self.create_timer(REPORT_PERIOD, self._diagnostics.report, clock=steady)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            post_callback=self._on_time_jump)

    @property
    def failed(self) -> bool:
        """Return whether the training thread has failed; the error is in the log."""
        return self._training is not None and self._training.error is not None

    @transition
    def on_configure(self) -> None:
        """Create the publishers, and start the engine in its thread."""
        self._session = MappingSession(
            self, self.live_parameters, self._map_services, self._dropped, self._statistics,
            self._training)
        self._training = self._session.training
        self.live_parameters.set_configured(True)
        self.live_parameters.on_change(self._session.update_config)
        self.state_label = 'inactive'

    @transition
    def on_activate(self) -> None:
        """Subscribe and map."""
        self._configured_session().activate()
        self.state_label = 'active'

    @transition
    def on_deactivate(self) -> None:
        """Stop mapping and keep the map."""
        self._configured_session().deactivate()
        self.state_label = 'inactive'
        self._map_services.reject_pending()

    @transition
    def on_cleanup(self) -> None:
        """Discard the map and everything else that was configured."""
        self._close('unconfigured')

    @transition
    def on_shutdown(self) -> None:
        """Discard everything for good."""
        self._close('finalized')

    @transition
    def on_error(self) -> None:
        """Clean up after a transition that failed, so that it can be repeated."""
        self._close('unconfigured')

    def _configured_session(self) -> MappingSession:
        if self._session is None:
            raise RuntimeError('the node is not configured')
        return self._session

    def _close(self, label: str) -> None:
        self.live_parameters.on_change(None)
        self.live_parameters.set_configured(False)
        session, self._session = self._session, None
        self.state_label = label
        if session:
            session.close()
        self._dropped.reset()
        self._map_services.reject_pending()

    def stop_training(self) -> bool:
        """Stop the training thread, and write its session; return whether it has ended in time."""
        if self._training is None:
            return True
        self._training.stop()
        self._training.join(JOIN_TIMEOUT)
        if self._training.is_alive():
            self._training.finish_session(SESSION_TIMEOUT)
            self._training.join(0.1)  # it may have waited for just that
        return not self._training.is_alive()

    def destroy_node(self) -> None:
        """Destroy the node with its state machine, whose handle rclpy leaves open.

        Otherwise Fast DDS keeps its participant, and the segment of shared memory remains when the
        process has ended.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success = self._session is not None
        if self._session:
            self._session.training.set_paused(request.data)
            response.message = 'paused' if request.data else 'mapping'
        else:
            response.message = f'the node is {self.state_label}: configure it first'
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._session is not None
        if self._session:
            self._session.training.reset()
            response.message = 'the map is reset before the next step'
        else:
            response.message = f'the node is {self.state_label}: there is no map'
        return response

    def _on_time_jump(self, jump: TimeJump) -> None:
        if self._session:
            reset = self.live_parameters.node.reset_on_time_jump
            self.get_logger().warning(
                f'the clock jumped by {jump.delta.nanoseconds * 1e-9:.1f} s: images and TF of '
                f"before are discarded, the map {'starts anew' if reset else 'is kept'} "
                '(reset_on_time_jump)')
            self._session.on_time_jump()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit status if it could not start."""
    stop = threading.Event()
    try:
        # rclpy's own handlers would shut the context down while the thread still publishes.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        node = MapperNode()
    except (ValueError, RuntimeError) as error:  # the errors of rclpy are RuntimeErrors
        get_logger('instant_nerf').fatal(f'cannot start: {error}')
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    failed = False
    if node.live_parameters.node.autostart:
        success = TransitionCallbackReturn.SUCCESS
        if node.trigger_configure() != success or node.trigger_activate() != success:
            stop.set()  # the error is in the log
            failed = True
    while not stop.is_set() and not node.failed:
        executor.spin_once(timeout_sec=0.1)
    if node.stop_training():  # else it compiles or renders, which cannot be interrupted
        failed = failed or node.failed
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
    # Nothing is left to save, and the interpreter would need seconds to tear the engine down.
    os._exit(1 if failed else 0)


if __name__ == '__main__':
    sys.exit(main())

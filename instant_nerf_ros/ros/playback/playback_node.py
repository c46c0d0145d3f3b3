"""PlaybackNode: what a simulated and a recorded robot share: time, topics and signals."""
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    time_message,
    transform_message,
)
from instant_nerf_ros.ros.params.declaration import declare, misspelt, take_overrides
from instant_nerf_ros.ros.qos import LATE

OPTICAL_FRAME = 'camera_color_optical_frame'
# A stamp of 0 means "latest" to TF and "not initialized" to clocks, so time starts later.
FIRST_STAMP = 1_000_000_000  # ns
CLOCK_PERIOD = 0.02  # s
MAX_GAP = 60_000_000_000  # ns, between stamps; a longer one is not waited for
SETTLE_TIME = 0.5  # s, for the discovery of further subscriptions, and for the last messages

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PlaybackConfig = TypeVar('PlaybackConfig', bound='DataclassInstance')


class StoppedError(Exception):
    """The process has received SIGINT or SIGTERM."""


class PlaybackNode(Node, Generic[PlaybackConfig]):
    """A node that publishes messages at given stamps, and these stamps on /clock."""

    def __init__(self, name: str, defaults: PlaybackConfig, stop: threading.Event) -> None:
        """Declare the settings of a dataclass as parameters. Raises ValueError for a wrong one."""
        super().__init__(name, automatically_declare_parameters_from_overrides=True)
        overrides = take_overrides(self)
        self.config = declare(self, defaults, overrides)
        for sentence in misspelt(self, overrides):
            self.get_logger().warning(sentence)
        self._stop = stop
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10)
        self._start: tuple[int, float] | None = None  # a stamp [ns] and its wall time [s]
        self._stamp = 0  # of the last call of advance [ns]
        self.lag = 0.0  # s of wall time by which publishing has fallen behind

    def wait_for_subscriber(self, publishers: Sequence[Publisher], timeout: float) -> bool:
        """Wait until one of the publishers has a subscriber; return False after a timeout [s].

        The other subscriptions of that subscriber get SETTLE_TIME to be discovered.
        """
        deadline = time.monotonic() + timeout
        while not any(publisher.get_subscription_count() for publisher in publishers):
            if time.monotonic() >= deadline:
                return False
            self._spin(CLOCK_PERIOD)
        self._spin_for(SETTLE_TIME)
        return True

    def advance(self, stamp: int, speed: float) -> None:
        """Wait until a stamp [ns] is due, at `speed` times the wall time, and publish /clock.

        A gap of more than MAX_GAP, as a message with a wrong stamp makes it, is skipped.
        Raises StoppedError on a signal.
        """
        now = time.monotonic()
        if self._start is None:
            self._start = stamp, now
        elif stamp - self._stamp > MAX_GAP:
            self.get_logger().warning(
                f'nothing is recorded for {(stamp - self._stamp) * 1e-9:.0f} s, which are skipped')
            self._start = stamp, now
        self._stamp = stamp
        first_stamp, started = self._start
        due = started + (stamp - first_stamp) / 1e9 / speed
        if now - due > SETTLE_TIME:  # too slow for this speed: continue without catching up
            self.lag += now - due
            self._start = stamp, now
            due = now
        while (remaining := due - time.monotonic()) > 0:
            self._clock_publisher.publish(
                Clock(clock=time_message(max(stamp - round(remaining * speed * 1e9), 0))))
            self._spin(min(remaining, CLOCK_PERIOD))
        self._spin(0.0)
        self._clock_publisher.publish(Clock(clock=time_message(stamp)))

    def drain(self, publishers: Iterable[Publisher]) -> None:
        """Wait until the last messages have been received."""
        for publisher in publishers:
            publisher.wait_for_all_acked(Duration(seconds=2))
        self._spin_for(SETTLE_TIME)

    def lag_text(self) -> str:
        """Return the lag for the last log line, '' without any."""
        return f', {self.lag:.1f} s behind' if self.lag else ''

    def _spin_for(self, duration: float) -> None:
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self._spin(CLOCK_PERIOD)

    def _spin(self, timeout: float) -> None:
        """Handle parameter requests for a timeout [s]. Raises StoppedError on a signal."""
        end = time.monotonic() + timeout
        self._executor.spin_once(timeout_sec=max(timeout, 0.0))
        if self._stop.is_set():
            raise StoppedError
        self._stop.wait(max(end - time.monotonic(), 0.0))


class CameraPublishers:
    """Publishers of a color camera with registered depth, and of TF."""

    def __init__(self, node: Node, depth_encoding: str, reliability: str) -> None:
        """Create the publishers; depth_encoding is '16UC1' [mm], '32FC1' [m] or 'none'.

        The reliability is that of the images.
        """
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability.upper()])
        self.image = node.create_publisher(Image, 'camera/color/image_raw', qos)
        self.info = node.create_publisher(CameraInfo, 'camera/color/camera_info', LATE)
        self.depth = node.create_publisher(Image, 'camera/depth/image_raw', qos)
        self._depth_encoding = depth_encoding
        self._tf = TransformBroadcaster(node)
        self._tf_static = StaticTransformBroadcaster(node)

    def publish(
        self, stamp: int, image: NDArray[np.uint8], camera: Camera,
        depth: NDArray[np.float32] | None,
    ) -> None:  # fmt: skip
        """Publish an image (H, W, 3), its camera_info, and its depth (H, W) [m], at a stamp [ns].

        Depth that is not finite or does not fit the encoding is published as 0.
        """
        self.info.publish(camera_info_message(camera, stamp, OPTICAL_FRAME))
        if depth is not None and self._depth_encoding != 'none':
            encoded: NDArray[Any] = depth
            if self._depth_encoding == '16UC1':
                millimetres = np.round(np.nan_to_num(depth, posinf=0.0, neginf=0.0) * 1000.0)
                encoded = np.where(millimetres < 65535, millimetres, 0).astype(np.uint16)
            self.depth.publish(image_message(encoded, self._depth_encoding, stamp, OPTICAL_FRAME))
        self.image.publish(image_message(image, 'rgb8', stamp, OPTICAL_FRAME))

    def publish_transform(
        self, stamp: int, T_parent_child: NDArray[np.float64], parent: str, child: str,
    ) -> None:  # fmt: skip
        """Publish the pose (4, 4) of a moving frame on /tf."""
        self._tf.sendTransform(transform_message(T_parent_child, stamp, parent, child))

    def publish_static(self, transforms: Iterable[tuple[NDArray[np.float64], str, str]]) -> None:
        """Publish fixed frames [(T_parent_child, parent, child)] on /tf_static."""
        self._tf_static.sendTransform([
            transform_message(T_parent_child, 0, parent, child)
            for T_parent_child, parent, child in transforms])


def printable(text: str) -> str:
    """Return a text without what UTF-8 cannot express, as in names of files in other codings."""
    return text.encode('utf-8', 'backslashreplace').decode()


def run(
    make_node: Callable[[threading.Event], Any], name: str, args: list[str] | None,
) -> int:  # fmt: skip
    """Call play() of the node that make_node(stop) returns; return the exit status.

    Wrong parameters and unreadable data are logged in a sentence; the status is 1 then.
    """
    # rclpy's own handlers would shut the context down while messages are still published.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        make_node(stop).play()
    except StoppedError:
        get_logger(name).info('stopped by a signal')
    except (ValueError, OSError, ImportError) as error:
        get_logger(name).fatal(printable(str(error)))
        return 1
    finally:
        rclpy.shutdown()
    return 0

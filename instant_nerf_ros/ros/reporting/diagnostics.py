"""DiagnosticsPublisher: the state of the node on /diagnostics and, at intervals, in the log."""
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from instant_nerf_ros.ros.qos import OVERRIDES
from instant_nerf_ros.ros.reporting.dropped_messages import BLURRED, REDUNDANT, DroppedMessages
from instant_nerf_ros.ros.reporting.graph_check import incompatible
from instant_nerf_ros.ros.reporting.input_checks import InputChecks
from instant_nerf_ros.ros.reporting.progress import Progress
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

if TYPE_CHECKING:
    from instant_nerf_ros.ros.mapping_session import MappingSession
    from instant_nerf_ros.ros.training import TrainingThread

LOG_EVERY = 5  # diagnostics
ACTIVITY = {  # what the log says for a state of the diagnostics
    'starting the engine': 'starting the engine (compiling kernels)',
    'resting': 'resting because the field has converged',
}

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MIN_KEYFRAMES = 3  # without depth, before a voxel can be free or occupied


class DiagnosticsPublisher:
    """Publishes progress, rates, and what is wrong together with what to do about it."""

    def __init__(
        self, node: Node, state: 'Callable[[], tuple[str, MappingSession | None]]',
        dropped: DroppedMessages, statistics: TopicStatistics,
    ) -> None:  # fmt: skip
        """Create the publisher; state() returns the life-cycle state and the session, if any."""
        self._node, self._state = node, state
        self._dropped, self._statistics = dropped, statistics
        self._checks = InputChecks(node, statistics)
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', 10, qos_overriding_options=OVERRIDES)
        self._reports = 0
        self._time, self._steps = time.monotonic(), 0  # of the last report
        self._counts: dict[str, int] = {}  # of dropped messages, at the last report
        self._logged_errors: set[str] = set()
        self._logged_warnings: set[str] = set()

    def report(self) -> None:
        """Publish a diagnostic, and log every fifth; to be called once a second."""
        label, session = self._state()
        training = session.training if session else None
        progress = training.progress if training else Progress()
        now = time.monotonic()
        duration, self._time = max(now - self._time, 1e-9), now
        first = self._steps if self._steps <= progress.steps else 0  # else another engine
        speed, self._steps = (progress.steps - first) / duration, progress.steps
        rates = self._checks.rates(duration)
        counts = self._dropped.counts()
        before = self._counts
        # Counts that have decreased were reset.
        new = {reason: n - before.get(reason, 0) if n >= before.get(reason, 0) else n
               for reason, n in counts.items()}
        self._counts = counts
        errors, warnings = list(incompatible(self._node)), []
        findings = [(ERROR, sentence) for sentence in errors]
        if session and label == 'active':
            warnings = list(self._checks.warnings(session, progress, rates, errors))
            if progress.session_problem:
                warnings.append(progress.session_problem)
            findings += [(WARN, sentence) for sentence in warnings]
            if progress.backend and not progress.keyframes:
                findings.append((WARN, 'no image has been used yet'))
            elif 0 < progress.keyframes < MIN_KEYFRAMES and not (training and training.paused):
                findings.append((WARN, few_keyframes(progress)))
            if reasons := _reasons(new):
                findings.append((WARN, f'dropping messages: {reasons}; the log says which'))
        state = _state_of(label, training, progress)
        wait, delay = self._statistics.medians()
        self._publish(state, findings, {
            'state': state, 'backend': progress.backend, 'keyframes': progress.keyframes,
            'images with depth': progress.images_with_depth, 'scans': progress.scans,
            'steps': progress.steps,
            'steps discarded': progress.discarded, 'steps per second': f'{speed:.1f}',
            'loss': f'{progress.loss:.4g}', 'held-out PSNR [dB]': f'{progress.psnr:.1f}',
            'correction of poses': '{:.3f} m, {:.2f} degrees'.format(*progress.correction),
            'floor [m]': session.publishers.floor_text() if session else '',
            'age of the map [s]': f'{self._map_age(progress):.1f}',
            'wait for TF [s]': f'{wait:.3f}', 'image to keyframe [s]': f'{delay:.3f}',
            'memory [MB]': f'{memory():.0f}', 'session': progress.session,
            'memory of keyframes [MB]': f'{progress.keyframe_bytes / 2**20:.0f}',
            **{f'rate: {topic} [Hz]': f'{rate:.1f}' for topic, rate in sorted(rates.items())},
            **{f'dropped: {reason}': count for reason, count in sorted(counts.items())},
        })
        self._reports += 1
        if label == 'active' and self._reports % LOG_EVERY == 0:
            self._log(state, progress, speed, warnings)

    def _map_age(self, progress: Progress) -> float:
        if not progress.map_stamp_ns:
            return math.nan
        return (self._node.get_clock().now().nanoseconds - progress.map_stamp_ns) * 1e-9

    def _publish(
        self, state: str, findings: list[tuple[bytes, str]], values: Mapping[str, object],
    ) -> None:  # fmt: skip
        findings = sorted(findings, key=lambda finding: finding[0], reverse=True)
        # Errors are logged too: many users read only the log.
        errors = {sentence for level, sentence in findings if level == ERROR}
        for sentence in errors - self._logged_errors:
            self._node.get_logger().error(sentence)
        self._logged_errors = errors
        status = DiagnosticStatus(
            level=findings[0][0] if findings else OK,
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: mapping',
            message='; '.join(sentence for _, sentence in findings) or state,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _log(self, state: str, progress: Progress, speed: float, warnings: list[str]) -> None:
        log = self._node.get_logger()
        dropped = ', '.join(f'{count} {reason}' for reason, count in sorted(self._counts.items()))
        log.info(f"{summary(state, progress, speed)}; dropped: {dropped or 'nothing'}")
        for sentence in warnings:
            # Repeated until the first keyframe: until then, it may be why there is none.
            if sentence not in self._logged_warnings or not progress.keyframes:
                log.warning(sentence)
        self._logged_warnings = set(warnings)


def summary(state: str, progress: Progress, speed: float) -> str:
    """Return what the node is doing, with the figures that are known; speed is in steps/s."""
    if state == 'mapping' and not progress.keyframes:
        return 'waiting for images'
    activity = ACTIVITY.get(state, state)
    if not progress.keyframes:
        return activity
    return (
        f'{activity}: {progress.keyframes} keyframes, '
        f'{progress.images_with_depth} images with depth, {progress.steps} steps'
        + (f' ({speed:.1f}/s)' if speed else '')
        + (f', loss {progress.loss:.4g}' if math.isfinite(progress.loss) else ''))


def _reasons(dropped: Mapping[str, int]) -> str:
    """Return the counts by reason in words, without the reasons that are normal."""
    return ', '.join(
        f'{n} {reason}' for reason, n in sorted(dropped.items())
        if n and reason not in (BLURRED, REDUNDANT))


def few_keyframes(progress: Progress) -> str:
    """Return what to do while there are fewer than MIN_KEYFRAMES."""
    if progress.images_with_depth or progress.scans:
        return f'keyframes: {progress.keyframes}; move the camera to map more'
    return (f'{progress.keyframes} keyframes are not enough, the map needs {MIN_KEYFRAMES}: move '
            'the camera')


def _state_of(label: str, training: 'TrainingThread | None', progress: Progress) -> str:
    """Return the state in the diagnostics: that of the training while the node is active."""
    if training and label in ('active', 'inactive') and not progress.backend:
        return 'starting the engine'
    if training and label == 'active':
        if training.paused:
            return 'paused'
        return 'resting' if progress.converged else 'mapping'
    return label


def memory() -> float:
    """Return the resident memory of this process [MB], nan where /proc does not exist."""
    try:
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
    except OSError:
        return math.nan

"""How the node is doing: a log line now and then, and /diagnostics."""
import math
import os
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from instant_nerf_ros.ros.qos import OVERRIDES
from instant_nerf_ros.ros.reporting.graph_check import incompatible
from instant_nerf_ros.ros.inputs.keyframe_feeder import BLURRED
from instant_nerf_ros.ros.reporting.progress import Progress
from instant_nerf_ros.ros.inputs.input_queue import REDUNDANT

LOG_EVERY = 5  # diagnostics
PATIENCE = 5  # diagnostics without a message, until a topic is silent
FRACTION = 0.5  # of camera_info's rate, below which images are lost
FEWEST_VIEWS = 3  # keyframes, before a voxel is free or occupied
FEWEST = 5  # camera_infos that tell something about that

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Monitor:
    """Reports progress and rates, and whatever is wrong with what to do about it."""

    def __init__(self, node, state, drops, traffic):
        """Keep what is reported; state() -> (label of the life cycle, Mapping or None)."""
        self._node, self._state = node, state
        self._drops, self._traffic = drops, traffic
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', 10, qos_overriding_options=OVERRIDES)
        self._reports = 0
        self._time, self._before = time.monotonic(), Progress()
        self._counts, self._messages, self._silent = {}, {}, {}
        self._told, self._warned = set(), set()  # errors and warnings that are in the log

    def report(self):
        """Publish one diagnostic, and log every fifth time; to be called once a second."""
        label, mapping = self._state()
        training = mapping and mapping.training
        progress = training.progress if training else Progress()
        now = time.monotonic()
        duration, self._time = max(now - self._time, 1e-9), now
        if progress.steps < self._before.steps:  # begun anew
            self._before = Progress()
        rates = self._rates(duration)
        counts = self._drops.counts()
        new = {why: n - self._counts.get(why, 0) for why, n in counts.items()}
        self._counts = counts
        speed = (progress.steps - self._before.steps) / duration
        wrong, warnings = list(incompatible(self._node)), []
        findings = [(ERROR, sentence) for sentence in wrong]
        if label == 'active':
            warnings = list(self._warnings(mapping, progress, rates, wrong))
            findings += [(WARN, sentence) for sentence in warnings]
            if progress.backend and not progress.keyframes:
                findings.append((WARN, 'no image has been used yet'))
            if reasons := _reasons(new):
                findings.append((WARN, f'dropping messages: {reasons}; the log says which'))
        self._before = progress
        state = _state_of(label, training, progress)
        wait, delay = self._traffic.medians()
        self._publish(state, findings, {
            'state': state, 'backend': progress.backend, 'keyframes': progress.keyframes,
            'images with depth': progress.depths, 'scans': progress.scans,
            'steps': progress.steps,
            'steps discarded': progress.discarded, 'steps per second': f'{speed:.1f}',
            'loss': f'{progress.loss:.4g}', 'held-out PSNR [dB]': f'{progress.psnr:.1f}',
            'floor [m]': mapping.products.floor() if mapping else '',
            'age of the map [s]': f'{self._age(progress):.1f}',
            'wait for TF [s]': f'{wait:.3f}', 'image to keyframe [s]': f'{delay:.3f}',
            'memory [MB]': f'{memory():.0f}',
            'memory of keyframes [MB]': f'{progress.stored / 2**20:.0f}',
            **{f'rate: {topic} [Hz]': f'{rate:.1f}' for topic, rate in sorted(rates.items())},
            **{f'dropped: {reason}': count for reason, count in sorted(counts.items())},
        })
        self._reports += 1
        if label == 'active' and self._reports % LOG_EVERY == 0:
            self._log(progress, speed, counts, warnings)

    def _rates(self, duration):
        """Return {topic: messages per second} since the last call."""
        messages = self._traffic.messages()
        new = {topic: n - self._messages.get(topic, 0) for topic, n in messages.items()}
        self._silent = {
            topic: 0 if n else self._silent.get(topic, 0) + 1 for topic, n in new.items()}
        self._messages = messages
        return {topic: n / duration for topic, n in new.items()}

    def _warnings(self, mapping, progress, rates, wrong):
        """Yield sentences about what may have to be mended; wrong are the sentences of errors."""
        for topic, sensor in _needed(mapping):
            clash = any(sentence.startswith(f'on {topic},') for sentence in wrong)
            if self._silent.get(topic, 0) >= PATIENCE and not clash:
                yield self._silence(topic, sensor)
        topic = mapping.trajectory_topic
        if topic and not self._node.count_publishers(topic):
            yield f'nobody publishes {topic}: remap it to the trajectory of the SLAM'
        for topics in mapping.topics.values():
            images, infos = rates.get(topics.image, 0.0), rates.get(topics.camera_info, 0.0)
            if infos >= FEWEST and 0.0 < images < FRACTION * infos:
                yield (
                    f'of {infos:.0f} images a second on {topics.image}, {images:.0f} arrive: '
                    'larger messages are lost; give the camera driver config/fastdds.xml too')
        if 0 < progress.keyframes < FEWEST_VIEWS:
            yield (
                f'{progress.keyframes} keyframes tell nothing yet, the map needs {FEWEST_VIEWS}: '
                'move the camera')
        if progress.discarded > self._before.discarded:
            yield 'steps are discarded, their loss is not finite: check exposure, poses and depth'

    def _silence(self, topic, sensor):
        publishers = self._node.count_publishers(topic)
        if self._messages[topic]:
            advice = f'the {sensor} has stopped'
        elif publishers:
            advice = (
                f'does the {sensor} send (ros2 topic hz)? Larger messages are lost unless its '
                'driver has config/fastdds.xml, too')
        else:
            advice = f'remap it to the topic of the {sensor}'
        return f'nothing comes on {topic} ({publishers} publishers): {advice}'

    def _age(self, progress):
        if not progress.fused_ns:
            return math.nan
        return (self._node.get_clock().now().nanoseconds - progress.fused_ns) * 1e-9

    def _publish(self, state, findings, values):
        findings = sorted(findings, key=lambda finding: finding[0], reverse=True)
        # Also in the log, which is all that many people look at.
        sentences = {sentence for level, sentence in findings if level == ERROR}
        for sentence in sentences - self._told:
            self._node.get_logger().error(sentence)
        self._told = sentences
        status = DiagnosticStatus(
            level=findings[0][0] if findings else OK,
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: mapping',
            message='; '.join(sentence for _, sentence in findings) or state,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _log(self, progress, speed, counts, warnings):
        dropped = ', '.join(f'{count} {reason}' for reason, count in sorted(counts.items()))
        self._node.get_logger().info((
            f'{progress.keyframes} keyframes, {progress.depths} images with depth, '
            f'{progress.steps} steps ({speed:.1f}/s), loss {progress.loss:.4g}'
            if progress.keyframes else 'no image has been used yet'
            ) + f"; dropped: {dropped or 'nothing'}")
        for sentence in warnings:
            # As long as nothing works it bears repeating.
            if sentence not in self._warned or not progress.keyframes:
                self._node.get_logger().warning(sentence)
        self._warned = set(warnings)


def _needed(mapping):
    """Yield the topics of a Mapping that must not be silent, and what sends on them."""
    for topics in mapping.topics.values():  # depth is optional
        yield topics.image, 'camera'
        yield topics.camera_info, 'camera'
    for topic in mapping.range_topics:
        yield topic, 'lidar'


def _reasons(dropped):
    """Return in words what was dropped and should not have been."""
    return ', '.join(
        f'{n} {why}' for why, n in sorted(dropped.items())
        if n and why not in (BLURRED, REDUNDANT))


def _state_of(label, training, progress):
    if label in ('active', 'inactive') and not progress.backend:
        return 'starting the engine'
    if label == 'active':
        if training.paused:
            return 'paused'
        return 'resting' if training.resting else 'mapping'
    return label


def memory():
    """Return the resident memory of this process [MB]; nan where the system does not tell."""
    try:
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
    except OSError:
        return math.nan

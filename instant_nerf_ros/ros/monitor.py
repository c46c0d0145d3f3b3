"""How the node is doing: a log line now and then, and /diagnostics."""
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

LOG_EVERY = 5  # diagnostics


class Monitor:
    """Reports progress, drops, and topics on which nothing comes."""

    def __init__(self, node, training, drops, received):
        """Keep what is reported; received is {topic that must not be silent: messages so far}."""
        self._node, self._training, self._drops, self._received = node, training, drops, received
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._reports = 0
        self._time, self._steps = time.monotonic(), 0
        self._received_before, self._dropped_before = dict(received), 0

    def report(self):
        """Publish one diagnostic, and log every fifth time; to be called once a second."""
        progress, counts = self._training.progress, self._drops.counts()
        now = time.monotonic()
        speed = (progress.steps - self._steps) / max(now - self._time, 1e-9)
        self._time, self._steps = now, progress.steps
        self._publish(progress, speed, counts)
        self._reports += 1
        if self._reports % LOG_EVERY == 0:
            self._log(progress, speed, counts)

    def _publish(self, progress, speed, counts):
        dropped = sum(counts.values())
        if not progress.backend:
            level, summary = DiagnosticStatus.OK, 'starting the engine'
        elif dropped > self._dropped_before:
            level, summary = DiagnosticStatus.WARN, 'dropping messages'
        elif not progress.keyframes:
            level, summary = DiagnosticStatus.WARN, 'no image has been used yet'
        else:
            level, summary = DiagnosticStatus.OK, 'mapping'
        self._dropped_before = dropped
        values = {
            'backend': progress.backend, 'keyframes': progress.keyframes,
            'images with depth': progress.depths, 'steps': progress.steps,
            'steps per second': f'{speed:.1f}', 'loss': f'{progress.loss:.4g}',
            **{f'dropped: {reason}': count for reason, count in sorted(counts.items())},
        }
        status = DiagnosticStatus(
            level=level, name=f'{self._node.get_name()}: mapping', message=summary,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _log(self, progress, speed, counts):
        dropped = ', '.join(f'{count} {reason}' for reason, count in sorted(counts.items()))
        self._node.get_logger().info(
            f'{progress.keyframes} keyframes, {progress.depths} images with depth, '
            f'{progress.steps} steps ({speed:.1f}/s), '
            f"loss {progress.loss:.4g}; dropped: {dropped or 'nothing'}")
        silent = [
            f'{topic} ({self._node.count_publishers(topic)} publishers)'
            for topic, count in self._received.items() if count == self._received_before[topic]]
        self._received_before = dict(self._received)
        if silent:
            self._node.get_logger().warning(
                f"nothing came in the last {LOG_EVERY} s on {', '.join(silent)}")

"""InputChecks: the rates of the topics, and warnings about inputs that need attention."""
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rclpy.node import Node

from instant_nerf_ros.ros.reporting.progress import Progress
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

if TYPE_CHECKING:
    from instant_nerf_ros.ros.mapping_session import MappingSession

SILENT_CHECKS = 5  # consecutive checks without a message, after which a topic counts as silent
MIN_IMAGE_SHARE = 0.5  # of the rate of camera_info; below it, images are lost
MIN_CAMERA_INFOS = 5  # per second, for that comparison to be meaningful


class InputChecks:
    """Compares the inputs with what mapping needs; to be called once a second."""

    def __init__(self, node: Node, statistics: TopicStatistics) -> None:
        self._node, self._statistics = node, statistics
        self._messages: dict[str, int] = {}  # counts at the last check
        self._silent: dict[str, int] = {}  # consecutive checks without a message
        self._discarded = 0

    def rates(self, duration: float) -> dict[str, float]:
        """Return the messages per second by topic over the duration [s] since the last call."""
        messages = self._statistics.messages()
        new = {topic: n - self._messages.get(topic, 0) for topic, n in messages.items()}
        self._silent = {
            topic: 0 if n else self._silent.get(topic, 0) + 1 for topic, n in new.items()}
        self._messages = messages
        return {topic: n / duration for topic, n in new.items()}

    def warnings(
        self, session: 'MappingSession', progress: Progress, rates: dict[str, float],
        errors: Sequence[str],
    ) -> Iterator[str]:  # fmt: skip
        """Yield a sentence for each problem; errors are the sentences of graph_check."""
        for topic, sensor in _required_topics(session):
            mismatched = any(sentence.startswith(f'on {topic},') for sentence in errors)
            # A calibration that was published once holds.
            if sensor == CALIBRATION and self._messages.get(topic):
                continue
            if self._silent.get(topic, 0) >= SILENT_CHECKS and not mismatched:
                yield self._silence(topic, 'camera' if sensor == CALIBRATION else sensor)
        topic = session.trajectory_topic
        if topic and not self._node.count_publishers(topic):
            yield f'nobody publishes {topic}: remap it to the trajectory of the SLAM'
        if sentence := session.pose_jumps.check():
            yield sentence
        for topics in session.topics.values():
            images, infos = rates.get(topics.image, 0.0), rates.get(topics.camera_info, 0.0)
            if infos >= MIN_CAMERA_INFOS and 0.0 < images < MIN_IMAGE_SHARE * infos:
                yield (
                    f'of {infos:.0f} images a second on {topics.image}, {images:.0f} arrive: '
                    'larger messages are lost; give the camera driver config/fastdds.xml too')
        if progress.discarded > self._discarded:
            yield 'steps are discarded, their loss is not finite: check exposure, poses and depth'
        self._discarded = progress.discarded

    def _silence(self, topic: str, sensor: str) -> str:
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


CALIBRATION = 'calibration of the camera'  # what a silent camera_info topic lacks


def _required_topics(session: 'MappingSession') -> Iterator[tuple[str, str]]:
    """Yield (topic, its sensor) of the topics without which nothing is mapped."""
    for topics in session.topics.values():  # depth is optional
        yield topics.image, 'camera'
        yield topics.camera_info, CALIBRATION
    for topic in session.range_topics:
        yield topic, 'lidar'

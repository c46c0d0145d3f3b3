"""Faults around a mapper_node: what was expected, and what was seen; prints rows as JSON."""
import json
import re
import sys
import tempfile

from driven_mapper import DrivenMapper
from soak import rooms, there_and_back

RATE, WIDTH, LAP = 15.0, 160, 60.0
BUDGET = 16  # MB for keyframes, which is full before the first fault
BEFORE, AFTER = 60.0, 15.0  # s of normal driving
SILENCE, UNPLUGGED, JUMP = 60.0, 30.0, 100.0  # s
SUBSCRIBERS, TRANSITIONS = 50, 100
MAX_GROWTH = 0.03


class Faults:
    """One node, to which one fault after the other happens."""

    def __init__(self, mapper):
        self._mapper = mapper
        self._way = there_and_back(rooms(mapper.tour)[0], 1.0)
        self._laps = 0.0

    def drive(self, seconds=AFTER, with_tf=True):
        """Drive on for some seconds."""
        begin, laps = self._laps, seconds / LAP
        self._mapper.drive(lambda fraction: self._way((begin + laps * fraction) % 1.0), seconds,
                           RATE, with_tf)
        self._laps += laps

    def rows(self):
        """Yield the rows of the table."""
        self.drive(BEFORE)
        yield self._row(
            f'TF silent for {SILENCE:.0f} s', 'said; images are used again afterwards',
            lambda: self.drive(SILENCE, with_tf=False))
        yield self._row(
            f'camera unplugged for {UNPLUGGED:.0f} s, and back', 'said; images are used again',
            lambda: self._mapper.wait(lambda: False, UNPLUGGED))
        for seconds in (-JUMP, JUMP):
            yield self._row(
                f'the clock jumps by {seconds:+.0f} s', 'the map stays, images are used again',
                lambda seconds=seconds: self._jump(seconds))
        yield self._row(
            f'{SUBSCRIBERS} subscribers come and go', 'nothing grows', self._subscribers)
        yield self._row(
            f'{TRANSITIONS} transitions while images come', 'all succeed, nothing grows',
            self._transitions)

    def _row(self, fault, expected, happen):
        mapper = self._mapper
        before, taken = mapper.counters(), self._added()
        del mapper.messages[:]
        said = happen()
        messages = list(mapper.messages)
        during = self._added()
        self.drive()
        mapper.wait(lambda: self._added() > during, AFTER)
        after = mapper.counters()
        text = said if isinstance(said, str) else _common(messages)
        return [fault, expected, (
            f'{text}; images used before, during and after: {taken}, {during}, {self._added()}; '
            f'memory {100 * (after[0] / before[0] - 1):+.1f} %, threads {before[1]} to {after[1]},'
            f' open files {before[2]} to {after[2]}, /dev/shm {after[3] - before[3]:+.0f} MiB')]

    def _added(self):
        """Return the number of images whose depth is in the map."""
        return int(self._mapper.status['images with depth'])

    def _jump(self, seconds):
        self._mapper.jump(seconds)
        self.drive()

    def _subscribers(self):
        import rclpy
        from nav_msgs.msg import OccupancyGrid, Path
        from sensor_msgs.msg import PointCloud2
        for number in range(SUBSCRIBERS):
            node = rclpy.create_node(f'subscriber_{number}')
            for kind, topic in ((OccupancyGrid, 'map'), (PointCloud2, '/instant_nerf/points'),
                                (Path, '/instant_nerf/path')):
                node.create_subscription(kind, topic, lambda _: None, 10)
            self.drive(0.5)
            node.destroy_node()
        return 'all were served'

    def _transitions(self):
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState
        done = 0
        for number in range(TRANSITIONS):
            kind = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)[number % 2]
            done += self._mapper.call(
                ChangeState, 'change_state', lambda: self.drive(0.2),
                transition=Transition(id=kind)).success
        return f'{done} of {TRANSITIONS} succeeded'


def _common(messages):
    """Return the message of diagnostics that came most often, with its figures left out."""
    texts = [re.sub(r'\d+(\.\d+)?', 'N', message) for message in messages]
    return f'"{max(set(texts), key=texts.count)}"' if texts else 'nothing was said'


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder, DrivenMapper(
            folder, WIDTH, **{'keyframes.budget_mb': BUDGET}) as mapper:
        json.dump(list(Faults(mapper).rows()), sys.stdout)

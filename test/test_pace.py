"""Pace: training takes no more than its share of the time."""
import types

import pytest
from randomness import generator

from instant_nerf_ros.ros.duty_cycle import Pace


class Machine:
    """A clock, and a mapper whose steps take some of its time, half of that after they return."""

    def __init__(self, random):
        self.now, self.busy, self.queued = 100.0, 0.0, 0.0
        self.random = random
        self.engine = types.SimpleNamespace(finish=self._finish)

    def step(self):
        """Take a step."""
        took = self.random.exponential(0.02)
        self.now += took / 2
        self.queued += took / 2
        self.busy += took
        return {'loss': 0.25}

    def _finish(self):
        self.now += self.queued
        self.queued = 0.0


@pytest.mark.parametrize('share', [0.05, 0.3, 0.9])
def test_steps_take_no_more_than_their_share_and_nearly_all_of_it(share):
    machine = Machine(generator())
    pace, begin = Pace(lambda: machine.now), machine.now
    for _ in range(20_000):
        if pace.due():
            assert pace.step(machine, share) == 0.25
        else:
            machine.now += 0.001  # the thread does something else
        if pace.due():  # at the end of a pause
            assert machine.busy <= share * (machine.now - begin) * 1.001 + 1e-9
    assert machine.busy > 0.9 * share * (machine.now - begin)


def test_the_whole_share_means_no_pause_and_no_waiting_for_the_processor():
    machine = Machine(generator())
    pace = Pace(lambda: machine.now)
    for _ in range(50):
        assert pace.due()
        pace.step(machine, 1.0)
    assert machine.queued > 0
    assert machine.now - 100.0 == pytest.approx(machine.busy / 2)


def test_a_change_of_the_share_holds_from_the_next_step_on():
    machine = Machine(generator())
    pace = Pace(lambda: machine.now)
    pace.step(machine, 0.1)
    assert not pace.due()
    machine.now += 9.001 * (machine.now - 100.0)
    assert pace.due()
    pace.step(machine, 1.0)
    assert pace.due()

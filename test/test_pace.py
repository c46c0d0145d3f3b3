"""DutyCycle: training takes no more than its share of the time."""
import types

import pytest
from randomness import generator

from instant_nerf_ros.ros.duty_cycle import DutyCycle


class Machine:
    """A clock, and a mapper whose steps take time, half of it after they return as on a GPU."""

    def __init__(self, random):
        self.now, self.busy, self.queued = 100.0, 0.0, 0.0
        self.random = random
        self.backend = types.SimpleNamespace(synchronize=self._synchronize)

    def step(self):
        """Take a step."""
        duration = self.random.exponential(0.02)
        self.now += duration / 2
        self.queued += duration / 2
        self.busy += duration
        return {'loss': 0.25}

    def _synchronize(self):
        self.now += self.queued
        self.queued = 0.0


@pytest.mark.parametrize('share', [0.05, 0.3, 0.9])
def test_steps_take_no_more_than_their_share_and_nearly_all_of_it(share):
    machine = Machine(generator())
    duty_cycle, begin = DutyCycle(lambda: machine.now), machine.now
    for _ in range(20_000):
        if duty_cycle.due():
            assert duty_cycle.step(machine, share) == 0.25
        else:
            machine.now += 0.001  # other work of the thread
        if duty_cycle.due():  # at the end of a pause
            assert machine.busy <= share * (machine.now - begin) * 1.001 + 1e-9
    assert machine.busy > 0.9 * share * (machine.now - begin)


def test_with_the_whole_share_there_is_no_pause_and_no_synchronization():
    machine = Machine(generator())
    duty_cycle = DutyCycle(lambda: machine.now)
    for _ in range(50):
        assert duty_cycle.due()
        duty_cycle.step(machine, 1.0)
    assert machine.queued > 0
    assert machine.now - 100.0 == pytest.approx(machine.busy / 2)


def test_a_changed_share_applies_from_the_next_step_on():
    machine = Machine(generator())
    duty_cycle = DutyCycle(lambda: machine.now)
    duty_cycle.step(machine, 0.1)
    assert not duty_cycle.due()
    machine.now += 9.001 * (machine.now - 100.0)
    assert duty_cycle.due()
    duty_cycle.step(machine, 1.0)
    assert duty_cycle.due()

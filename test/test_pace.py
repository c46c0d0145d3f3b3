"""DutyCycle: training takes no more than its share of the time, and images no more than half."""
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


@pytest.mark.parametrize('image', [0.003, 0.15])  # s; a step takes 0.01 s
def test_images_that_always_wait_leave_half_of_the_time_to_training(image):
    machine = Machine(generator())
    duty_cycle, of_images = DutyCycle(lambda: machine.now), 0.0

    def feed():
        machine.now += image

    begin = machine.now
    for _ in range(5000):
        if duty_cycle.images_due():
            duty_cycle.take_images(feed)
            of_images += image
        duty_cycle.step(machine, 1.0)
    assert of_images <= (machine.now - begin + image) / 2
    if image == 0.15:  # else images wait for the end of a step
        assert of_images > 0.45 * (machine.now - begin)


def test_an_image_that_comes_after_long_training_is_taken_at_once_and_only_once():
    machine = Machine(generator())
    duty_cycle = DutyCycle(lambda: machine.now)
    for _ in range(100):
        duty_cycle.step(machine, 1.0)
    assert duty_cycle.images_due()
    for _ in range(3):  # without training in between, as after it has converged
        duty_cycle.take_images(lambda: setattr(machine, 'now', machine.now + 0.1))
    assert not duty_cycle.images_due()
    begin = machine.now
    while not duty_cycle.images_due():
        duty_cycle.step(machine, 1.0)
    assert machine.now - begin < 0.1 + 0.2  # it owes no more than the last one

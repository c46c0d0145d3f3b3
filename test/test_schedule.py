"""Schedule: the size of steps, the learning rate, and convergence when the loss is flat."""
import types

import pytest

from instant_nerf_ros.nerf import schedule as constants
from instant_nerf_ros.nerf.config import SamplingConfig
from instant_nerf_ros.nerf.schedule import Schedule

BUDGET = 16384


def run(schedule, steps, loss):
    """Take steps whose rays have eight samples each; loss(step) is their loss."""
    for step in range(steps):
        schedule.step_done(schedule.rays, 8 * schedule.rays, loss(step), BUDGET)


def test_the_number_of_rays_adapts_to_the_sample_budget_within_a_few_steps():
    schedule = Schedule()
    run(schedule, 10, lambda step: 1.0)
    assert schedule.rays == BUDGET / 8 and schedule.stride == 1
    for samples_per_ray in (4, 40):
        for _ in range(10):
            schedule.step_done(schedule.rays, samples_per_ray * schedule.rays, 1.0, BUDGET)
        assert schedule.rays * samples_per_ray == pytest.approx(BUDGET, rel=0.02)


def test_the_budget_is_halved_down_to_a_limit_when_memory_is_exhausted(caplog):
    schedule, config = Schedule(), SamplingConfig(samples_per_step=4096)
    backend = types.SimpleNamespace(SAMPLES=2**18)
    assert schedule.budget(config, backend) == 4096
    assert schedule.budget(SamplingConfig(), backend) == 2**18  # the default of the backend
    for expected in (2048, 1024):
        rays = schedule.rays
        schedule.reduce_budget(schedule.budget(config, backend), MemoryError('out of memory'))
        assert schedule.budget(config, backend) == expected and schedule.rays == rays // 2
        assert str(expected) in caplog.records[-1].getMessage()
    with pytest.raises(MemoryError, match='out of memory'):
        schedule.reduce_budget(schedule.budget(config, backend), MemoryError('out of memory'))


def test_other_errors_are_raised():
    schedule = Schedule()
    with pytest.raises(RuntimeError, match='illegal memory access'):
        schedule.reduce_budget(2**18, RuntimeError('an illegal memory access was encountered'))


def test_the_stride_is_large_while_rays_have_many_samples():
    schedule = Schedule()
    for _ in range(10):
        schedule.step_done(schedule.rays, 100 * schedule.rays, 1.0, BUDGET)
    assert schedule.stride == constants.MAX_STRIDE
    run(schedule, 10, lambda step: 1.0)
    assert schedule.stride == 1


def test_the_number_of_rays_is_bounded_without_samples():
    schedule = Schedule()
    for _ in range(30):
        schedule.step_done(schedule.rays, 0, 1.0, BUDGET)
    assert constants.MIN_RAYS <= schedule.rays <= BUDGET


def test_the_learning_rate_halves_and_new_data_restores_it():
    schedule = Schedule()
    assert schedule.learning_rate(0.01) == 0.01
    run(schedule, constants.HALF_LIFE, lambda step: 1.0)
    assert schedule.learning_rate(0.01) == pytest.approx(0.005)
    run(schedule, 10 * constants.HALF_LIFE, lambda step: 1.0)
    assert schedule.learning_rate(0.01) == 0.01 * constants.MIN_RATE
    schedule.data_added()
    assert schedule.learning_rate(0.01) == 0.01


def test_votes_become_rare_without_new_data():
    schedule = Schedule()
    often = schedule.vote_every
    run(schedule, constants.FRESH, lambda step: 1.0)
    assert schedule.vote_every > often
    schedule.data_added()
    assert schedule.vote_every == often


def test_it_has_converged_when_the_loss_is_flat_and_not_while_it_falls():
    flat, falling = Schedule(), Schedule()
    run(flat, 7000, lambda step: 1.0 + 0.1 * (step % 2))
    run(falling, 7000, lambda step: 0.9999**step)
    assert flat.converged and not falling.converged
    flat.data_added()
    assert not flat.converged


def test_it_has_not_converged_at_a_high_learning_rate_or_without_finite_losses():
    schedule = Schedule()
    run(schedule, 3 * constants.HALF_LIFE, lambda step: 1.0)
    assert not schedule.converged
    schedule = Schedule()
    run(schedule, constants.MAX_AGE - 1, lambda step: float('nan'))
    assert not schedule.converged
    run(schedule, 1, lambda step: float('nan'))
    assert schedule.converged


def test_with_a_planned_end_the_rate_is_held_and_falls_however_many_steps_that_takes():
    schedule = Schedule()
    rates = []
    held = constants.HELD
    for share in (0.0, held / 2, held, (1 + held) / 2, 1.0):
        schedule.set_progress(share)
        run(schedule, 3000, lambda step: 1.0)
        rates.append(schedule.learning_rate(0.01))
        assert schedule.converged == (share == 1)
    assert rates[:3] == [0.01] * 3 and rates[3] == pytest.approx(0.005) and rates[4] == 0


def test_with_a_planned_end_the_keyframes_vote_more_often_in_its_second_part():
    schedule = Schedule()
    assert schedule.vote_every == constants.VOTE_EVERY
    schedule.set_progress(0.0)
    assert schedule.vote_every == constants.VOTE_PLANNED
    schedule.set_progress(constants.VOTES_FROM)
    assert schedule.vote_every == constants.VOTE_RARELY


@pytest.mark.parametrize('share', [-0.1, 1.1, float('nan')])
def test_a_progress_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match='between 0 and 1'):
        Schedule().set_progress(share)


def test_discarded_steps_do_not_prevent_convergence():
    schedule = Schedule()
    run(schedule, 7000, lambda step: 1.0 if step % 500 else float('nan'))
    assert schedule.converged
    falling = Schedule()  # the mean of 500 losses is not less because there are fewer of them
    run(falling, 7000, lambda step: 0.9999**step if step < 6000 or step % 2 else float('inf'))
    assert not falling.converged

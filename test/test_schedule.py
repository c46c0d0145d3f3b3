"""Schedule: the size of steps, the learning rate, and convergence when the loss is flat."""
import types

import pytest

from instant_nerf_ros.nerf import schedule
from instant_nerf_ros.nerf.config import SamplingConfig
from instant_nerf_ros.nerf.schedule import Schedule

BUDGET = 16384


def run(plan, steps, loss):
    """Take steps whose rays have eight samples each; loss(step) is their loss."""
    for step in range(steps):
        plan.step_done(plan.rays, 8 * plan.rays, loss(step), BUDGET)


def test_the_number_of_rays_adapts_to_the_budget_within_a_few_steps():
    plan = Schedule()
    run(plan, 10, lambda step: 1.0)
    assert plan.rays == BUDGET / 8 and plan.stride == 1
    for samples_per_ray in (4, 40):
        for _ in range(10):
            plan.step_done(plan.rays, samples_per_ray * plan.rays, 1.0, BUDGET)
        assert plan.rays * samples_per_ray == pytest.approx(BUDGET, rel=0.02)


def test_where_memory_is_scarce_the_steps_get_smaller_down_to_a_limit(caplog):
    plan, config = Schedule(), SamplingConfig(samples_per_step=4096)
    backend = types.SimpleNamespace(SAMPLES=2**18)
    assert plan.budget(config, backend) == 4096
    assert plan.budget(SamplingConfig(), backend) == 2**18  # what suits the backend
    for wanted in (2048, 1024):
        rays = plan.rays
        plan.make_room(plan.budget(config, backend), MemoryError('out of memory'))
        assert plan.budget(config, backend) == wanted and plan.rays == rays // 2
        assert str(wanted) in caplog.records[-1].getMessage()
    with pytest.raises(MemoryError, match='out of memory'):
        plan.make_room(plan.budget(config, backend), MemoryError('out of memory'))


def test_an_error_that_is_not_for_want_of_memory_is_raised():
    plan = Schedule()
    with pytest.raises(RuntimeError, match='illegal memory access'):
        plan.make_room(2**18, RuntimeError('an illegal memory access was encountered'))



def test_steps_along_the_rays_are_long_as_long_as_they_find_much():
    plan = Schedule()
    for _ in range(10):
        plan.step_done(plan.rays, 100 * plan.rays, 1.0, BUDGET)
    assert plan.stride == schedule.LARGEST_STRIDE
    run(plan, 10, lambda step: 1.0)
    assert plan.stride == 1


def test_steps_without_samples_do_not_ask_for_endless_rays():
    plan = Schedule()
    for _ in range(30):
        plan.step_done(plan.rays, 0, 1.0, BUDGET)
    assert schedule.LEAST_RAYS <= plan.rays <= BUDGET


def test_the_learning_rate_halves_and_a_keyframe_brings_it_back():
    plan = Schedule()
    assert plan.learning_rate(0.01) == 0.01
    run(plan, schedule.HALF_LIFE, lambda step: 1.0)
    assert plan.learning_rate(0.01) == pytest.approx(0.005)
    run(plan, 10 * schedule.HALF_LIFE, lambda step: 1.0)
    assert plan.learning_rate(0.01) == 0.01 * schedule.LEAST_RATE
    plan.keyframe_added()
    assert plan.learning_rate(0.01) == 0.01


def test_votes_get_rare_as_keyframes_are_learnt():
    plan = Schedule()
    often = plan.vote_every
    run(plan, schedule.FRESH, lambda step: 1.0)
    assert plan.vote_every > often
    plan.keyframe_added()
    assert plan.vote_every == often


def test_it_rests_when_the_loss_is_flat_and_not_while_it_falls():
    flat, falling = Schedule(), Schedule()
    run(flat, 7000, lambda step: 1.0 + 0.1 * (step % 2))
    run(falling, 7000, lambda step: 0.9999**step)
    assert flat.converged and not falling.converged
    flat.keyframe_added()
    assert not flat.converged


def test_it_does_not_rest_while_the_learning_rate_is_high_nor_over_what_is_no_number():
    plan = Schedule()
    run(plan, 3 * schedule.HALF_LIFE, lambda step: 1.0)
    assert not plan.converged
    plan = Schedule()
    run(plan, schedule.LAST - 1, lambda step: float('nan'))
    assert not plan.converged
    run(plan, 1, lambda step: float('nan'))
    assert plan.converged


def test_steps_that_were_discarded_do_not_keep_it_from_resting():
    plan = Schedule()
    run(plan, 7000, lambda step: 1.0 if step % 500 else float('nan'))
    assert plan.converged
    falling = Schedule()  # over 999 losses, or 500: not less because fewer are numbers
    run(falling, 7000, lambda step: 0.9999**step if step < 6000 or step % 2 else float('inf'))
    assert not falling.converged

"""The summary of the progress in the log."""
import dataclasses

import pytest

pytest.importorskip('rclpy')

from instant_nerf_ros.ros.reporting.diagnostics import few_keyframes, summary
from instant_nerf_ros.ros.reporting.progress import Progress

pytestmark = pytest.mark.ros

STARTED = Progress(backend='cpu')
MAPPING = dataclasses.replace(
    STARTED, keyframes=3, images_with_depth=2, steps=70, loss=0.01234, psnr=20.0)


def test_before_the_first_keyframe_the_activity_is_logged_without_figures():
    assert summary('starting the engine', Progress(), 0.0) == (
        'starting the engine (compiling kernels)')
    assert summary('mapping', STARTED, 0.0) == 'waiting for images'
    assert summary('paused', STARTED, 0.0) == 'paused'


def test_before_the_first_step_there_is_neither_a_loss_nor_a_rate():
    progress = dataclasses.replace(MAPPING, steps=0, loss=float('nan'))
    assert summary('mapping', progress, 0.0) == (
        'mapping: 3 keyframes, 2 images with depth, 0 steps')


def test_while_mapping_all_figures_are_logged():
    assert summary('mapping', MAPPING, 35.14) == (
        'mapping: 3 keyframes, 2 images with depth, 70 steps (35.1/s), loss 0.01234')


def test_a_converged_field_is_logged_without_a_rate():
    assert summary('resting', MAPPING, 0.0) == (
        'resting because the field has converged: 3 keyframes, 2 images with depth, 70 steps, '
        'loss 0.01234')


@pytest.mark.parametrize(('measured', 'needs_more'), [
    ({}, True), ({'images_with_depth': 1}, False), ({'scans': 1}, False)])
def test_one_keyframe_is_not_enough_unless_distances_were_measured(measured, needs_more):
    sentence = few_keyframes(dataclasses.replace(
        STARTED, keyframes=1, **{'images_with_depth': 0, **measured}))
    assert 'move the camera' in sentence and ('not enough' in sentence) == needs_more

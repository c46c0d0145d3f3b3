"""The progress line of the demo: it states what the mapper does, also while nothing is trained."""
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / 'examples'))

from progress import Progress, describe

STARTING = {'state': 'starting the engine', 'backend': '', 'keyframes': '0', 'steps': '0',
            'steps per second': '0.0', 'loss': 'nan'}
WAITING = {**STARTING, 'state': 'mapping', 'backend': 'cpu'}
FIRST_IMAGE = {**WAITING, 'keyframes': '1'}
MAPPING = {**WAITING, 'keyframes': '123', 'steps': '4567', 'steps per second': '98.7',
           'loss': '0.01234'}
CONVERGED = {**MAPPING, 'state': 'resting', 'steps per second': '0.0'}
PAUSED = {**MAPPING, 'state': 'paused', 'steps per second': '0.0'}
INACTIVE = {**STARTING, 'state': 'unconfigured'}


@pytest.mark.parametrize('status, words', [
    ({}, ['waiting for mapper_node']),
    (STARTING, ['compiling kernels']),
    (WAITING, ['waiting for images']),
    (FIRST_IMAGE, ['mapping', '1 keyframes', '0 steps']),
    (MAPPING, ['mapping', '123 keyframes', '4567 steps (98.7/s)', 'loss 0.0123', '12.5 m2 known']),
    (CONVERGED, ['converged', '123 keyframes', '4567 steps', 'loss 0.0123', '12.5 m2 known']),
    (PAUSED, ['paused', '123 keyframes', '4567 steps', '12.5 m2 known']),
    (INACTIVE, ['unconfigured']),
])  # fmt: skip
def test_the_line_states_what_the_mapper_does(status, words):
    line = describe(status, 12.5)
    assert all(word in line for word in words)
    assert 'nan' not in line and '0.0/s' not in line


@pytest.mark.parametrize('status', [{}, STARTING, WAITING, INACTIVE])
def test_there_are_no_figures_before_the_first_keyframe(status):
    assert not any(character.isdigit() for character in describe(status, 12.5))


def test_a_file_gets_a_line_now_and_then(capsys, monkeypatch):
    time = 100.0
    monkeypatch.setattr('time.monotonic', lambda: time)
    progress = Progress()
    for _ in range(24):
        time += 0.5
        progress.show('driving', MAPPING, 12.5)
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [['5', 's', 'driving'], ['10', 's', 'driving']]
    assert all(line.endswith(describe(MAPPING, 12.5)) for line in lines)

"""The console scripts: a signal ends them cleanly from the start, also while they import."""
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SETUP = (Path(__file__).parents[1] / 'setup.py').read_text()
COMMANDS = re.findall(r"'(\w+) = {NAME}\.ros\.commands:\1'", SETUP)


def test_all_console_scripts_are_commands():
    assert COMMANDS == ['mapper_node', 'replay', 'sim_robot']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('delay', [0.0, 1.0, 2.5])
@pytest.mark.parametrize('command', COMMANDS)
def test_a_signal_in_the_first_seconds_ends_a_command_without_a_traceback(
        command, delay, number, tmp_path):
    # As the console script does it; the line is printed when Python itself has started.
    script = (
        "print('started', flush=True)\n"
        f'from instant_nerf_ros.ros.commands import {command} as main\n'
        'import sys\n'
        'sys.exit(main())')
    arguments = ['--ros-args', '-p', f'path:={tmp_path}']
    with subprocess.Popen(
            [sys.executable, '-c', script, *(arguments if command == 'replay' else [])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout.readline() == 'started\n'
        time.sleep(0.2 + delay)
        process.send_signal(number)
        output = process.communicate(timeout=10.0)[0]
    assert 'Traceback' not in output
    if command != 'replay':  # it may have ended before, as the folder is empty
        assert process.returncode == 0, output

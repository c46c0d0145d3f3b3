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
    assert COMMANDS == ['mapper_node', 'replay', 'sim_robot', 'viewer']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('delay', [0.0, 1.0, 2.5])
@pytest.mark.parametrize('command', COMMANDS)
def test_a_signal_in_the_first_seconds_ends_a_command_without_a_traceback(
        command, delay, number, tmp_path):
    # As the console script does it.
    script = (
        f'from instant_nerf_ros.ros.commands import {command} as main\n'
        'import sys\n'
        'sys.exit(main())')
    arguments = ['--ros-args', '-p', f'path:={tmp_path}'] if command == 'replay' else []
    status, output = interrupted(script, arguments, delay, number)
    assert 'Traceback' not in output
    if command != 'replay':  # it may have ended before, as the folder is empty
        assert status == 0, output


@pytest.mark.parametrize('delay', [0.0, 1.0, 2.5])
def test_a_signal_ends_the_module_of_the_mapper_as_cleanly(delay):
    script = "import runpy; runpy.run_module('instant_nerf_ros.ros.mapper_node', {}, '__main__')"
    status, output = interrupted(script, [], delay, signal.SIGINT)
    assert status == 0 and 'Traceback' not in output, output


def interrupted(script, arguments, delay, number):
    """Return the status and output of a script that gets a signal after a delay [s]."""
    # The line is printed when Python itself has started.
    with subprocess.Popen(
            [sys.executable, '-c', f"print('started', flush=True)\n{script}", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout.readline() == 'started\n'
        time.sleep(0.2 + delay)
        process.send_signal(number)
        return process.wait(10.0), process.stdout.read()

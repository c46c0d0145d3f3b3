"""Nodes in processes of their own.

They are forked from a process that has imported what they need, which takes seconds: most tests
of nodes are about what happens afterwards.
"""
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

NODES = 'mapper_node', 'playback.replay', 'playback.sim_robot'
PACKAGE = 'instant_nerf_ros.ros'

forks = multiprocessing.get_context('forkserver')
forks.set_forkserver_preload(['pytest', *(f'{PACKAGE}.{name}' for name in NODES)])


class NodeProcess:
    """A node of the package in its own process, and what it wrote."""

    def __init__(self, name, arguments):
        """Start the main function of a module of the package with arguments of ROS."""
        self._output = tempfile.NamedTemporaryFile('w+')  # noqa: SIM115 - lives as long as this
        self._process = forks.Process(
            target=_run, args=(name, arguments, self._output.name), daemon=True)
        self._process.start()

    def text(self):
        """Return all that it has written so far."""
        return Path(self._output.name).read_text()

    @property
    def pid(self):
        """Return the number of the process."""
        return self._process.pid

    def running(self):
        """Return whether it runs."""
        return self._process.is_alive()

    def wait(self, timeout):
        """Wait until it ends; return its exit status."""
        self._process.join(timeout)
        assert not self.running(), f'still running after {timeout} s: {self.text()}'
        return self._process.exitcode

    def end(self, number=signal.SIGINT, timeout=8.0):
        """Send a signal; return its exit status."""
        os.kill(self.pid, number)
        return self.wait(timeout)

    def close(self):
        """Kill it if it still runs."""
        self._process.kill()
        self._process.join()
        self._output.close()


def _run(name, arguments, output):
    with open(output, 'w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = [name, '--ros-args', *arguments]
    sys.exit(importlib.import_module(f'{PACKAGE}.{name}').main())

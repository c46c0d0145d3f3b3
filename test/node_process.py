"""Nodes of the package in processes of their own.

They are forked from a process that has already imported torch, Numba and the nodes: this takes
seconds, and most tests are about what a node does afterwards.
"""
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

from waiting import wait_until

PACKAGE = 'instant_nerf_ros'
NODES = 'ros.mapper_node', 'ros.playback.replay', 'ros.playback.sim_robot'

prepared = multiprocessing.get_context('forkserver')
prepared.set_forkserver_preload(['pytest', *(f'{PACKAGE}.{name}' for name in NODES)])
fresh = multiprocessing.get_context('spawn')


class NodeProcess:
    """The main function of a module of the package in its own process, and what it wrote."""

    def __init__(self, name, arguments, without=()):
        """Start it with arguments of ROS. Modules that it is to be without cannot be imported."""
        self._output = tempfile.NamedTemporaryFile('w+')  # noqa: SIM115 - lives as long as this
        self._process = (fresh if without else prepared).Process(
            target=_run, args=(name, arguments, without, self._output.name), daemon=True)
        self._process.start()

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """End the process if it still runs, so that DDS forgets its topics at once."""
        if self.running():
            os.kill(self.pid, signal.SIGINT)
            self._process.join(5.0)
        self._process.kill()
        self._process.join()
        self._output.close()

    def text(self):
        """Return all that it has written so far."""
        return Path(self._output.name).read_text()

    def wait_for(self, words, timeout=30.0):
        """Wait until it has written these words."""
        wait_until(lambda: words in self.text(), timeout, self.text)

    @property
    def pid(self):
        """Return the number of the process."""
        return self._process.pid

    def running(self):
        """Return whether it runs."""
        return self._process.is_alive()

    def wait(self, timeout=30.0):
        """Wait until it ends; return its exit status."""
        self._process.join(timeout)
        assert not self.running(), f'still running after {timeout} s: {self.text()}'
        return self._process.exitcode

    def end(self, number=signal.SIGINT, timeout=8.0):
        """Send a signal; return its exit status."""
        os.kill(self.pid, number)
        return self.wait(timeout)


def _run(name, arguments, without, output):
    with open(output, 'w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    # As in a process that is not forked; else Numba's lock is reported when a node ends.
    multiprocessing.set_start_method('fork', force=True)
    sys.modules.update(dict.fromkeys(without))
    sys.argv = [name, '--ros-args', *arguments]
    sys.exit(importlib.import_module(f'{PACKAGE}.{name}').main())

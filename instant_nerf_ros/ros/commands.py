"""The console scripts, which a signal ends cleanly even while their modules are imported."""
import importlib
import os
import signal
import sys


def mapper_node() -> int:
    """Run the mapper; return the exit status."""
    return _run('ros.mapper_node')


def replay() -> int:
    """Run the node that plays recordings; return the exit status."""
    return _run('ros.playback.replay')


def sim_robot() -> int:
    """Run the simulated robot; return the exit status."""
    return _run('ros.playback.sim_robot')


def viewer() -> int:
    """Run the viewer of a node; return the exit status."""
    try:
        return _run('viewer.node_viewer')
    except ImportError as error:  # without viser
        sys.stderr.write(f'viewer: {error}\n')
        return 1


def _run(module: str) -> int:
    """Import a module of the package, which takes seconds, and call its main().

    Until main() installs handlers of its own, there is nothing to clean up.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    return importlib.import_module(f'instant_nerf_ros.{module}').main()

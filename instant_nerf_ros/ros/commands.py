"""The console scripts, which a signal ends cleanly even while their modules are imported."""
import importlib
import os
import signal


def mapper_node() -> int:
    """Run the mapper; return the exit status."""
    return _run('mapper_node')


def replay() -> int:
    """Run the node that plays recordings; return the exit status."""
    return _run('playback.replay')


def sim_robot() -> int:
    """Run the simulated robot; return the exit status."""
    return _run('playback.sim_robot')


def _run(module: str) -> int:
    """Import a module of this package, which takes seconds, and call its main().

    Until main() installs handlers of its own, there is nothing to clean up.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    return importlib.import_module(f'{__package__}.{module}').main()

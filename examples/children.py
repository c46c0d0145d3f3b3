"""Processes of a program that end when it ends, and say why when they end too early."""
import ctypes
import signal
import subprocess
import sys
import time
from pathlib import Path

# (signal, seconds until the next one)
ENDING = ((signal.SIGINT, 6.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))
LAST_LINES = 12
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


class ChildError(Exception):
    """A process ended that should not have, or with an error."""


class Children:
    """Nodes of the package, each in a process of its own with a log file."""

    def __init__(self, log_folder):
        """Keep the folder of the logs (Path)."""
        self._log_folder = Path(log_folder)
        self._processes = {}  # name: Popen

    def start(self, name, parameters, remappings=()):
        """Start a node with parameters {name: value} and remappings [(from, to)]."""
        arguments = []
        for key, value in parameters.items():
            value = str(value).lower() if isinstance(value, bool) else value
            arguments += ['-p', f'{key}:={value}']
        for topic, other in remappings:
            arguments += ['-r', f'{topic}:={other}']
        with self._log(name).open('w') as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, '-m', f'instant_nerf_ros.ros.{name}', '--ros-args', *arguments],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children
                preexec_fn=_end_with_parent)

    def running(self, name):
        """Return whether it runs; raise ChildError, with its last words, if it has failed."""
        status = self._processes[name].poll()
        if status:
            lines = self._log(name).read_text(errors='replace').splitlines()[-LAST_LINES:]
            raise ChildError('\n  '.join(
                [f'{name} ended with status {status}; the end of {self._log(name)}:', *lines]))
        return status is None

    def end(self):
        """End them, by ever stronger signals where they do not."""
        processes = self._processes.values()
        for number, patience in ENDING:
            for process in processes:
                if process.poll() is None:
                    process.send_signal(number)
            deadline = time.monotonic() + patience
            while (any(process.poll() is None for process in processes)
                   and time.monotonic() < deadline):
                time.sleep(0.02)

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """End them; more Ctrl-C cannot interrupt that, as it does not take long."""
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.end()
        finally:
            signal.signal(signal.SIGINT, handler)

    def _log(self, name):
        return self._log_folder / f'{name}.log'


def _end_with_parent():
    """Let Linux send SIGTERM to this child when the parent is killed."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

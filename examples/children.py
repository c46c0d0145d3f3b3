"""Child processes: nodes that end with their parent, and report why if they end too early."""
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# (signal, seconds until the next one)
SIGNALS = ((signal.SIGINT, 6.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))
LAST_LINES = 12
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None

MODULES = {  # of the nodes
    'mapper_node': 'ros.mapper_node', 'replay': 'ros.playback.replay',
    'sim_robot': 'ros.playback.sim_robot', 'viewer': 'viewer.node_viewer'}


class ChildError(Exception):
    """A process ended unexpectedly or with an error."""


class Children:
    """Nodes of the package, each in a separate process with a log file."""

    def __init__(self, log_folder: str | Path) -> None:
        """Write logs to a folder."""
        self._log_folder = Path(log_folder)
        self._processes: dict[str, subprocess.Popen] = {}

    def start(
        self, name: str, parameters: Mapping[str, object],
        remappings: Iterable[tuple[str, str]] = (),
    ) -> None:  # fmt: skip
        """Start a node with parameters {name: value} and remappings [(from, to)]."""
        arguments = []
        for key, value in parameters.items():
            value = str(value).lower() if isinstance(value, bool) else value
            arguments += ['-p', f'{key}:={value}']
        for topic, other in remappings:
            arguments += ['-r', f'{topic}:={other}']
        with self._log(name).open('w') as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, '-m', f'instant_nerf_ros.{MODULES[name]}', '--ros-args',
                 *arguments],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children
                preexec_fn=_end_with_parent)

    def running(self, name: str) -> bool:
        """Return whether a node runs. Raises ChildError, with the end of its log, if it failed."""
        status = self._processes[name].poll()
        if status:
            lines = self._log(name).read_text(errors='replace').splitlines()[-LAST_LINES:]
            raise ChildError('\n  '.join(
                [f'{name} ended with status {status}; the end of {self._log(name)}:', *lines]))
        return status is None

    def processor_time(self, name: str) -> float:
        """Return the time [s] that a node has taken on all processors so far; Linux only."""
        stat = Path(f'/proc/{self._processes[name].pid}/stat').read_text()
        user, system = stat.rpartition(')')[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')

    def pid(self, name: str) -> int:
        """Return the number of the process of a node."""
        return self._processes[name].pid

    def wait_for(self, name: str, pattern: str, timeout: float) -> str:
        """Return what first matches a pattern in the log of a node; '' if nothing does in time."""
        deadline = time.monotonic() + timeout
        while self._processes[name].poll() is None and time.monotonic() < deadline:
            if found := re.search(pattern, self._log(name).read_text(errors='replace')):
                return found[0]
            time.sleep(0.1)
        return ''

    def end(self) -> None:
        """End all, with a stronger signal if one is ignored."""
        processes = self._processes.values()
        for number, patience in SIGNALS:
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
        """End all; another Ctrl-C does not interrupt that, as it does not take long."""
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.end()
        finally:
            signal.signal(signal.SIGINT, handler)

    def _log(self, name):
        return self._log_folder / f'{name}.log'


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Handle signals after the context: an exception inside rclpy leaves broken objects."""
    pending = []
    handlers = {
        number: signal.signal(number, lambda *arguments: pending.append(arguments))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in pending:
        handler = handlers[number]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            os.kill(os.getpid(), number)


def _end_with_parent():
    """Make Linux send SIGTERM to this child when the parent is killed."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

"""Measurements in separate processes: what is compared shares nothing but the machine."""
import json
import os
import subprocess
import sys
from pathlib import Path

# The library sets how threads wait in its own process; the workers use their own settings.
THREAD_SETTINGS = 'OMP_', 'GOMP_', 'KMP_', 'MKL_'


class Worker:
    """A script that measures something on request; see `serve`."""

    def __init__(self, script, *arguments, python=sys.executable, isolated=False, **variables):
        """Start it with environment variables, and wait for a first measurement.

        isolated: the interpreter imports only the packages of its own environment.
        """
        environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith(THREAD_SETTINGS)} | variables
        self._process = subprocess.Popen(
            [str(python), *(['-I'] if isolated else []), str(Path(__file__).parent / script),
             *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self._name = script
        self.measure()

    def __enter__(self):
        """Return it."""
        return self

    def __exit__(self, *_):
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def measure(self):
        """Return the result of one more measurement. Raises RuntimeError if the script ended."""
        self._process.stdin.write('\n')
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f'{self._name} ended with status {self._process.wait()}')
        return json.loads(answer)


def serve(measure):
    """Write the result of a measurement, as JSON, for each line of standard input."""
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)

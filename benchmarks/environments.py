"""Separate Python environments for the programs that this package is compared with."""
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def interpreter(name: str, *installs: Sequence[str]) -> Path:
    """Return the interpreter of the environment `name`, which is created at the first call.

    installs: the arguments of pip, one call after the other.
    """
    folder = HERE / name
    python, ready = folder / 'bin' / 'python', folder / '.ready'
    if not ready.exists():
        print(f'installing {", ".join(installs[-1])} ...', flush=True)
        subprocess.run([sys.executable, '-m', 'venv', '--clear', folder], check=True)
        for arguments in installs:
            subprocess.run([python, '-m', 'pip', 'install', '--quiet',
                            '--disable-pip-version-check', *arguments], check=True)
        (folder / '.gitignore').write_text('*\n')
        ready.touch()
    return python


def run_script(python: Path, script: str, request: Any) -> Any:
    """Return the result of a script of this folder, run by an interpreter.

    Request and result are pickled, on its standard input and output. Raises RuntimeError, with
    its standard error, if it fails.
    """
    process = subprocess.run(
        [python, '-I', HERE / script], input=pickle.dumps(request), capture_output=True)
    if process.returncode:
        raise RuntimeError(f'{script} failed: {process.stderr.decode()}')
    return pickle.loads(process.stdout)

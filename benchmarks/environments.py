"""Environments of their own for what we are compared with and judged by."""
import pickle
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def interpreter(name, *steps):
    """Return the interpreter of the environment `name`, made when first asked for.

    steps: the arguments of pip, one after the other.
    """
    folder = HERE / name
    python, ready = folder / 'bin' / 'python', folder / '.ready'
    if not ready.exists():
        print(f'installing {", ".join(steps[-1])} ...', flush=True)
        subprocess.run([sys.executable, '-m', 'venv', '--clear', folder], check=True)
        for step in steps:
            subprocess.run([python, '-m', 'pip', 'install', '--quiet',
                            '--disable-pip-version-check', *step], check=True)
        (folder / '.gitignore').write_text('*\n')
        ready.touch()
    return python


def ask(python, script, request):
    """Return what a script there answers to a request, pickled on its standard input and output.

    Raises RuntimeError with what it said if it failed.
    """
    process = subprocess.run(
        [python, '-I', HERE / script], input=pickle.dumps(request), capture_output=True)
    if process.returncode:
        raise RuntimeError(f'{script} failed: {process.stderr.decode()}')
    return pickle.loads(process.stdout)

"""Outputs: files that are written as a whole or not at all, and never over others unasked."""
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def output_file(path: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """Yield a path to write to; at the end, the file gets its own name.

    After any error, what was there before is unchanged. Raises FileExistsError if there is a file
    and it may not be replaced, before anything is computed.
    """
    path = Path(path)
    check_output(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, as programs choose the format by it.
    handle, name = tempfile.mkstemp(path.suffix, f'.{path.stem}.', path.parent)
    os.close(handle)
    new = Path(name)
    try:
        yield new
        new.chmod(0o644)  # mkstemp allows access by its owner only
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def check_output(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError if there is a folder, or a file that may not be replaced."""
    if path.is_dir():
        raise FileExistsError(f'{path} is a folder: choose the name of a file')
    if path.exists() and not overwrite:
        raise FileExistsError(
            f'{path} exists already: choose another name, or allow to overwrite it (--overwrite)')


def output_folder(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return a folder to write files to, which is made if it does not exist.

    Raises FileExistsError if it has files, unless files of the same names may be replaced.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not overwrite)):
        raise FileExistsError(
            f'{path} exists already: choose another folder, or allow to overwrite its files '
            '(--overwrite)')
    path.mkdir(parents=True, exist_ok=True)
    return path

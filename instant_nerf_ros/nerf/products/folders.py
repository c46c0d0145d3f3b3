"""Folders that are written as a whole or not at all."""
import contextlib
import ctypes
import errno
import os
import shutil
import tempfile
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2  # flag of Linux's renameat2: swap two paths in one step
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)  # old kernels, some network file systems


@contextlib.contextmanager
def written(folder, names):
    """Yield an empty folder to write files in; it takes the place of `folder` when all is done.

    Whatever fails on the way, be it a full disk, leaves the old folder as it was. names: the
    files that the old folder may have; for any other, which would be lost, ValueError.
    Raises OSError where nothing can be written.
    """
    folder = Path(os.path.realpath(folder))
    if folder.exists():
        foreign = {path.name for path in folder.iterdir()} - set(names)  # NotADirectoryError
        if foreign:
            raise ValueError(
                f'{folder} has files of somebody else, {min(foreign)!r} for one: '
                'choose a folder of its own')
    folder.parent.mkdir(parents=True, exist_ok=True)
    # On the same file system, or it could not be moved in one step.
    new = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        yield new
        new.chmod(0o755)  # mkdtemp keeps others out
        for path in (*new.iterdir(), new):
            _to_disk(path)
        if folder.exists():
            _exchange(new, folder)
        else:
            new.rename(folder)
        _to_disk(folder.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # by now the old one, if all went well


def _to_disk(path):
    """Wait until a file or folder would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new, old):
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(new), os.fsencode(old)
    rename = getattr(libc, 'renameat2', None)
    if rename and rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _EXCHANGE) == 0:
        return
    number = ctypes.get_errno() if rename else errno.ENOSYS
    if number not in _NOT_HERE:
        raise OSError(number, os.strerror(number), str(old))
    # In two steps; between them the old folder has its other name.
    aside = new.with_name(f'{new.name}.old')
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)

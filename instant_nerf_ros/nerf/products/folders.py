"""Folders that are written as a whole or not at all."""
import contextlib
import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2  # flag of Linux's renameat2: swap two paths atomically
_NOT_SUPPORTED = errno.ENOSYS, errno.EINVAL, errno.ENOTSUP  # by old or network file systems


@contextlib.contextmanager
def atomic_folder(folder: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder to write files in; at the end, it replaces `folder`.

    After any error, for example a full disk, the old folder is unchanged. names are the files that
    the old folder may contain. Raises ValueError if it contains others, which would be lost, and
    OSError if it cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    if folder.exists():
        others = {path.name for path in folder.iterdir()} - set(names)  # NotADirectoryError
        if others:
            raise ValueError(
                f'{folder} contains other files, for example {min(others)!r}: '
                'choose a folder that contains nothing else')
    folder.parent.mkdir(parents=True, exist_ok=True)
    # On the same file system, otherwise it could not be moved atomically.
    new = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        yield new
        new.chmod(0o755)  # mkdtemp allows access by its owner only
        for path in (*new.iterdir(), new):
            fsync(path)
        if folder.exists():
            _exchange(new, folder)
        else:
            new.rename(folder)
        fsync(folder.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # after an exchange, this is the old folder


def fsync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Move a new folder to the path of an old one, and the old one to the path of the new one."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(new), os.fsencode(old)
    rename = getattr(libc, 'renameat2', None)
    if rename and rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _EXCHANGE) == 0:
        return
    number = ctypes.get_errno() if rename else errno.ENOSYS
    if number not in _NOT_SUPPORTED:
        raise OSError(number, os.strerror(number), str(old))
    # In two steps; between them, the old folder has another name.
    aside = new.with_name(f'{new.name}.old')
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)

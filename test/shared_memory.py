"""Segments of shared memory that processes of Fast DDS left behind.

A process locks the file <segment>_el as long as it lives. If it is killed, its segment remains
until the machine is started again (or `fastdds shm clean`). Ports are not counted:
Fast DDS uses them again.
"""
import fcntl
from pathlib import Path

FOLDER = Path('/dev/shm')
LOCK = '_el'


def orphans():
    """Return the paths of the segments of processes that have ended."""
    return {Path(str(lock).removesuffix(LOCK)) for lock in FOLDER.glob(f'fastdds_[0-9a-f]*{LOCK}')
            if not _is_locked(lock)}


def remove_orphans():
    """Remove the segments of processes that have ended."""
    for segment in orphans():
        segment.unlink(missing_ok=True)
        Path(f'{segment}{LOCK}').unlink(missing_ok=True)


def _is_locked(path):
    try:
        with path.open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return True  # it has just been removed
    return False

"""SessionFolder: the segments of a session, in order, in a folder that one process writes to."""
from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from instant_nerf_ros.nerf.products.folders import fsync
from instant_nerf_ros.session.records import Record, encode

SUFFIX = '.safetensors'
LOCK, NEW = 'lock', '.new'  # the file of the lock; a segment that is being written
INPUTS, VOTES, FIELD = 'inputs', 'votes', 'field'  # what is in a segment, by its name


class SessionFolder:
    """Writes segments one after the other, each as a whole or not at all."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the folder; it may not exist yet."""
        self.path = Path(path).expanduser()
        self._next = 1
        self._lock: IO[str] | None = None

    def segments(self, kind: str = '') -> list[Path]:
        """Return the paths of the segments, of one kind if it is given, in order."""
        return sorted(self.path.glob(f'[0-9]*-{kind or "*"}{SUFFIX}'), key=number_of)

    def nbytes(self) -> int:
        """Return the bytes of the segments; one that is removed meanwhile has none."""
        count = 0
        for path in self.segments():
            with contextlib.suppress(FileNotFoundError):
                count += path.stat().st_size
        return count

    def open(self) -> None:
        """Create the folder if needed, and let nobody else write to it.

        Raises OSError if it cannot be written, ValueError if another process writes to it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = open(self.path / LOCK, 'a')  # noqa: SIM115 - the lock lives as long as the file
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ValueError(
                f'another process writes to the session in {self.path}, or has it as its base: '
                "end it, or choose another 'session_folder'") from error
        self._lock = lock
        (self.path / NEW).unlink(missing_ok=True)  # of a process that was killed
        self._next = max(map(number_of, self.segments()), default=0) + 1

    def hold(self) -> None:
        """Let nobody write to the folder while this process reads it, as others may, too.

        Nothing is written to it. Raises ValueError if there is no session, or if another process
        writes to it.
        """
        if not self.segments():
            raise ValueError(
                f"there is no session in {self.path}: a base is the 'session_folder' of an "
                'earlier run')
        try:
            lock = open(self.path / LOCK)  # noqa: SIM115 - the lock lives as long as the file
        except FileNotFoundError:  # in a copy
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ValueError(
                f'another process writes to the session in {self.path}: end it first') from error
        self._lock = lock

    def close(self) -> None:
        """Let other processes write."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def set_aside(self) -> Path | None:
        """Move the segments to a new folder beside this one, and return it; None without any."""
        segments = self.segments()
        if not segments:
            return None
        aside = self.path.with_name(f'{self.path.name}_{time.strftime("%Y-%m-%d_%H-%M-%S")}')
        while aside.exists():
            aside = aside.with_name(f'{aside.name}_')
        aside.mkdir()
        for path in segments:
            path.rename(aside / path.name)
        self._next = 1
        return aside

    def write(self, kind: str, records: Sequence[Record]) -> Path:
        """Write records as the next segment, and wait until it is on the disk.

        Raises OSError, for example on a full disk; the folder has not changed then.
        """
        path = self.path / f'{self._next:08d}-{kind}{SUFFIX}'
        self._put(path, encode(records))
        self._next += 1
        return path

    def replace(self, path: Path, records: Sequence[Record]) -> None:
        """Write records in place of those of a segment; raises OSError like `write`."""
        self._put(path, encode(records))

    def _put(self, path: Path, content: bytes) -> None:
        new = self.path / NEW
        try:
            with open(new, 'wb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        fsync(self.path)


def has_made_room(path: Path) -> bool:
    """Return whether a segment is no more because a newer snapshot has taken its place."""
    return path.stem.endswith((f'-{VOTES}', f'-{FIELD}')) and not path.exists()


def number_of(path: Path) -> int:
    """Return the number of a segment; they increase."""
    return int(path.name.partition('-')[0])

"""WriterThread: encodes and writes what a session keeps, beside training."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from instant_nerf_ros.session.records import Record
from instant_nerf_ros.session.session_folder import FIELD, INPUTS, VOTES, SessionFolder, number_of
from instant_nerf_ros.session.snapshots import VotesLog, VotesSnapshot

PERIOD = 2.0  # s between two batches
RETRY = 5.0  # s after a batch could not be written
MAX_SEGMENT = 2**23  # bytes of a segment of inputs, about
MAX_PENDING = 2**28  # bytes that may wait; more is not written at all
KEPT = 2  # snapshots of each kind that stay on the disk: one may be damaged


class Input:
    """An input as it came, which becomes a record in the thread."""

    def __init__(self, encode: Callable[[], Record], nbytes: int) -> None:
        """Keep encode(), which returns the record, and the bytes that it holds until then."""
        self._encode: Callable[[], Record] | None = encode
        self._record: Record | None = None
        self.nbytes = nbytes

    def record(self) -> Record:
        """Return the record; what it was made of is not kept."""
        if self._record is None:
            assert self._encode is not None
            self._record, self._encode = self._encode(), None
            self.nbytes = self._record.nbytes
        return self._record


Item: TypeAlias = Input | VotesSnapshot | Record


class WriterThread(threading.Thread):
    """Writes inputs and snapshots in the order of `add`, which never waits for the disk."""

    def __init__(self, folder: SessionFolder) -> None:
        """Write to a folder that is open."""
        super().__init__(name='session writer', daemon=True)
        self._folder = folder
        self._votes_log = VotesLog()
        self._wanted = threading.Condition()
        self._whole_votes: list[Path] = []  # the segments of this thread that hold all votes
        self._queue: list[Item] = []
        self._pending = 0  # bytes in the queue, and in the batch that is written
        self._stopping = False
        self.written = 0  # inputs
        self._added = 0  # inputs for which there was room in the queue
        self.lost = 0  # inputs for which there was none
        self.dropped = 0  # snapshots that could not be written, and are to be copied again
        self.error = ''  # of the latest batch

    def add(self, item: Item) -> bool:
        """Queue something; return False if too much waits already, so that it is lost."""
        with self._wanted:
            if self._pending + item.nbytes > MAX_PENDING:
                self.lost += isinstance(item, Input)
                return False
            self._queue.append(item)
            self._pending += item.nbytes
            self._added += isinstance(item, Input)
        return True

    def wait_for_room(self, timeout: float) -> None:
        """Wait until half of what may wait is written, at most timeout [s]."""
        end = time.monotonic() + timeout
        while self._pending > MAX_PENDING // 2 and not self.error and time.monotonic() < end:
            time.sleep(0.05)

    def close(self, timeout: float | None = None) -> str:
        """Write what waits, and end; say what was not written in time [s], '' if all was."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify()
        self.join(timeout)
        late, missing = self.is_alive(), self._added - self.written
        if not (late or missing or self.error):
            return ''
        reason = self.error or (
            'the disk is too slow' if late else 'its thread has failed, see the log')
        what = f'{missing} images or scans' if missing else 'the latest votes or the field'
        return f'{what} were not written to the session: {reason}'

    def run(self) -> None:
        """Write until `close` was called, and all that was added before that."""
        while True:
            with self._wanted:
                self._wanted.wait_for(
                    lambda: self._stopping, RETRY if self.error else PERIOD)
                stopping, batch = self._stopping, self._queue
                self._queue = []
            rest = self._write(batch)
            with self._wanted:
                self._queue = [*rest, *self._queue]
                self._pending = sum(item.nbytes for item in self._queue)
            if stopping:
                return

    def _write(self, batch: list[Item]) -> list[Item]:
        """Write a batch; return the inputs that could not be written."""
        position = 0
        try:
            while position < len(batch):
                item = batch[position]
                if isinstance(item, Input):
                    records = _segment(batch[position:])
                    self._folder.write(INPUTS, records)
                    position += len(records)
                    self.written += len(records)
                else:
                    self._write_snapshot(item, batch[position + 1 :])
                    position += 1
            self.error = ''
        except OSError as error:
            self.error = f'{error.strerror or error}: {self._folder.path}'
        rest: list[Item] = [item for item in batch[position:] if isinstance(item, Input)]
        self.dropped += len(batch) - position - len(rest)  # only inputs are worth the memory
        return rest

    def _write_snapshot(self, item: VotesSnapshot | Record, later: list[Item]) -> None:
        if any(isinstance(each, type(item)) for each in later):
            return  # a newer one follows
        if isinstance(item, VotesSnapshot):
            path = self._folder.write(VOTES, [self._votes_log.record(item)])
            if self._votes_log.done():
                self._whole_votes.append(path)
                self._remove_before(VOTES, self._whole_votes)
        else:
            self._folder.write(FIELD, [item])
            self._remove_before(FIELD, self._folder.segments(FIELD))

    def _remove_before(self, kind: str, whole: list[Path]) -> None:
        if len(whole) >= KEPT:
            for path in self._folder.segments(kind):
                if number_of(path) < number_of(whole[-KEPT]):
                    path.unlink(missing_ok=True)


def _segment(batch: list[Item]) -> list[Record]:
    """Return the records of the inputs at the beginning of a batch that fit into a segment."""
    records: list[Record] = []
    size = 0
    for item in batch:
        if not isinstance(item, Input) or size > MAX_SEGMENT:
            break
        records.append(item.record())
        size += item.nbytes
    return records

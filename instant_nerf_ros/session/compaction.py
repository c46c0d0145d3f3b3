"""Compaction: a session without what a resume would not use."""
from __future__ import annotations

import collections
from pathlib import Path

from instant_nerf_ros.session.history import Entry, History
from instant_nerf_ros.session.records import DamagedError, Record, Segment
from instant_nerf_ros.session.session_folder import FIELD, INPUTS, VOTES, SessionFolder


def compact(folder: SessionFolder) -> int:
    """Remove images that made room for others, snapshots that are not the last, earlier maps.

    The folder must be open. Each segment is replaced as a whole, so this may be interrupted.
    Returns the bytes that are free now. Raises OSError, ValueError for another major version.
    """
    before = folder.nbytes()
    history = History(folder)
    chains = [chain for chain in history.chains() if all(_read(entry) for _, entry in chain)]
    inputs = history.inputs
    if chains:
        position, latest = chains[-1][-1]
        record = latest.read()
        used = {*record.arrays['ids'].tolist()}
        inputs = [
            entry for k, entry in enumerate(inputs)
            if k >= position or entry.kind != 'image' or entry.values['held_out']
            or entry.values['id'] in used]
    # What is damaged stays. What is of a map that was reset must go, as the reset goes.
    _keep(folder, VOTES, {entry.path for _, entry in (chains[-1] if chains else history.votes)})
    fields = [entry for entry in history.fields if _read(entry)]
    _keep(folder, FIELD, {entry.path for entry in fields[-1:] or history.fields})
    numbers: dict[Path, list[int]] = collections.defaultdict(list)
    for entry in [*history.starts[-1:], *inputs]:
        numbers[entry.path].append(entry.number)
    for path in folder.segments(INPUTS):  # the oldest first: a reset stays until they are gone
        _rewrite(folder, path, sorted(numbers[path]))
    return before - folder.nbytes()


def _read(entry: Entry) -> Record | None:
    """Return the record of an entry, None if it is damaged."""
    try:
        return entry.read()
    except DamagedError:
        return None


def _keep(folder: SessionFolder, kind: str, used: set[Path]) -> None:
    for path in folder.segments(kind):
        if path not in used:
            path.unlink()


def _rewrite(folder: SessionFolder, path: Path, numbers: list[int]) -> None:
    """Leave only the records with these numbers in a segment; a damaged one stays as it is."""
    try:
        segment = Segment(path)
        if len(numbers) == segment.count:
            return
        records = [segment.record(n) for n in numbers]
    except DamagedError:
        return
    if records:
        folder.replace(path, records)
    else:
        path.unlink()

"""Merging: two sessions in one map frame become one, whose votes are the sum of theirs."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from instant_nerf_ros.nerf.occupancy.merging import add_grid
from instant_nerf_ros.session.base_session import inputs_with_base, load
from instant_nerf_ros.session.history import Entry, History
from instant_nerf_ros.session.records import Record
from instant_nerf_ros.session.resume import resume
from instant_nerf_ros.session.session_folder import FIELD, INPUTS, VOTES, SessionFolder
from instant_nerf_ros.session.snapshots import (
    VotesLog,
    VotesSnapshot,
    field_snapshot,
    votes_snapshot,
)
from instant_nerf_ros.session.writer import MAX_SEGMENT

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

VOXEL_SIZE = 'occupancy.voxel_size'


def merge(
    first: History, second: History, folder: SessionFolder, make: Callable[[], Mapper],
) -> list[str]:  # fmt: skip
    """Write a session of two others to a folder without one.

    Images, scans and loop closures follow those of the first one under new ids, and keep their
    stamps. Votes are added, and the field is that of the first one. If one of them is the base of
    the other one, they are what the other one continues with. make() returns an empty Mapper with
    the settings of the first one. Returns sentences on what differs between them. Raises
    ValueError if they cannot be merged, OSError if the folder cannot be written.
    """
    if folder.segments():
        raise ValueError(f'there is a session in {folder.path} already: choose another folder')
    own = make()
    for base, later in (first, second), (second, first):
        if later.base and later.base['id'] == base.id:
            load(own, later)
            _write(folder, later, [(later, inputs_with_base(later), 0)],
                   votes_snapshot(own, 1), own)
            return ['one session is the base of the other: the result is both']
    inputs, others = inputs_with_base(first), second.inputs
    other = make()
    if second.base and first.base and second.base['id'] == first.base['id']:
        resume(other, second, second.map_frame)  # its own images vote, and no base twice
    else:
        others = inputs_with_base(second)
        load(other, second)
    sentences = differences(first, second, inputs, others)
    load(own, first)
    add_grid(own.measurements.grid(), other.measurements.grid())
    own.trainer.data_added()
    offset = own.keyframes.next_id  # of the ids of the second one
    _write(folder, first, [(first, inputs, 0), (second, others, offset)],
           _votes(own, other, offset), own)
    return sentences


def _write(
    folder: SessionFolder, first: History, inputs: list[tuple[History, list[Entry], int]],
    votes: VotesSnapshot, mapper: Mapper,
) -> None:  # fmt: skip
    """Write a session with the settings of the first one; inputs: with a shift of their ids."""
    start = first.starts[-1].read()
    folder.open()
    try:
        folder.write(INPUTS, [Record(start.kind, {**start.values, 'base': None}, start.arrays)])
        for records in _segments(inputs):
            folder.write(INPUTS, records)
        folder.write(VOTES, [VotesLog().record(votes)])
        if mapper.steps:
            folder.write(FIELD, [field_snapshot(mapper)])
    except BaseException:
        for path in folder.segments():  # a part of a session would look like a whole one
            path.unlink()
        raise
    finally:
        folder.close()


def differences(
    first: History, second: History, inputs: list[Entry], others: list[Entry],
) -> list[str]:  # fmt: skip
    """Return sentences on what differs between two sessions, and what follows from it.

    inputs and others: those of the two that are merged.

    Raises ValueError if they have no map frame in common, or if they have images in common.
    """
    if not (first.starts and second.starts):
        raise ValueError('the settings of a session are lost: resume it once, then merge it')
    if first.map_frame != second.map_frame:
        raise ValueError(
            f"the sessions are in '{first.map_frame}' and '{second.map_frame}': both must be in "
            'one map frame')
    images, other_images = ({(entry.values['stamp_ns'], str(entry.values['T_world_camera']))
                             for entry in entries if entry.kind == 'image'}
                            for entries in (inputs, others))
    if not (images and other_images):
        raise ValueError('a session has no images: there is nothing to merge')
    if common := len(images & other_images):
        raise ValueError(
            f'{common} images are in both sessions, and would vote twice: does one of them '
            'continue the other, or have it under its base?')
    sentences = []
    if min(images) <= max(other_images) and min(other_images) <= max(images):
        sentences.append(
            'the sessions have stamps of the same time: a trajectory of one robot would move the '
            'images of both, so do not subscribe to one when you resume')
    mine, theirs = first.settings, second.settings
    differing = [name for name in mine if name in theirs and mine[name] != theirs[name]]
    if VOXEL_SIZE in differing:
        sentences.append(
            f'the voxels are {mine[VOXEL_SIZE]} m and {theirs[VOXEL_SIZE]} m large: images and '
            f'scans of the second session vote anew in voxels of {mine[VOXEL_SIZE]} m')
    if rest := sorted({*differing} - {VOXEL_SIZE, 'device', 'seed'}):
        sentences.append(f'the settings of the first session are used, where others differ: '
                         f'{", ".join(rest)}')
    return sentences


def _segments(inputs: list[tuple[History, list[Entry], int]]) -> Iterator[list[Record]]:
    """Yield the inputs of sessions, with a shift of their ids, as many as suit a segment."""
    records: list[Record] = []
    for history, entries, shift in inputs:
        for entry in entries:
            if (record := _shifted(history, entry, shift)) is not None:
                records.append(record)
            if sum(record.nbytes for record in records) > MAX_SEGMENT:
                yield records
                records = []
    if records:
        yield records


def _shifted(history: History, entry: Entry, shift: int) -> Record | None:
    """Return the record of an input with all ids larger by a shift; None if it is damaged."""
    record = history.read(entry)
    if record is None:
        return None
    values: Mapping[str, Any] = record.values
    arrays = dict(record.arrays)
    if 'id' in values:
        values = {**values, 'id': values['id'] + shift}
    if 'ids' in arrays:
        arrays['ids'] = arrays['ids'] + shift
    return Record(record.kind, values, arrays)


def _votes(own: Mapper, other: Mapper, offset: int) -> VotesSnapshot:
    """Return the votes of a Mapper, with the keyframes of another one."""
    snapshot = votes_snapshot(own, 1)
    poses = own.measurements.frame.localize(other.keyframe_poses())
    arrays = {
        **snapshot.arrays,
        'ids': np.concatenate([snapshot.arrays['ids'], other.keyframes.ids + offset]),
        'T_local_camera': np.concatenate([snapshot.arrays['T_local_camera'], poses])}
    return dataclasses.replace(snapshot, arrays=arrays, values={
        **snapshot.values, 'next_id': other.keyframes.next_id + offset,
        'keyframes': len(arrays['ids'])})

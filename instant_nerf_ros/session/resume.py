"""Resume: an empty Mapper becomes that of a session; what is damaged is made from the rest."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Alpha, Depth, Image, Pose
from instant_nerf_ros.nerf.camera import Camera, check_pose
from instant_nerf_ros.nerf.capture.ranges import check_points, point_rays
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.session.history import Entry, History
from instant_nerf_ros.session.image_codecs import decode_image, decompress
from instant_nerf_ros.session.records import Record
from instant_nerf_ros.session.saved_state import SavedField, SavedVotes, read_field, read_votes

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


@dataclasses.dataclass(frozen=True)
class Resumed:
    """What became of a session: its stamps [ns] by id, and what a person should know."""

    stamps: Mapping[int, int] = dataclasses.field(default_factory=dict)
    sentences: list[str] = dataclasses.field(default_factory=list)


def resume(mapper: Mapper, history: History, map_frame: str) -> Resumed:
    """Load a session into an empty Mapper, within its budget and with its settings.

    If the Mapper is not empty, what is in it is the base of the session, and is frozen. Raises
    ValueError if the session is of another map frame: its poses would be wrong.
    """
    if history.map_frame and history.map_frame != map_frame:
        raise ValueError(
            f"the session is in '{history.map_frame}', not in '{map_frame}': set map_frame to "
            "that frame, or choose another 'session_folder'")
    votes = read_votes(history, mapper)
    saved_field = read_field(history, mapper)
    before = votes.position if votes else 0
    if votes:
        votes.restore(mapper, saved_field)
        _restore_inputs(mapper, history, votes, saved_field)
        mapper.adapt()
    for entry in history.inputs[before:]:
        _apply(mapper, history, entry)
    if saved_field:
        saved_field.restore(mapper)
    if saved_field is None or before < len(history.inputs):
        mapper.trainer.data_added()
    stamps = {entry.values['id']: entry.values['stamp_ns'] for entry in history.inputs
              if entry.kind != 'corrections'}
    own = int(mapper.keyframes.is_own(mapper.keyframes.ids).sum())
    return Resumed(stamps, [
        f'{own} keyframes of the session continue; {_made(votes, saved_field, mapper)}',
        *history.misfits, *history.findings])


def _made(votes: SavedVotes | None, field: SavedField | None, mapper: Mapper) -> str:
    cast = 'the votes are as they were' if votes else 'the votes were cast anew from images'
    return f'{cast}, and the field ' + (
        f'had {field.steps} steps' if field
        else 'is that of the base' if mapper.measurements.frozen_votes else 'is trained anew')


def _restore_inputs(
    mapper: Mapper, history: History, votes: SavedVotes, field: SavedField | None,
) -> None:  # fmt: skip
    """Add the inputs that have voted already."""
    measurements, frame = mapper.measurements, mapper.measurements.frame
    images: dict[int, Entry] = {}
    moves: dict[int, NDArray[np.float64]] = {}  # T_new_old of the corrections, by id
    before = history.inputs[: votes.position]
    for entry in before:
        if entry.kind == 'corrections' and (record := history.read(entry)):
            for key, T_new_old in zip(record.arrays['ids'].tolist(), record.arrays['T_new_old']):
                moves[key] = T_new_old @ moves.get(key, np.eye(4))
    for entry in before:
        move = moves.get(entry.values.get('id', 0), np.eye(4))
        if entry.kind == 'image':
            if images or mapper.keyframe_count:
                measurements.held_out.due()  # counts it
            images[entry.values['id']] = entry
            if entry.values['held_out'] and (record := history.read(entry)):
                pose = frame.localize(move @ _pose(record))
                image, camera, _, alpha = _image(record)
                measurements.held_out.add(image, camera, pose, entry.values['id'], alpha)
            elif 'depth' in entry.arrays:
                pose = frame.localize(move @ np.array(entry.values['T_world_camera']))
                measurements.grid().voters.add(entry.values['id'], pose[:3, 3])
        elif entry.kind == 'scan' and (record := history.read(entry)):
            starts, ends = (frame.localize_points(points @ move[:3, :3].T + move[:3, 3])
                            for points in check_points(
                                record.arrays['origins'], record.arrays['points']))
            measurements.ranges.add(
                point_rays(starts, ends, measurements.random), entry.values['id'],
                measurements.random)
            if len(starts):
                measurements.grid().voters.add(entry.values['id'], starts[-1])
    mapper.keyframes.keep([*votes.poses])  # of the base, what has not made room
    for key, pose in votes.poses.items():
        record = history.read(images[key]) if key in images else None
        if record is None:
            continue
        image, camera, depth, alpha = _image(record)
        mapper.keyframes.continue_ids(key)
        mapper.keyframes.add(image, camera, pose, depth, alpha)
    mapper.keyframes.continue_ids(votes.next_id)


def _apply(mapper: Mapper, history: History, entry: Entry) -> None:
    """Add an input as if it came now, under its id."""
    record = history.read(entry)
    if record is None:
        return
    apply = {'image': _apply_image, 'scan': _apply_scan, 'corrections': _apply_corrections}
    try:
        if 'id' in entry.values:
            mapper.keyframes.continue_ids(entry.values['id'])
        apply[entry.kind](mapper, record)
    except ValueError as error:  # as when it came, of a pose that is too far away
        history.findings.append(f'an input of {entry.path.name} cannot be used: {error}')


def _apply_image(mapper: Mapper, record: Record) -> None:
    measurements, pose = mapper.measurements, _pose(record)
    image, camera, depth, alpha = _image(record)
    if mapper.keyframe_count:
        measurements.held_out.due()
    if record.values['held_out']:
        measurements.grow_to(pose[:3, 3])
        image_id = mapper.keyframes.new_id()
        measurements.held_out.add(
            image, camera, measurements.frame.localize(pose), image_id, alpha)
    else:
        measurements.add_keyframe(
            image, camera, pose, depth, alpha, record.values.get('angular_velocity'))
        mapper.adapt()


def _apply_scan(mapper: Mapper, record: Record) -> None:
    arrays = record.arrays
    mapper.add_ranges(
        arrays['origins'], arrays['points'], arrays.get('free_ends'))


def _apply_corrections(mapper: Mapper, record: Record) -> None:
    mapper.correct_poses(dict(zip(record.arrays['ids'].tolist(), record.arrays['T_new_old'])))


def _pose(record: Record) -> Pose:
    return check_pose(np.array(record.values['T_world_camera']))


def _image(record: Record) -> tuple[Image, Camera, Depth | None, Alpha | None]:
    """Return image, camera, depth [m] and alpha of a record, as keyframes have them."""
    camera = Camera.from_dict(record.values['camera'])
    size, arrays = (camera.height, camera.width), record.arrays
    depth = alpha = None
    if 'depth' in arrays:
        depth = camera.filled(
            decompress(arrays['depth'], 'uint16', size) * np.float32(MILLIMETRE))
    if 'alpha' in arrays:
        alpha = camera.filled(decompress(arrays['alpha'], 'uint8', size))
    return camera.filled(decode_image(arrays['image'])), camera, depth, alpha

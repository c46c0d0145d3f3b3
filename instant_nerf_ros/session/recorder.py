"""Recorder: keeps what a Mapper is given and what it computes in a session."""
from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Image, Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.settings import flatten
from instant_nerf_ros.session.input_records import image_record, thinned
from instant_nerf_ros.session.records import Record
from instant_nerf_ros.session.resume import Resumed
from instant_nerf_ros.session.session_folder import FIELD, VOTES
from instant_nerf_ros.session.session_source import SessionConfig, SessionSource
from instant_nerf_ros.session.snapshot_schedule import SnapshotSchedule
from instant_nerf_ros.session.snapshots import field_snapshot, votes_snapshot
from instant_nerf_ros.session.writer import Input, WriterThread

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

ROOM_TIMEOUT = 10.0  # s to wait for the disk when a loaded map is written


class Recorder:
    """Belongs to the thread of the Mapper, which waits neither for a disk nor for an encoder."""

    def __init__(self, config: SessionConfig) -> None:
        """Keep a session in the folder of a config, nothing if that is ''."""
        self._config = config
        self._source = SessionSource(config)
        self._writer: WriterThread | None = None
        self._schedule = SnapshotSchedule()
        self._map_number = 0

    def begin(self, mapper: Mapper) -> Resumed | None:
        """Begin to record an empty Mapper, into which base and session are loaded, if any.

        Another call begins again with an empty map, or with the base. Returns None if nothing was
        there. Raises OSError if the folder cannot be written, ValueError if it, or the base,
        cannot be used.
        """
        if self._writer is not None:
            self._put('reset', {})
        resumed = self._source.load(mapper)
        if self._writer is None and (folder := self._source.folder) is not None:
            self._writer = WriterThread(folder)
            self._writer.start()
        if self._writer is not None:
            self._start(mapper)
        return resumed if resumed.sentences else None

    def replace(self, mapper: Mapper, stamp_ns: int) -> None:
        """Begin again with a Mapper that was loaded; its images have one stamp [ns]."""
        if self._writer is None:
            return
        self._put('reset', {})
        self._source.leave_base()
        self._start(mapper)
        for k, (image_id, pose) in enumerate(zip(
                mapper.keyframes.ids.tolist(), mapper.keyframe_poses())):
            camera, image, depth = mapper.keyframes.image(k)
            alpha = keyframe_alpha(mapper.keyframes, k)
            self._writer.wait_for_room(ROOM_TIMEOUT)
            self.add_image(
                image_id, stamp_ns, image.copy(), camera, pose,
                depth * np.float32(MILLIMETRE) if depth.any() else None, False,
                None if alpha is None else alpha.copy())
        for kind in (VOTES, FIELD):
            self._copy(kind, mapper)

    def _start(self, mapper: Mapper) -> None:
        self._map_number += 1
        self._put('start', {
            'map_frame': self._config.map_frame, 'backend': mapper.backend_name,
            'time_ns': time.time_ns(), 'base': self._source.base,
            'settings': {name: value for name, _, value in flatten(mapper.config)}})
        self._schedule = SnapshotSchedule()

    def add_image(
        self, image_id: int, stamp_ns: int, image: Image, camera: Camera, T_world_camera: Pose,
        depth: NDArray[np.floating] | None = None, held_out: bool = False,
        alpha: NDArray[np.uint8] | None = None,
        angular_velocity: NDArray[np.floating] | None = None,
    ) -> None:  # fmt: skip
        """Keep an image that a Mapper has added under an id; see Mapper.add."""
        if self._writer is None:
            return
        values = {'id': image_id, 'stamp_ns': stamp_ns, 'held_out': held_out,
                  'camera': dataclasses.asdict(camera),
                  'T_world_camera': np.asarray(T_world_camera).tolist()}
        if angular_velocity is not None:
            values['angular_velocity'] = np.asarray(angular_velocity).tolist()
        given = [each for each in (image, depth, alpha) if each is not None]
        self._writer.add(Input(
            functools.partial(image_record, values, image, depth, alpha, self._config.images),
            sum(each.nbytes for each in given)))

    def add_scan(
        self, scan_id: int, stamp_ns: int, origins: ArrayLike, points: ArrayLike,
        free_ends: ArrayLike | None = None,
    ) -> None:  # fmt: skip
        """Keep a scan that a Mapper has added under an id; see Mapper.add_ranges."""
        if self._writer is None:
            return
        arrays = {name: np.asarray(values, dtype=np.float64) for name, values in (
            ('origins', origins), ('points', points), ('free_ends', free_ends))
            if values is not None}
        self._put('scan', {'id': scan_id, 'stamp_ns': stamp_ns}, thinned(arrays))

    def add_corrections(self, corrections: Poses) -> None:
        """Keep corrections {id: T_new_old (4, 4)} that a Mapper has applied."""
        self._put('corrections', {}, {
            'ids': np.array(list(corrections), dtype=np.int64),
            'T_new_old': np.array(list(corrections.values()), dtype=np.float64)})

    def update(self, mapper: Mapper) -> None:
        """Copy votes and field of a Mapper, if they have changed and it is time for that."""
        if self._writer is not None:
            for kind in self._schedule.due():
                self._copy(kind, mapper)

    def close(self, mapper: Mapper | None) -> str:
        """Copy a Mapper, write everything, and end; say what is not on the disk, '' if all is."""
        if self._writer is None:
            self._source.close()
            return ''
        try:
            if mapper is not None:
                for kind in (VOTES, FIELD):
                    self._copy(kind, mapper)
        finally:
            problem = self._writer.close()
            self._source.close()
            self._writer = None
        return problem

    def finish(self, timeout: float) -> str:
        """Write what waits, at most timeout [s], while the thread of the Mapper is busy.

        Nothing is kept afterwards. Returns what is not on the disk, '' if all is.
        """
        writer = self._writer
        return writer.close(timeout) if writer else ''

    def status(self) -> tuple[str, str]:
        """Return what was written, and what is wrong; '' if nothing is kept, or wrong."""
        writer = self._writer
        if writer is None:
            return '', ''
        problems = [f'the session is not written: {writer.error}'] if writer.error else []
        if not writer.is_alive():
            problems.append('the session is not written: its thread has failed, see the log')
        if writer.lost:
            problems.append(
                f'{writer.lost} images or scans are not in the session, as the disk was too slow '
                'or full')
        text = f'{writer.written} inputs in {self._config.folder}'
        if base := self._source.base:
            text += f", on the base in {base['folder']}"
        return text, '; '.join(problems)

    def _copy(self, kind: str, mapper: Mapper) -> None:
        if self._writer is None or mapper.occupancy is None:
            return
        begin = time.monotonic()
        state = self._schedule.state(kind, mapper, self._writer.dropped)
        if not self._schedule.is_copied(kind, state):
            snapshot = (
                votes_snapshot(mapper, self._map_number, self._source.base) if kind == VOTES
                else field_snapshot(mapper))
            if self._writer.add(snapshot):
                self._schedule.copied(kind, state)
        self._schedule.took(kind, time.monotonic() - begin)

    def _put(
        self, kind: str, values: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:  # fmt: skip
        if self._writer is not None:
            record = Record(kind, values, arrays or {})
            self._writer.add(Input(lambda: record, record.nbytes))

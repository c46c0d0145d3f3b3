"""Saved state: votes and field of a session, as far as they are whole and fit the settings."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy import grid_state
from instant_nerf_ros.nerf.occupancy.blocks import (
    DENSITY,
    VOTES,
    block_type,
    pieces_of,
    to_blocks,
)
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.settings import replace
from instant_nerf_ros.session.history import VOTES_ON_BASE_KIND, History
from instant_nerf_ros.session.image_codecs import decompress
from instant_nerf_ros.session.records import Record

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


@dataclasses.dataclass(frozen=True)
class SavedField:
    """The field, and what it knows about voxels and keyframes."""

    record: Record

    @property
    def steps(self) -> int:
        """Return the number of its training steps."""
        return int(self.record.values['steps'])

    def density(self, frame: LocalFrame) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return places and blocks of the density, none if it is in another frame or unit."""
        arrays, kind = self.record.arrays, block_type(DENSITY)
        values = self.record.values
        if values.get('unit', 1.0) != 1 or list(frame.voxels) != values['local_frame'] or (
                frame.voxel_size != values['voxel_size']):
            return np.empty((0, 3), np.int64), np.empty(0, kind)
        return arrays['places'], arrays['blocks'].view(kind)

    def restore(self, mapper: Mapper) -> None:
        """Set what was learned with the keyframes of a Mapper, and the state of the training."""
        values, arrays, keyframes = self.record.values, self.record.arrays, mapper.keyframes
        known = {key: k for k, key in enumerate(arrays['ids'].tolist())}
        for k, key in enumerate(keyframes.ids.tolist()):
            if key in known:
                keyframes.restore(
                    k, float(arrays['ray_counts'][known[key]]), arrays['exposure'][known[key]])
        keyframes.exposure.solve()
        mapper.trainer.restore(
            self.steps, int(values['rays']), float(values['stride']), int(values['age']))


@dataclasses.dataclass(frozen=True)
class SavedVotes:
    """The votes after a number of inputs, and the keyframes at that time."""

    position: int  # inputs before it
    latest: Record
    places: NDArray[np.int64]
    blocks: NDArray[Any]

    @property
    def next_id(self) -> int:
        """Return the next id at that time."""
        return int(self.latest.values['next_id'])

    @property
    def poses(self) -> Mapping[int, NDArray[np.float64]]:
        """Return T_local_camera (4, 4) of the keyframes by id, in their order."""
        arrays = self.latest.arrays
        return dict(zip(arrays['ids'].tolist(), arrays['T_local_camera']))

    def restore(self, mapper: Mapper, field: SavedField | None) -> None:
        """Give a Mapper these votes, and the density of a field."""
        values, arrays = self.latest.values, self.latest.arrays
        x, y, z = values['local_frame']
        frame = LocalFrame((x, y, z), values['voxel_size'])
        first, shape = arrays['first'], arrays['shape']
        parts = [(self.places, self.blocks)]
        if field:
            parts.append(field.density(frame))
        elif mapper.occupancy is not None:  # of the base
            parts.append(to_blocks(mapper.measurements.grid(), DENSITY))
        occupancy = OccupancyGrid(mapper.config.occupancy, np.zeros(3), mapper.backend, frame)
        grid_state.restore(occupancy, first, shape, (arrays['low'], arrays['high']), [
            piece for places, blocks in parts for piece in pieces_of(
                places, {name: blocks[name] for name in blocks.dtype.names or ()}, first, shape)])
        mapper.measurements.restore(occupancy)


def saved_config(history: History) -> tuple[Config, list[str]]:
    """Return the settings of a session, and the names of those that this version does not know.

    The device is that of the defaults, as a session may be read on another computer.
    """
    known, unknown = {}, []
    for name, value in history.settings.items():
        try:
            replace(Config(), {name: value})
        except ValueError:
            unknown.append(name)
        else:
            known[name] = value
    return replace(Config(), {**known, 'device': Config().device}), unknown


def read_votes(history: History, mapper: Mapper) -> SavedVotes | None:
    """Return the newest votes that are whole; None if all have to be cast anew.

    If the Mapper has the base of a session, the votes are those of both.
    """
    voxel_size, measurements = mapper.config.occupancy.voxel_size, mapper.measurements
    frozen = measurements.frozen_votes
    for chain in reversed(history.chains()):
        merged: dict[bytes, NDArray[Any]] = {}
        if frozen:
            merged.update(zip(map(bytes, frozen.places), frozen.blocks))
        whole: tuple[int, Record] | None = None
        for position, entry in chain:
            if entry.values['voxel_size'] != voxel_size:
                history.misfits.append(
                    f"the session has voxels of {entry.values['voxel_size']} m, and "
                    f"'occupancy.voxel_size' is {voxel_size}: with the former, its votes are used")
                return None
            if entry.kind == VOTES_ON_BASE_KIND and (
                    frozen is None  # the images vote without their base
                    # The base is damaged, so that it begins elsewhere.
                    or entry.values['local_frame'] != list(measurements.frame.voxels)):
                return None
            record = history.read(entry)
            if record is None:
                break
            whole = position, record
            places = record.arrays['places']
            blocks = decompress(
                record.arrays['blocks'], 'u1', (len(places) * block_type(VOTES).itemsize,))
            merged.update(zip(map(bytes, places), blocks.view(block_type(VOTES))))
        if whole:
            keys = b''.join(merged)
            return SavedVotes(
                *whole, np.frombuffer(keys, np.int64).reshape(-1, 3),
                np.array(list(merged.values()), block_type(VOTES)))
    return None


def read_field(history: History, mapper: Mapper) -> SavedField | None:
    """Load the newest field that is whole into a Mapper; None if it has to be trained anew."""
    for entry in reversed(history.fields):
        record = history.read(entry)
        if record is None:
            continue
        state: dict[str, Any] = {
            name.removeprefix('field.'): array for name, array in record.arrays.items()
            if name.startswith('field.')}
        try:
            if not all(np.isfinite(array).all() for array in state.values()):
                raise ValueError('it has values that are not finite')
            unit, arrays = float(record.values.get('unit', 1.0)), record.arrays
            mapper.adaptation.restore(unit)
            mapper.set_config(mapper.config)
            blocks = arrays['blocks'].view(block_type(DENSITY))
            mapper.trainer.space.restore(
                arrays['places'], {name: blocks[name] for name in DENSITY})
            mapper.trainer.load(state)
        except ValueError as error:
            history.misfits.append(f'the field of {entry.path.name} is not used: {error}')
            continue
        return SavedField(record)
    return None

"""Snapshots: what a Mapper has computed, as records. Votes are written as changes of blocks."""
from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.occupancy.blocks import VOTES, block_type, to_blocks
from instant_nerf_ros.nerf.occupancy.frozen_votes import block_checksums
from instant_nerf_ros.session.history import VOTES_KIND, VOTES_ON_BASE_KIND
from instant_nerf_ros.session.image_codecs import compress
from instant_nerf_ros.session.records import Record

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

MAX_CHANGES = 50  # records of changes that follow a record of all votes


@dataclasses.dataclass(frozen=True)
class VotesSnapshot:
    """A copy of the votes, and of the poses that go with them."""

    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    places: NDArray[np.int64]  # (B, 3) of the blocks
    blocks: NDArray[Any]  # (B,) of block_type(VOTES)
    map_number: int  # another one after the map was reset
    # Checksums of the blocks of the base, by place.
    frozen: Mapping[bytes, int] = dataclasses.field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the copy."""
        return self.blocks.nbytes + sum(array.nbytes for array in self.arrays.values())


def votes_snapshot(
    mapper: Mapper, map_number: int, base: Mapping[str, str] | None = None,
) -> VotesSnapshot:  # fmt: skip
    """Return a copy of the votes and poses of a Mapper with an occupancy grid.

    base: folder and id of the session under this one, whose votes are frozen.
    """
    occupancy, keyframes = mapper.measurements.grid(), mapper.keyframes
    frozen = mapper.measurements.frozen_votes if base else None
    places, blocks = to_blocks(occupancy, VOTES)
    values = {'next_id': keyframes.next_id, 'voxel_size': occupancy.voxel_size,
              'local_frame': list(occupancy.frame.voxels), 'keyframes': len(keyframes),
              **({'base': base} if base else {})}
    return VotesSnapshot(values, {
        'first': occupancy.first.astype(np.int64), 'shape': np.array(occupancy.shape),
        'low': occupancy.content.low.cpu().numpy(), 'high': occupancy.content.high.cpu().numpy(),
        'ids': keyframes.ids.copy(), 'T_local_camera': keyframes.T_world_camera.copy(),
    }, places, blocks, map_number, frozen.checksums if frozen else {})


def field_snapshot(mapper: Mapper) -> Record:
    """Return a copy of the field, of where it is empty, and of the state of its training."""
    keyframes, schedule = mapper.keyframes, mapper.trainer.schedule
    space = mapper.trainer.space
    places, blocks = space.blocks(mapper.measurements.grid())
    state = {f'field.{name}': np.array(tensor.cpu().numpy())
             for name, tensor in mapper.trainer.field.state().items()}
    return Record('field', {
        'steps': mapper.steps, 'rays': schedule.rays, 'stride': schedule.stride,
        'age': schedule.age, 'voxel_size': mapper.config.occupancy.voxel_size,
        'local_frame': list(mapper.measurements.frame.voxels), 'unit': space.unit,
    }, {
        **state, 'places': places, 'blocks': blocks.view(np.uint8).reshape(-1),
        'ids': keyframes.ids.copy(), 'ray_counts': keyframes.ray_counts.copy(),
        'exposure': keyframes.exposure.sums.copy()})


class VotesLog:
    """Knows which votes are on the disk, and makes records of those that are not."""

    def __init__(self) -> None:
        """Begin with a record of all votes."""
        self._written: dict[bytes, int] = {}  # checksums of the blocks, by place
        self._chain, self._count = '', 0  # the record of all votes, and the changes since
        self._all_bytes = self._changed_bytes = self._map_number = 0
        self._pending: tuple[dict[bytes, int], str, int, int, int] | None = None

    def record(self, snapshot: VotesSnapshot) -> Record:
        """Return the record of what has changed; `done` says that it is on the disk."""
        checksums = block_checksums(snapshot.places, snapshot.blocks)
        whole = (not self._written or snapshot.map_number != self._map_number
                 or self._count >= MAX_CHANGES or self._changed_bytes > self._all_bytes)
        known = snapshot.frozen if whole else self._written
        chosen = np.array(
            [known.get(place) != checksum for place, checksum in checksums.items()], dtype=bool)
        places, blocks = snapshot.places[chosen], snapshot.blocks[chosen]
        gone = [np.frombuffer(place, np.int64) for place in known if place not in checksums]
        if gone:  # a loop closure has moved the votes
            places = np.concatenate([places, gone])
            blocks = np.concatenate([blocks, np.zeros(len(gone), block_type(VOTES))])
        chain, count = (uuid.uuid4().hex, 0) if whole else (self._chain, self._count + 1)
        packed = compress(blocks.view(np.uint8))
        sizes = (packed.nbytes, 0) if whole else (
            self._all_bytes, self._changed_bytes + packed.nbytes)
        self._map_number = snapshot.map_number
        self._pending = checksums, chain, count, *sizes
        kind = VOTES_ON_BASE_KIND if 'base' in snapshot.values else VOTES_KIND
        return Record(kind, {**snapshot.values, 'chain': chain, 'change': count}, {
            **snapshot.arrays, 'places': places, 'blocks': packed})

    def done(self) -> bool:
        """Note that the latest record is on the disk; return whether it holds all votes."""
        if self._pending is None:
            raise RuntimeError('there is no record that could be on the disk')
        (self._written, self._chain, self._count,
         self._all_bytes, self._changed_bytes) = self._pending
        self._pending = None
        return self._count == 0

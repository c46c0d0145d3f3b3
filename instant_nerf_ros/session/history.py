"""History: what is in a session, in the order in which it happened, and what is damaged."""
from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from instant_nerf_ros.session.records import DamagedError, Record, Segment
from instant_nerf_ros.session.session_folder import SessionFolder, has_made_room

INPUT_KINDS = 'image', 'scan', 'corrections'
# Those that differ from the base of a session have a kind of their own: a program that does not
# know it lets the images vote again, instead of taking a part of the votes for all of them.
VOTES_KIND, VOTES_ON_BASE_KIND = 'votes', 'votes_on_base'


@dataclasses.dataclass(frozen=True)
class Entry:
    """A record on the disk: its values are known, its arrays are read when they are needed."""

    path: Path
    number: int  # of the record in its segment
    kind: str
    values: Mapping[str, Any]
    arrays: Collection[str]  # their names

    def read(self) -> Record:
        """Return the record with its arrays. Raises DamagedError."""
        return Segment(self.path).record(self.number)


class History:
    """The records since the map was last reset.

    What cannot be read is named in `findings`; what is whole but does not fit, in `misfits`.
    """

    def __init__(self, folder: SessionFolder) -> None:
        """Read all values, but no arrays. Raises ValueError for another major version."""
        self.findings: list[str] = []
        self.misfits: list[str] = []
        self.starts: list[Entry] = []  # one for each time that recording began
        self.inputs: list[Entry] = []
        self.votes: list[tuple[int, Entry]] = []  # and the number of inputs before them
        self.fields: list[Entry] = []
        self.versions: set[tuple[int, ...]] = set()
        for entry in self._entries(folder):
            if entry.kind == 'reset':
                self.inputs, self.votes, self.fields = [], [], []
            elif entry.kind == 'start':
                self.starts.append(entry)
            elif entry.kind in (VOTES_KIND, VOTES_ON_BASE_KIND):
                self.votes.append((len(self.inputs), entry))
            elif entry.kind == 'field':
                self.fields.append(entry)
            elif entry.kind in INPUT_KINDS:  # else of a newer minor version
                self.inputs.append(entry)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the settings of the Mapper when recording began last, {} if that is lost."""
        return self.starts[-1].values['settings'] if self.starts else {}

    @property
    def map_frame(self) -> str:
        """Return the frame of all poses, '' if that is lost."""
        return str(self.starts[-1].values['map_frame']) if self.starts else ''

    @property
    def base(self) -> Mapping[str, str] | None:
        """Return folder and id of the session under this one, None without one."""
        latest = [*self.starts, *(entry for _, entry in self.votes)][-1:]
        return latest[0].values.get('base') if latest else None

    @property
    def id(self) -> str:
        """Return what tells a session from others, and from itself with other inputs.

        Neither compaction nor damaged arrays change it.
        """
        position, latest = 0, None
        for chain in self.chains():
            position, latest = chain[-1]
        state = [latest and [latest.values['chain'], latest.values['change']], *(
            [entry.kind, entry.values.get('id'), entry.values.get('stamp_ns')]
            for entry in self.inputs[position:])]
        return f'{zlib.crc32(json.dumps(state).encode()):08x}'

    def ids(self) -> list[int]:
        """Return the ids of all images and scans."""
        return [entry.values['id'] for entry in self.inputs if 'id' in entry.values]

    def _entries(self, folder: SessionFolder) -> Iterator[Entry]:
        for path in folder.segments():
            try:
                segment = Segment(path)
            except (DamagedError, OSError) as error:
                self._find(path, error)
                continue
            self.versions.add(segment.version)
            for n in range(segment.count):
                try:
                    kind, values, arrays = segment.about(n)
                except DamagedError as error:
                    self.findings.append(str(error))
                else:
                    yield Entry(path, n, kind, values, arrays)

    def read(self, entry: Entry) -> Record | None:
        """Return the record of an entry; None if it is damaged, which is then named."""
        try:
            return entry.read()
        except (DamagedError, OSError) as error:
            self._find(entry.path, error)
            return None

    def _find(self, path: Path, error: Exception) -> None:
        if not has_made_room(path):  # as while a node writes to the session
            self.findings.append(str(error))

    def chains(self) -> list[list[tuple[int, Entry]]]:
        """Return the records of votes that belong together, all votes and changes; newest last."""
        chains: list[list[tuple[int, Entry]]] = []
        for position, entry in self.votes:
            chain, change = entry.values['chain'], entry.values['change']
            latest = chains[-1][-1][1].values if chains else {'chain': None, 'change': 0}
            if change == 0:
                chains.append([(position, entry)])
            elif (chain, change - 1) == (latest['chain'], latest['change']):
                chains[-1].append((position, entry))
        return chains

"""Records, and the files of several records: safetensors with a checksum of each array.

A file is called a segment. It is written once, as a whole, and never changed.
"""
from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT, VERSION = 'instant_nerf_ros session', (1, 1)  # major, minor
ABOUT = 'about'  # the array of a record that holds its kind and its values, as JSON


class DamagedError(ValueError):
    """A segment, or a record in it, is not what was written."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Something that happened or that was computed: values (JSON) and arrays, by name."""

    kind: str
    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def encode(records: Sequence[Record]) -> bytes:
    """Return the content of a segment with these records."""
    arrays: dict[str, NDArray[Any]] = {}
    for n, record in enumerate(records):
        about = {'kind': record.kind, 'values': record.values, 'arrays': sorted(record.arrays)}
        text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        for name, array in {ABOUT: text, **record.arrays}.items():
            arrays[f'{n}/{name}'] = np.ascontiguousarray(array).reshape(array.shape)
    header = {
        'format': FORMAT, 'version': '{}.{}'.format(*VERSION), 'records': str(len(records))}
    checksums = {name: _checksum(name, array) for name, array in arrays.items()}
    checksums[ABOUT] = _checksum_of(header)
    return save(arrays, {**header, 'crc32': json.dumps(checksums)})


class Segment:
    """A file of records, opened; arrays are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises DamagedError, ValueError if another program wrote it, or OSError."""
        self.path = path
        try:
            self._file: Any = safe_open(path, 'np')
            metadata = self._file.metadata() or {}
            self.count = int(metadata['records'])
            self._checksums: dict[str, int] = json.loads(metadata.pop('crc32'))
            if self._checksums[ABOUT] != _checksum_of(metadata):
                raise ValueError('its header is damaged')
            self.version = tuple(map(int, metadata['version'].split('.')))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise DamagedError(f'{path.name} cannot be read: {error}') from error
        if self.version[0] != VERSION[0]:
            raise ValueError(
                f'{path} is of version {".".join(map(str, self.version))}, which this program '
                f'(version {VERSION[0]}.x) cannot read: use one with the same first number')

    def about(self, n: int) -> tuple[str, dict[str, Any], list[str]]:
        """Return kind, values and the names of the arrays of record n. Raises DamagedError."""
        try:
            about = json.loads(self._array(n, ABOUT).tobytes())
            return about['kind'], about['values'], about['arrays']
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f'record {n} of {self.path.name} is damaged') from error

    def record(self, n: int) -> Record:
        """Return record n with its arrays. Raises DamagedError."""
        kind, values, names = self.about(n)
        return Record(kind, values, {name: self._array(n, name) for name in names})

    def _array(self, n: int, name: str) -> NDArray[Any]:
        key = f'{n}/{name}'
        try:
            array: NDArray[Any] = self._file.get_tensor(key)
            if self._checksums[key] == _checksum(key, array):
                return array
        except (SafetensorError, KeyError, ValueError, TypeError):
            pass
        raise DamagedError(f'record {n} of {self.path.name} is damaged ({name})')


def _checksum_of(metadata: Mapping[str, str]) -> int:
    """Return the CRC-32 of the metadata of a segment."""
    return zlib.crc32(json.dumps(metadata, sort_keys=True).encode())


def _checksum(name: str, array: NDArray[Any]) -> int:
    """Return the CRC-32 of an array, with its name, type and shape."""
    label = f'{name} {array.dtype.str} {list(array.shape)}'.encode()
    return zlib.crc32(array.tobytes(), zlib.crc32(label))

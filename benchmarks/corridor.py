"""A long way through a building: memory, times of queries, and views of the first wing."""
from collections.abc import Mapping

from report import Table
from workers import Worker

NAMES = (
    'way [m]', 'resident memory [MB]', 'voxels of the grid', 'keyframes of the first wing',
    'keyframes of this wing', 'views of the first wing [dB]', 'views of this wing [dB]',
    'a voxel [ms]', 'the map, after another image [ms]', 'a view of the first wing [ms]',
    'a view of this wing [ms]')


def measure(_: object) -> list[Table]:
    """Return the table of figures after each wing."""
    with Worker('corridor_drive.py') as worker:
        wings: list[Mapping[str, float]] = worker.measure()
    return [Table(['after wing', *(str(number) for number in range(1, len(wings) + 1))],
                  [[name, *(wing[name] for wing in wings)] for name in NAMES])]

"""Results: tables in the terminal and in docs/reference/results.md, figures as JSON."""
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / 'docs' / 'reference' / 'results.md'
RESULTS = ROOT / 'benchmarks' / 'results'


@dataclasses.dataclass(frozen=True)
class Table:
    """Figures under headings; a cell is a text, a number, or None if there is no figure."""

    headings: list[str]
    rows: list[list[str | float | None]]

    def __str__(self):
        """Return it in Markdown."""
        lines = [self.headings, ['---'] * len(self.headings)]
        lines += [[_text(cell) for cell in row] for row in self.rows]
        return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _text(cell):
    if cell is None:
        return '-'
    if isinstance(cell, str):
        return cell
    return f'{cell:,.0f}' if abs(cell) >= 100 else f'{cell:.3g}'


def spread(values):
    """Return median and range of values as a text."""
    low, middle, high = min(values), sorted(values)[len(values) // 2], max(values)
    return f'{middle:.2f} ({low:.2f} to {high:.2f})' if len(values) > 1 else f'{middle:.2f}'


def conditions():
    """Return a line with the machine, the versions of its software, and its load before."""
    versions = ', '.join(
        f'{name} {importlib.metadata.version(name)}' for name in ('torch', 'numba', 'numpy'))
    return (
        f'{datetime.date.today()}: {_processor()}, {len(os.sched_getaffinity(0))} cores; '
        f'Python {platform.python_version()}, {versions}; load before {os.getloadavg()[0]:.1f}')


def _processor():
    with open('/proc/cpuinfo') as file:
        names = [line.partition(': ')[2].strip() for line in file
                 if line.startswith('model name')]
    return names[0] if names else platform.machine()


def publish(name, where, tables, keep):
    """Print the tables of a benchmark; if `keep`, write them to their files."""
    text = '\n\n'.join([where, *map(str, tables)])
    print(f'\n{name}\n\n{text}\n', flush=True)
    if not keep or not any(table.rows for table in tables):
        return
    RESULTS.mkdir(exist_ok=True)
    result = {'conditions': where, 'tables': [dataclasses.asdict(table) for table in tables]}
    (RESULTS / f'{name}.json').write_text(json.dumps(result, indent=1) + '\n')
    begin, end = f'<!-- {name}: written by make bench -->', f'<!-- end of {name} -->'
    document, count = re.subn(
        f'{re.escape(begin)}.*?{re.escape(end)}', lambda _: f'{begin}\n{text}\n{end}',
        DOCUMENT.read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{DOCUMENT} must have one pair of lines '{begin}' and '{end}'")
    DOCUMENT.write_text(document)

"""Cases of formats: an input, and what must become of it.

test_formats.py tries them, and write_formats.py makes docs/reference/formats.md of them.
"""
import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

READ, REPORTED, REFUSED = 'read', 'read, reported', 'refused'


@dataclasses.dataclass(frozen=True)
class Case:
    """An input, and its outcome."""

    what: str  # the input, in Markdown
    outcome: str  # REPORTED: it is used, and a warning tells what is wrong with it
    run: Callable[[Path], bool]  # use the input in an empty folder; return whether it is right
    text: str  # of READ: what is compared; else a part of the warning or of the error


@dataclasses.dataclass(frozen=True)
class Section:
    """A table of cases."""

    title: str
    introduction: str
    cases: list[Case]


def observe(case: Case, folder: Path) -> tuple[str, str]:
    """Return the outcome of a case and its warnings or its error, one per line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always', UserWarning)
        try:
            assert case.run(folder), f'{case.what}: another result'
        except (ValueError, OSError) as error:
            return REFUSED, str(error)
    told = '\n'.join(str(warning.message) for warning in caught)
    return (REPORTED if told else READ), told


def page(sections: list[Section]) -> str:
    """Return the page about formats."""
    lines = [
        '# Formats', '',
        'What the package reads, and what it refuses or reports. Each row is a case of',
        '`test/test_formats.py`, which writes the input and uses it. This page is made of these',
        'cases by `test/write_formats.py`, and a test compares the two.', '',
        '- **read**: nothing is reported; the last column says what the test compares.',
        '- **read, reported**: it is used, and a warning contains the text in the last column.',
        '- **refused**: it is not used, and the message contains that text. One bad frame of a '
        'folder', '  is left out and counted, the others are used; one bad message is counted in '
        '`/diagnostics`.']
    for section in sections:
        lines += ['', f'## {section.title}', '', section.introduction, '',
                  '| input | outcome | compared, or said |', '|---|---|---|']
        lines += [f'| {case.what} | {case.outcome} | {_cell(case)} |' for case in section.cases]
    return '\n'.join(lines) + '\n'


def _cell(case: Case) -> str:
    return case.text if case.outcome == READ else f'"{case.text}"'

"""The command session: it lists, checks, compacts and exports a session.

Status 0: done; 1: something is damaged; 2: it cannot be done, with a sentence.
"""
import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_folder import SessionFolder

DAMAGED, WRONG = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        folder = SessionFolder(options.session)
        if not folder.segments():
            raise ValueError(f'there is no session in {folder.path}')
        return int(options.run(folder, options))
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f'session: {error}\n')
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='session', description='What mapper_node has kept in its session_folder.')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    for name, run, summary in (
            ('list', _list, 'say what is in a session'),
            ('check', _check, 'read all of it, and name what is damaged'),
            ('compact', _compact, 'remove what a resume would not use; nobody may write to it'),
            ('export', _export, 'write map, points, mesh and model, as ~/save_map does')):
        command = commands.add_parser(
            name, help=summary, description=f'{summary[0].upper()}{summary[1:]}.')
        command.set_defaults(run=run)
        command.add_argument('session', metavar='SESSION', type=Path, help='its folder')
        if name == 'export':
            command.add_argument('out', metavar='OUT', type=Path, help='folder to write')
            command.add_argument('--device', default='auto', help='backend that computes (auto)')
    return parser


def _list(folder: SessionFolder, _: argparse.Namespace) -> int:
    history = History(folder)
    size = sum(path.stat().st_size for path in folder.segments()) / 2**20
    _print(f'{folder.path}: {len(folder.segments())} files, {size:.1f} MB, version '
           + ', '.join('.'.join(map(str, version)) for version in sorted(history.versions)))
    if stamps := [e.values['stamp_ns'] for e in history.inputs if 'stamp_ns' in e.values]:
        _print(f"in '{history.map_frame}', stamps {_time(min(stamps))} to {_time(max(stamps))}")
    held_out = sum(bool(entry.values.get('held_out')) for entry in history.inputs)
    counts = Counter(entry.kind for entry in history.inputs)
    _print(f"{counts['image']} images ({held_out} held out), {counts['scan']} scans, "
           f"{counts['corrections']} loop closures")
    for position, entry in history.votes[-1:]:
        _print(f"votes of {entry.values['keyframes']} keyframes, "
               f'{len(history.inputs) - position} inputs later')
    for entry in history.fields[-1:]:
        _print(f"field after {entry.values['steps']} steps")
    return _findings(history)


def _check(folder: SessionFolder, options: argparse.Namespace) -> int:
    history = History(folder)
    votes = [entry for _, entry in history.votes]
    read = sum(history.read(entry) is not None
               for entry in [*history.inputs, *votes, *history.fields])
    _print(f'{read} records are whole')
    return _findings(history)


def _compact(folder: SessionFolder, _: argparse.Namespace) -> int:
    from instant_nerf_ros.session.compaction import compact
    folder.open()
    _print(f'{compact(folder) / 2**20:.1f} MB are free now')
    return 0


def _export(folder: SessionFolder, options: argparse.Namespace) -> int:
    from instant_nerf_ros.nerf import Config, Mapper, replace
    from instant_nerf_ros.session.resume import resume
    history = History(folder)
    known: dict[str, object] = {}
    for name, value in history.settings.items():
        try:
            replace(Config(), {name: value})
        except ValueError:  # of another version
            continue
        known[name] = value
    mapper = Mapper(replace(Config(), {**known, 'device': options.device}))
    resumed = resume(mapper, history, history.map_frame)
    mapper.save(options.out)
    _print(f'{options.out}: {resumed.sentences[0]}')
    return _findings(history)


def _findings(history: History) -> int:
    for sentence in history.findings:
        _print(f'damaged: {sentence}')
    return DAMAGED if history.findings else 0


def _time(stamp_ns: int) -> str:
    return time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(stamp_ns // 10**9))


def _print(text: str) -> None:
    sys.stdout.write(text + '\n')


if __name__ == '__main__':
    sys.exit(main())

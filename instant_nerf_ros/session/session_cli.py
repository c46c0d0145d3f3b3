"""The command session: it lists, checks, compacts, exports and merges sessions.

Status 0: done; 1: something is damaged; 2: it cannot be done, with a sentence; 130: Ctrl-C.
"""
import argparse
import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_folder import SessionFolder

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Config, Mapper
    from instant_nerf_ros.session.recorder import Recorder

DAMAGED, WRONG, INTERRUPTED = 1, 2, 130


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
    except KeyboardInterrupt:
        sys.stderr.write('session: interrupted\n')
        return INTERRUPTED


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
        if name in ('export', 'check'):
            command.add_argument(
                '--base', metavar='FOLDER', default='', help='where its base is, if it has moved')
        if name == 'export':
            command.add_argument('out', metavar='OUT', type=Path, help='folder to write')
            command.add_argument('--device', default='auto', help='backend that computes (auto)')
    command = commands.add_parser(
        'merge', help='make one session of two in one map frame',
        description='Write a session with the images of two robots in one map frame. Votes are '
                    'added; the field of the first one is trained on with the images of both.')
    command.set_defaults(run=_merge)
    command.add_argument('session', metavar='FIRST', type=Path, help='its settings are used')
    command.add_argument('second', metavar='SECOND', type=Path, help='the other session')
    command.add_argument('--out', metavar='SESSION', type=Path, required=True,
                         help='folder to write; it may hold no session yet')
    command.add_argument('--seconds', type=float, default=60.0, help='time of training (60)')
    command.add_argument('--device', default='auto', help='backend that computes (auto)')
    return parser


def _list(folder: SessionFolder, _: argparse.Namespace) -> int:
    history = History(folder)
    versions = ', '.join('.'.join(map(str, version)) for version in sorted(history.versions))
    _print(f'{folder.path}: {len(folder.segments())} files, {folder.nbytes() / 2**20:.1f} MB, '
           f'version {versions}')
    if stamps := [e.values['stamp_ns'] for e in history.inputs if 'stamp_ns' in e.values]:
        _print(f"in '{history.map_frame}', stamps {_time(min(stamps))} to {_time(max(stamps))}")
    held_out = sum(bool(entry.values.get('held_out')) for entry in history.inputs)
    counts = Counter(entry.kind for entry in history.inputs)
    _print(f"{counts['image']} images ({held_out} held out), {counts['scan']} scans, "
           f"{counts['corrections']} loop closures")
    if history.base:
        _print(f"on the base in {history.base['folder']}")
    for position, entry in history.votes[-1:]:
        _print(f"votes of {entry.values['keyframes']} keyframes, "
               f'{len(history.inputs) - position} inputs later')
    for entry in history.fields[-1:]:
        _print(f"field after {entry.values['steps']} steps")
    return _findings(history)


def _check(folder: SessionFolder, options: argparse.Namespace) -> int:
    from instant_nerf_ros.session.base_session import base_of
    history = History(folder)
    votes = [entry for _, entry in history.votes]
    read = sum(history.read(entry) is not None
               for entry in [*history.inputs, *votes, *history.fields])
    _print(f'{read} records are whole')
    try:
        if base := base_of(history, options.base):
            base.close()
            _print(f"its base in {base.reference['folder']} is as it was")
    except (ValueError, OSError) as error:
        _print(f'damaged: {error}')
        return DAMAGED
    return _findings(history)


def _compact(folder: SessionFolder, _: argparse.Namespace) -> int:
    from instant_nerf_ros.session.compaction import compact
    folder.open()
    _print(f'{compact(folder) / 2**20:.1f} MB are free now')
    return 0


def _export(folder: SessionFolder, options: argparse.Namespace) -> int:
    from instant_nerf_ros.nerf import Mapper
    from instant_nerf_ros.session.base_session import load
    history = History(folder)
    mapper = Mapper(_config(history, options.device))
    resumed = load(mapper, history, options.base)
    if not mapper.keyframe_count:
        raise ValueError(f'the session in {folder.path} has no images: nothing can be exported')
    mapper.save(options.out)
    _print(f'{options.out}: {resumed.sentences[0]}')
    return _findings(history)


def _merge(folder: SessionFolder, options: argparse.Namespace) -> int:
    from instant_nerf_ros.nerf import Mapper
    from instant_nerf_ros.nerf.warm_up import warm_up
    from instant_nerf_ros.session.recorder import Recorder
    from instant_nerf_ros.session.session_merging import merge
    from instant_nerf_ros.session.session_source import SessionConfig
    second, out = SessionFolder(options.second), SessionFolder(options.out)
    if not second.segments():
        raise ValueError(f'there is no session in {second.path}')
    histories = History(folder), History(second)
    config = _config(histories[0], options.device)
    for sentence in merge(*histories, out, lambda: Mapper(config)):
        _print(sentence)
    mapper = Mapper(config)
    recorder = Recorder(SessionConfig(
        str(out.path), resume=True, map_frame=histories[0].map_frame))
    recorder.begin(mapper)
    _print(f'{out.path}: {mapper.keyframe_count} keyframes of both sessions')
    if options.seconds > 0:
        warm_up(config.device, config.field)
        _train(mapper, recorder, options.seconds)
    if problem := recorder.close(mapper):
        raise OSError(problem)
    return max(map(_findings, histories))


def _train(mapper: 'Mapper', recorder: 'Recorder', seconds: float) -> None:
    _print(f'training for {seconds:.0f} s; Ctrl-C ends it earlier')
    end = time.monotonic() + seconds
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < end and not mapper.converged:
            mapper.step()
            recorder.update(mapper)
    quality = mapper.psnr()  # NaN without held-out views
    _print(f'the field had {mapper.steps} steps' + (
        '' if math.isnan(quality) else f'; PSNR of held-out views: {quality:.1f} dB'))


def _config(history: History, device: str) -> 'Config':
    """Return the settings of a session, and a device."""
    from instant_nerf_ros.nerf import replace
    from instant_nerf_ros.session.saved_state import saved_config
    return replace(saved_config(history)[0], {'device': device})


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

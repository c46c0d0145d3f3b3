"""The command instant-nerf: its options, its output, and its exit status.

Status 0: done, also after Ctrl-C during training; 2: wrong options or data, with a sentence;
130: Ctrl-C before there was anything to keep. Modules that need seconds to import are imported
when a subcommand runs.
"""
import argparse
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instant_nerf_ros.scenes.cli_products import add_parsers

if TYPE_CHECKING:
    from instant_nerf_ros.scenes.evaluation import Evaluation

WRONG, INTERRUPTED = 2, 130
DATA = """\
DATA is what you have:
  photos            a folder of JPEG or PNG files; poses are found by COLMAP
  a video           its sharpest frames are used like photos
  transforms.json   NeRF synthetic, instant-ngp, nerfstudio; a folder with one, or the file
  a COLMAP model    a folder with images/ and sparse/0/, binary or text
  LLFF              a folder with poses_bounds.npy and images/
  Polycam, Record3D the exported raw data
  RGB-D frames      a folder with poses and depth (transforms.json, or 7-Scenes)
  a rosbag2         a folder, .mcap or .db3; images, camera_info and TF, with or without depth
  a saved map       what mapper_node or another fit has saved
  a session         the session_folder of mapper_node

Scale, near and far, background, extent and the correction of poses follow from the data.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        _say('interrupted; nothing was written')
        return INTERRUPTED
    except (ValueError, OSError, ImportError) as error:
        _say(str(error))
        return WRONG
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f'instant-nerf: {text}\n')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='instant-nerf', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Photos, a video or a recording in; a 3D scene out.',
        epilog='instant-nerf COMMAND --help says more.\n\n'
               'example: instant-nerf fit photos --out scene && instant-nerf eval scene')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    fit = _command(commands, 'fit', _fit, 'fit a scene to photos, a video or a recording', DATA)
    fit.add_argument('data', metavar='DATA', type=Path, help='see below')
    fit.add_argument('--out', metavar='SCENE', type=Path, required=True,
                     help='folder to write; it must not exist')
    fit.add_argument('--seconds', type=float, help='time of training (60)')
    fit.add_argument('--steps', type=int, help='steps of training')
    fit.add_argument('--target-psnr', type=float, metavar='DB',
                     help='end when held-out views have this quality')
    fit.add_argument('--scale', type=float, metavar='M',
                     help='metres per unit of the poses, where you know it')
    fit.add_argument('--poses', choices=('incremental', 'global'), default='incremental',
                     help="COLMAP's way to the poses of photos (incremental); global is faster, "
                          'and if it is wrong, incremental follows')
    fit.add_argument('--no-depth', action='store_true', help='do not use depth')
    fit.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                     help='a setting of the mapper in place of what follows from the data')
    evaluation = _command(
        commands, 'eval', _eval, 'measure the quality of views that were not trained on',
        'PSNR and SSIM of the held-out views (every eighth image, or the test set of the data),\n'
        'the error of depth where it was measured, and the agreement of the map where the data\n'
        'has a reference.\n')
    evaluation.add_argument('scene', metavar='SCENE', type=Path, help='folder of a fitted scene')
    evaluation.add_argument('--out', metavar='FOLDER', type=Path,
                            help='write results.json and pictures of the worst views')
    evaluation.add_argument('--worst', type=int, default=4, metavar='N',
                            help='number of these pictures (4)')
    evaluation.add_argument('--json', action='store_true', help='print JSON in place of a table')
    add_parsers(functools.partial(_command, commands))
    view = _command(
        commands, 'view', _view, 'show a scene in a browser',
        'It prints the address of a page, which shows the scene until Ctrl-C.\n')
    view.add_argument('scene', metavar='SCENE', type=Path, help='folder of a fitted scene')
    view.add_argument('--host', default='127.0.0.1', help=(
        'address to serve; other than 127.0.0.1, a token in the address is required (127.0.0.1)'))
    view.add_argument('--port', type=int, default=8080, help='or the next free one (8080)')
    return parser


def _command(
    commands: Any, name: str, run: Any, summary: str, epilog: str,
) -> argparse.ArgumentParser:  # fmt: skip
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + '.', epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def _settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Return {name: value} of texts NAME=VALUE. Raises ValueError for a wrong one."""
    from instant_nerf_ros.nerf import Config, flatten
    kinds = {name: type(value) for name, _, value in flatten(Config())}
    values: dict[str, Any] = {}
    for name, equals, text in (assignment.partition('=') for assignment in assignments):
        if not equals or name not in kinds:
            raise ValueError(f"--set {name}: give NAME=VALUE with one of {', '.join(kinds)}")
        try:
            values[name] = ({'true': True, 'false': False}[text] if kinds[name] is bool
                            else kinds[name](text))
        except (KeyError, ValueError):
            raise ValueError(
                f"--set {name}: '{text}' is not of the type {kinds[name].__name__}") from None
    return values


def _fit(options: argparse.Namespace) -> None:
    from instant_nerf_ros.nerf.joining import join
    from instant_nerf_ros.scenes.fit_progress import TerminalProgress
    from instant_nerf_ros.scenes.fitting import fit
    ranks = join()
    with TerminalProgress(is_shown=ranks.rank == 0) as progress:
        scene = fit(
            options.data, options.out, seconds=options.seconds, steps=options.steps,
            target_psnr=options.target_psnr, scale=options.scale, poses=options.poses,
            settings=_settings(options.set), with_depth=not options.no_depth,
            on_progress=progress, ranks=ranks)
    ranks.leave()
    if ranks.rank > 0:
        return
    last, made = scene.provenance.history[-1], scene.provenance
    _print(f'{made.kind}: {len(made.frames)} images trained on, {len(scene.held_out)} held out; '
           f'{last.steps} steps in {last.seconds:.0f} s; {made.ended}')
    _print(f'{options.out}: instant-nerf eval {options.out} measures its quality')


def _eval(options: argparse.Namespace) -> None:
    from instant_nerf_ros.scenes.evaluation import evaluate, write
    from instant_nerf_ros.scenes.scene_folder import Scene, check_free
    if options.out:
        check_free(options.out)
    scene = Scene.load(options.scene)
    evaluation = evaluate(scene)
    if options.json:
        _print(json.dumps(evaluation.json(), indent=1))
    else:
        _table(evaluation)
    if options.out:
        write(evaluation, scene, options.out, options.worst)


def _view(options: argparse.Namespace) -> None:
    from instant_nerf_ros.viewer.page import view_scene
    view_scene(options.scene, options.host, options.port, _print)


def _table(evaluation: 'Evaluation') -> None:
    from rich.console import Console
    from rich.table import Table
    kind = 'trained on: none was held out' if evaluation.trained_on else 'held out'
    table = Table(title=f'{len(evaluation.views)} views, {kind}', title_justify='left')
    table.add_column('view')
    columns = [('psnr', 'PSNR [dB]', '.2f'), ('ssim', 'SSIM', '.3f'),
               ('depth_error', 'depth error [m]', '.3f')]
    columns = [each for each in columns if evaluation.mean(each[0]) == evaluation.mean(each[0])]
    for _, title, _ in columns:
        table.add_column(title, justify='right')
    for view in evaluation.views:
        table.add_row(view.name, *[format(getattr(view, n), f) for n, _, f in columns])
    table.add_section()
    table.add_row('mean', *[format(evaluation.mean(n), f) for n, _, f in columns], style='bold')
    Console().print(table)
    for name, fraction in evaluation.map.items():
        _print(f'map: {name.replace("_", " ")}: {100 * fraction:.1f} %')


def _print(text: str) -> None:
    sys.stdout.write(text + '\n')


if __name__ == '__main__':
    sys.exit(main())

"""The subcommands of instant-nerf that make something of a fitted scene."""
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

RENDER = """\
OUT ending in .mp4 is a video, any other name is a folder of frames 00000.png, ...
--route orbit      a circle around what the cameras saw, or the arc on which they were
--route spline     a smooth path through the cameras
--route FILE.json  a camera path of nerfstudio's viewer, with its times and its size

example: instant-nerf render scene flight.mp4 --route spline --size 1280x720
"""
EXPORT = """\
WHAT       OUT                    for
mesh       .ply .glb              MeshLab, Blender, three.js; with vertex colours
points     .ply .glb              the occupied voxels
gaussians  .ply .spz .glb         SuperSplat and other viewers of 3D Gaussians
colmap     a folder               other trainers; with the corrected poses
map        a folder               Nav2's map_server (map.pgm, map.yaml)
octomap    .bt                    OctoMap

Lengths are metres where the poses of the data are metric, see --scale of `instant-nerf fit`.

example: instant-nerf export scene mesh scene.glb
"""


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the parsers of render, export and report by add(name, run, summary, epilog)."""
    render = add('render', _render, 'render a video or frames along a camera path', RENDER)
    _add_scene(render)
    render.add_argument('out', metavar='OUT', type=Path, help='video or folder to write')
    render.add_argument('--route', default='orbit', help='orbit, spline or a file (orbit)')
    render.add_argument('--kind', default='color', choices=('color', 'depth', 'normals'),
                        help='what is rendered (color)')
    render.add_argument('--seconds', type=float, default=8.0, help='length (8)')
    render.add_argument('--fps', type=float, default=24.0, help='frames per second (24)')
    render.add_argument('--size', type=_size, metavar='WxH',
                        help='width and height in pixels (that of the images)')
    render.add_argument('--dataparser-transforms', type=Path, metavar='FILE',
                        help='how nerfstudio has moved its scene, from the folder of its model')
    export = add('export', _export, 'write a scene for other programs', EXPORT)
    _add_scene(export)
    export.add_argument('what', metavar='WHAT', help='see below')
    export.add_argument('out', metavar='OUT', type=Path, help='file or folder to write')
    report = add(
        'report', _report, 'write a page that shows views, quality and map',
        'The page is one HTML file that needs no other, to look at and to send.\n')
    _add_scene(report)
    report.add_argument('out', metavar='OUT', type=Path, help='HTML file to write')


def _add_scene(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('scene', metavar='SCENE', type=Path, help='folder of a fitted scene')
    parser.add_argument('--overwrite', action='store_true', help='replace what OUT has')


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    return int(width), int(height)


def _open(options: argparse.Namespace) -> Any:
    from instant_nerf_ros.scenes.scene_folder import Scene
    return Scene.load(options.scene)


def _render(options: argparse.Namespace) -> None:
    from instant_nerf_ros.scenes.fit_progress import TerminalProgress
    from instant_nerf_ros.scenes.scene_products import render
    scene = _open(options)
    with TerminalProgress() as progress:
        render(
            scene, options.out, route=options.route, kind=options.kind, seconds=options.seconds,
            fps=options.fps, size=options.size,
            dataparser_transforms=options.dataparser_transforms,
            overwrite=options.overwrite, on_progress=progress)


def _export(options: argparse.Namespace) -> None:
    from instant_nerf_ros.scenes.scene_products import export
    export(_open(options), options.what, options.out, overwrite=options.overwrite)


def _report(options: argparse.Namespace) -> None:
    from instant_nerf_ros.scenes.scene_products import make_report
    make_report(_open(options), options.out, overwrite=options.overwrite)

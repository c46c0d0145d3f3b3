"""Map a folder of posed images with the library alone, without ROS."""
import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
from drawing import LabelledView, draw_views, save

from instant_nerf_ros.data.frames import (
    Frame,
    FrameFolder,
    holdout,
    load_folder,
    load_reference,
)
from instant_nerf_ros.data.metrics import depth_errors, grid_agreement, points_agreement, psnr
from instant_nerf_ros.nerf import Config, Mapper, flatten, replace

SETTINGS = {
    # Poses of photos come from structure from motion, which has already adjusted them.
    'motion.align': False, 'motion.stereo': False,
    'keyframes.held_out_every': 0,  # every eighth image of the folder is held out already
}
BOOLEANS = {'true': True, 'false': False}


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('path', help='folder of posed images or transforms.json')
    parser.add_argument('--seconds', type=float, default=60.0, help='time of training (60)')
    parser.add_argument('--report', type=float, nargs='*', default=[], metavar='S',
                        help='also evaluate after these seconds of training')
    parser.add_argument('--depth', action='store_true', help='use the depth images')
    parser.add_argument('--scale', type=float, default=1.0,
                        help='metres per unit of a transforms.json (1)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='a setting of the mapper; may be given several times')
    parser.add_argument('--views', default='views.png', help='picture to write (views.png)')
    return parser.parse_args()


def configured(assignments: Sequence[str]) -> Config:
    """Return the Config with settings from texts NAME=VALUE.

    Raises ValueError for a wrong name or value.
    """
    kinds = {name: type(value) for name, _, value in flatten(Config())}
    values = dict(SETTINGS)
    for name, _, text in (assignment.partition('=') for assignment in assignments):
        values[name] = _value(kinds.get(name, str), text)
    return replace(Config(), values)


def _value(kind: type, text: str) -> object:
    if kind is not bool:
        return kind(text)
    if text not in BOOLEANS:
        raise ValueError(f"'{text}' is neither true nor false")
    return BOOLEANS[text]


def add_frames(mapper: Mapper, frames: FrameFolder, with_depth: bool) -> list[Frame]:
    """Add the readable frames to a mapper, and return those that are held out.

    Raises ValueError if there is none to add.
    """
    held_out = []
    for index, frame in frames.readable(range(len(frames))):
        if holdout(index):
            held_out.append(frame)
        else:
            mapper.add(frame.image, frame.camera, frame.T_world_camera,
                       frame.depth if with_depth else None)
    if not mapper.keyframe_count:
        raise ValueError('there is no image to train on; the first of eight is held out')
    return held_out


def evaluate(
    mapper: Mapper, frames: Sequence[Frame],
) -> tuple[list[LabelledView], str]:  # fmt: skip
    """Return held-out frames with their rendered views, and a line with the figures."""
    views = [(frame, mapper.render(frame.camera, frame.T_world_camera)) for frame in frames]
    quality = [psnr(view.color, frame.image) for frame, view in views]
    if not views:
        return [], 'no held-out view'
    line = f'PSNR {np.mean(quality):.2f} dB, mean of {len(views)} held-out views'
    errors = [depth_errors(view.depth, frame.depth)
              for frame, view in views if frame.depth is not None]
    if errors:
        line += f', depth error {100 * np.concatenate(errors).mean():.1f} cm mean'
    rows = [(frame, view.color, view.depth, f'{value:.1f} dB')
            for (frame, view), value in zip(views, quality)]
    return rows, line


def main() -> int:
    """Run it; return the exit status."""
    options = parse_options()
    try:
        config = configured(options.set)
        frames = load_folder(options.path, scale=options.scale)
    except (ValueError, OSError) as error:
        print(f'map_folder: {error}', file=sys.stderr)
        return 1
    mapper = Mapper(config)
    try:
        held_out = add_frames(mapper, frames, options.depth)
    except ValueError as error:
        print(f'map_folder: {error}', file=sys.stderr)
        return 1
    print(f'{mapper.keyframe_count} keyframes, backend {mapper.backend_name}')
    mapper.step()  # compiles
    trained = 0.0
    for target in sorted({*options.report, options.seconds}):
        begin = time.monotonic()
        while trained + time.monotonic() - begin < target:
            mapper.step()
        trained += time.monotonic() - begin
        rows, line = evaluate(mapper, held_out)
        print(f'{trained:.0f} s, {mapper.steps} steps: {line}', flush=True)
    if rows:
        save(options.views, draw_views(
            rows[::max(1, len(rows) // 4)][:4], f'{trained:.0f} s of training: held-out views'))
    try:
        states, origin, voxel_size = load_reference(options.path)
    except FileNotFoundError:
        return 0
    grid = mapper.voxels()
    for name, fraction in {
            **points_agreement(mapper.points()[0], states, origin, voxel_size),
            **grid_agreement(grid.states, grid.origin, voxel_size, states, origin)}.items():
        print(f'{name.replace("_", " ")}: {100 * fraction:.1f} %')
    return 0


if __name__ == '__main__':
    sys.exit(main())

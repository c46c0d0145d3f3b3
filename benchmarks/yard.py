"""Maps of random buildings from imperfect sensors, beside OctoMap and a TSDF.

python benchmarks/yard.py --dev             the scenes that rules are developed with
python benchmarks/yard.py --reported        the scenes that are only reported
python benchmarks/yard.py --seeds 1 5 --no-drives --exact --pictures /tmp/yard
"""
import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import drives
import maps
import numpy as np
import pictures
from agreement import agreement, percentage
from environments import interpreter
from ground_truth import BAND
from report import Table
from yard_peers import DRIVEN, MARGINS, drive_figures, peer_drives, peers, plan_drives
from yard_scenes import (
    DEVELOPED,
    REPORTED,
    SCENES,
    Recorded,
    YardScene,
    base_poses,
    load_yard,
    scene_key,
)

from instant_nerf_ros.data.metrics import UNKNOWN
from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.arrays import Pose

TRAINED_STEPS = 30  # after each image, of the map that is trained
FIGURES: dict[str, Callable] = {  # and which is the worst of several scenes
    'occupied found, within a voxel [%]': min,
    'occupied correct, within a voxel [%]': min,
    'occupied: IoU [%]': min,
    'free that is occupied [%]': max,
    'free: recall [%]': min,
    'free that is occupied, 2D [%]': max,
    'free: recall, 2D [%]': min,
    'known though never seen [voxels]': max,
    'holes known [%]': min,
    'holes: free that is occupied [%]': max,
    'time [s]': max,
}


def measure(options):
    """Return the tables of the scenes that are only reported."""
    return tables(list(REPORTED), True, False, None)


def tables(scenes, with_drives, exact, folder):
    """Return a table for each scene, and one with median and worst of all."""
    python = interpreter('.maps-venv', maps.TOOLS)
    columns, result = {}, []
    for scene in scenes:
        begin = time.monotonic()
        recorded = load_yard(scene, exact)
        name = scene_key(scene, exact)
        results = peers(name, recorded, python)
        loaded = time.monotonic()
        ours = [our_result(recorded), our_result(recorded, base_poses(scene, exact)),
                our_result(recorded, steps=TRAINED_STEPS)]
        results = [*ours, *results]
        figures = {each.title: scene_figures(each, recorded) for each in results}
        driven = {}
        if with_drives:
            space = drives.ConfigurationSpace(recorded.truth.drivable, recorded.truth, 0.0)
            driven = {each.title: plan_drives(each, space, recorded, python)
                      for each in ours}
            driven |= peer_drives(name, results[len(ours):], space, recorded, python)
            for title, on_map in driven.items():
                figures[title] |= drive_figures(on_map, space, recorded.truth)
        if folder:
            _draw(results, recorded, driven, Path(folder))
        table = Table([_title(scene, recorded), *figures], [
            [figure, *(column[figure] for column in figures.values())]
            for figure in figures['ours']])
        print(f'{table}\n{loaded - begin:.0f} s to load, {time.monotonic() - loaded:.0f} s\n',
              flush=True)
        result.append(table)
        for title, column in figures.items():
            columns.setdefault(title, []).append(column)
    return [*result, _summary(columns)]


def our_result(
    recorded: Recorded, base: Sequence[tuple[int, Pose]] = (), steps: int = 0,
) -> maps.Result:  # fmt: skip
    """Return the map of our mapper with its defaults.

    base: stamps [ns] and poses of the robot's base, whose body then counts as well; steps: of
    training after each image.
    """
    body = {'body.radius': drives.RADIUS, 'body.height': BAND[1]} if base else {}
    mapper, begin, passed = Mapper(replace(Config(), body)), time.monotonic(), 0
    for frame in recorded.frames:
        mapper.add(frame.image, frame.camera, frame.T_world_camera, frame.depth)
        while passed < len(base) and base[passed][0] <= frame.stamp:
            mapper.add_body_pose(base[passed][1])
            passed += 1
        for _ in range(steps):
            mapper.step()
    title = f'ours{", with the body" if base else ""}{", trained" if steps else ""}'
    return maps.mapped_result(title, mapper, recorded.truth, time.monotonic() - begin)


def scene_figures(result: maps.Result, recorded: Recorded) -> dict[str, float | None]:
    """Return the figures of a map."""
    truth = recorded.truth
    space, plane = agreement(result.states, truth.states), agreement(result.cells, truth.map)
    hidden = agreement(result.states, recorded.hidden)
    in_holes = recorded.hidden != UNKNOWN
    known = (result.states != UNKNOWN)
    figures = {name: space[name] for name in FIGURES if name in space}
    return {name: figures.get(name) for name in FIGURES} | {
        'free that is occupied, 2D [%]': plane['free that is occupied [%]'],
        'free: recall, 2D [%]': plane['free: recall [%]'],
        'known though never seen [voxels]': int((known & ~recorded.seen).sum()),
        'holes known [%]': percentage((known & in_holes).sum(), in_holes.sum()),
        'holes: free that is occupied [%]': hidden['free that is occupied [%]'],
        'time [s]': result.seconds,
    }


def _title(scene: YardScene, recorded: Recorded) -> str:
    return (f'{scene.seed}: {scene.kind}, contrast {scene.contrast:g}, {scene.far:g} m, camera at '
            f'{scene.height:g} m, {scene.pitch:g} deg{", walker" if scene.walker else ""}, '
            f'{len(recorded.frames)} images, {100 * recorded.holes:.0f} % holes')


def _summary(columns) -> Table:
    """Return the table of median and worst of all scenes."""
    worst = FIGURES | {'parts of the free space': max} | {
        f'{100 * margin:g} cm: {name}': function for margin in MARGINS
        for name, function in DRIVEN.items()}
    names = [name for name in worst if name in next(iter(columns.values()))[0]]
    rows = []
    for name in names:
        row = [name]
        for column in columns.values():
            values = [figures[name] for figures in column if figures[name] is not None]
            row += [float(np.median(values)), float(worst[name](values))] if values else [
                None, None]
        rows.append(row)
    return Table(['all scenes', *(f'{title}, {what}' for title in columns
                                  for what in ('median', 'worst'))], rows)


def _draw(results, recorded, driven, folder):
    """Draw the maps beside the truth, with the drives that were planned without a margin."""
    truth, name = recorded.truth, f'{recorded.scene.seed}'
    panels = [('truth', truth.drivable, [], [])]
    for result in results:
        paths = driven[result.title].paths[0.0] if driven else []
        found = [path for path in paths if path is not None]
        collisions = [drives.collides(truth.among_boxes(path), truth.boxes) for path in found]
        panels.append((result.title, result.cells, found, collisions))
    folder.mkdir(parents=True, exist_ok=True)
    pictures.save(folder / f'{name}_maps.png', pictures.plans(
        f'Scene {name} from above', panels, truth.origin[:2], truth.voxel_size))
    pictures.save(folder / f'{name}_voxels.png', pictures.spaces(
        f'Scene {name} in voxels', [('truth', truth.states), *(
            (result.title, result.states) for result in results)], truth.voxel_size))


def main():
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, nargs='+', choices=SCENES, metavar='SEED', default=[])
    parser.add_argument('--dev', action='store_true', help='all scenes that are developed with')
    parser.add_argument('--reported', action='store_true', help='all that are only reported')
    parser.add_argument('--exact', action='store_true', help='with exact sensors')
    parser.add_argument('--no-drives', action='store_true', help='plan no drives, to save time')
    parser.add_argument('--pictures', metavar='FOLDER', help='write pictures of all maps there')
    options = parser.parse_args()
    scenes = [SCENES[seed] for seed in options.seeds]
    scenes += DEVELOPED * options.dev + REPORTED * options.reported
    if not scenes:
        parser.error('choose scenes: --dev, --reported or --seeds')
    print(tables(scenes, not options.no_drives, options.exact, options.pictures)[-1])
    return 0


if __name__ == '__main__':
    sys.exit(main())

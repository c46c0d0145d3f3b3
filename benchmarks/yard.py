"""Maps of random buildings from imperfect sensors, beside OctoMap and a TSDF.

python benchmarks/yard.py --dev             the scenes that rules are developed with
python benchmarks/yard.py --reported        the scenes that are only reported
python benchmarks/yard.py --seeds 1 5 --no-drives --exact --pictures /tmp/yard
"""
import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import drives
import maps
import numpy as np
import pictures
from agreement import agreement, percentage
from environments import interpreter
from report import Table
from yard_mapper import our_result
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


def _from_depth(recorded, exact, space, python):
    """Return our maps from depth, OctoMap's and a TSDF's, and what was Driven on them."""
    scene, name = recorded.scene, scene_key(recorded.scene, exact)
    ours = [our_result(recorded), our_result(recorded, base_poses(scene, exact)),
            our_result(recorded, steps=TRAINED_STEPS)]
    others = peers(name, recorded, python)
    if space is None:
        return ours + others, {}
    driven = {each.title: plan_drives(each, space, recorded, python) for each in ours}
    return ours + others, driven | peer_drives(name, others, space, recorded, python)


def tables(scenes, with_drives, exact, folder, load=load_yard, mapped=_from_depth):
    """Return a table for each scene, and one with median and worst of all.

    load: returns what is Recorded of a scene; mapped: returns its maps, and what was Driven on
    them by their titles.
    """
    python = interpreter('.maps-venv', maps.TOOLS)
    columns, result = {}, []
    for scene in scenes:
        begin = time.monotonic()
        recorded = load(scene, exact)
        loaded = time.monotonic()
        space = drives.ConfigurationSpace(
            recorded.truth.drivable, recorded.truth, 0.0) if with_drives else None
        results, driven = mapped(recorded, exact, space, python)
        figures = {each.title: scene_figures(each, recorded) for each in results}
        for title, on_map in driven.items():
            figures[title] |= drive_figures(on_map, space, recorded.truth)
        if folder:
            _draw(results, recorded, driven, Path(folder))
        table = Table([_title(scene, recorded), *figures], [
            [figure, *(column[figure] for column in figures.values())]
            for figure in next(iter(figures.values()))])
        print(f'{table}\n{loaded - begin:.0f} s to load, {time.monotonic() - loaded:.0f} s\n',
              flush=True)
        result.append(table)
        for title, column in figures.items():
            columns.setdefault(title, []).append(column)
    return [*result, _summary(columns)]


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


def main(description=__doc__, load=load_yard, mapped=_from_depth):
    """Run it, with functions of `tables`; return the exit status."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    print(tables(
        scenes, not options.no_drives, options.exact, options.pictures, load, mapped)[-1])
    return 0


if __name__ == '__main__':
    sys.exit(main())

"""Maps for a planner: their agreement with the ground truth, and drives planned on them."""
import dataclasses
import time

import drives
import numpy as np
import pictures
from agreement import agreement, aligned, distances
from datasets import flat_base, load, load_ground_truth
from environments import interpreter, run_script
from ground_truth import BAND, never_seen
from numpy.typing import NDArray
from quality import drive
from report import ROOT, Table

from instant_nerf_ros.data.metrics import UNKNOWN, has_depth, project

EXTRA_TIME = 20.0  # s of training after the last image
LATER = f'{EXTRA_TIME:.0f} s later'
TOOLS = 'numpy', 'ompl==2.0.1', 'octomap-python==1.10.0.0'


@dataclasses.dataclass(frozen=True)
class Result:
    """A map of one kind, on the cells of the ground truth."""

    title: str
    states: NDArray[np.int8]  # (nx, ny, nz)
    cells: NDArray[np.int8]  # (nx, ny)
    seconds: float  # since the first image, or of computing
    steps: int | None  # of training


def measure_kitchen(options):
    """Return the tables of the kitchen."""
    return _measure('kitchen', pictured=not options.dry)


def measure_flat(options):
    """Return the tables of the simulated flat."""
    return _measure('flat', pictured=not options.dry)


def _measure(name, pictured):
    scene = load(name, with_depth=True)
    if scene is None:
        return []
    # Views are not evaluated here, so no image is held out.
    frames = sorted(scene.train + scene.held_out, key=lambda frame: frame.stamp)
    scenes = [dataclasses.replace(scene, with_depth=with_depth, train=frames, held_out=[])
              for with_depth in (True, False)]
    if name == 'flat':
        scenes.append(dataclasses.replace(scenes[-1], base=flat_base()))
    python, truth = interpreter('.maps-venv', TOOLS), load_ground_truth(name)
    unseen = never_seen(truth, frames)
    results = [result for scene in scenes for result in _online(scene, truth)]
    results.append(octomap_result(frames, truth, python))
    driven, paths = drive_results(results, truth, python)
    if pictured:
        draw_maps(name, results, truth, paths)
    return [*agreement_tables(name, results, truth, unseen), driven]


def _online(scene, truth):
    """Yield the maps at the last image and EXTRA_TIME seconds later."""
    dataclasses.replace(scene, train=scene.train[:2]).trained()  # compiles
    mapper, seconds = drive(scene, seed=0)
    yield mapped_result(f'{scene.title}, last image', mapper, truth, seconds)
    begin = time.monotonic()
    while time.monotonic() - begin < EXTRA_TIME:
        mapper.step()
    yield mapped_result(f'{scene.title}, {LATER}', mapper, truth, seconds + EXTRA_TIME)


def mapped_result(title, mapper, truth, seconds):
    """Return the map of a mapper."""
    voxels, grid = mapper.voxels(), mapper.map()
    states = aligned(voxels.states, voxels.origin, (truth.states, truth.origin, truth.voxel_size))
    cells = aligned(grid.cells.T, grid.origin, (truth.map, truth.origin[:2], truth.voxel_size))
    return Result(title, states, cells, seconds, mapper.steps)


def octomap_result(frames, truth, python):
    """Return the map of OctoMap from the depth of the same frames."""
    clouds = []
    for frame in frames:
        rays = frame.camera.directions()[has_depth(frame.depth).ravel()]
        points = rays / rays[:, 2:] * frame.depth[has_depth(frame.depth)][:, None]
        T_world_camera = frame.T_world_camera
        clouds.append((T_world_camera[:3, 3],
                       points @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]))
    states, seconds = run_script(python, 'octomap_fusion.py', {
        'clouds': clouds, 'origin': truth.origin, 'shape': truth.states.shape,
        'size': truth.voxel_size})
    return Result('OctoMap, depth', states,
                  project(states, truth.origin, truth.voxel_size, *BAND).T, seconds, None)


def agreement_tables(name, results, truth, unseen):
    """Return the tables of agreement, with a column for each map."""
    space = [
        agreement(result.states, truth.states)
        | distances(result.states, truth.states, truth.voxel_size)
        | {'known though never seen [voxels]': int((result.states[unseen] != UNKNOWN).sum()),
           'time [s]': result.seconds, 'steps of training': result.steps}
        for result in results]
    tables = [('3D', space),
              ('2D', [agreement(result.cells, truth.map) for result in results])]
    if truth.solid is not truth.states:
        tables += [
            ('3D, all solids', [agreement(result.states, truth.solid) for result in results]),
            ('2D, all solids', [agreement(result.cells, truth.solid_map)
                                for result in results])]
    titles = [result.title for result in results]
    return [
        Table([f'{name}, {what}', *titles],
              [[figure, *(column[figure] for column in columns)] for figure in columns[0]])
        for what, columns in tables]


def drive_results(results, truth, python):
    """Return the table of drives, planned without and with a margin, and the paths without."""
    margins = truth.voxel_size / 2, 0.0
    spaces = [
        drives.ConfigurationSpace(truth.drivable, truth, margin) for margin in margins]
    pairs = spaces[-1].random_positions(2 * drives.PAIRS).reshape(drives.PAIRS, 2, 2)
    rows = []
    for margin, space in zip(margins, spaces):
        possible = space.plan(pairs, python)
        paths = [
            drives.ConfigurationSpace(result.cells, truth, margin).plan(pairs, python)
            for result in results]
        columns = [drives.evaluate(planned, possible, truth) for planned in paths]
        rows = [[result.title, 100 * margin, *figures.values()]
                for result, figures in zip(results, columns)] + rows
    table = Table([f'{drives.PAIRS} drives', 'margin [cm]', *columns[0]], rows)
    return table, [possible, *paths]


def draw_maps(name, results, truth, paths):
    """Draw the maps beside the ground truth, with the drives, and the voxels."""
    maps = [('truth', truth.drivable), *((result.title, result.cells) for result in results)]
    panels = []
    for (title, cells), of_map in zip(maps, paths):
        found = [path for path in of_map if path is not None]
        collisions = [
            drives.collides(truth.among_boxes(path), truth.boxes) for path in found]
        panels.append((title, cells, found, collisions))
    pictures.save(ROOT / 'docs' / 'images' / f'{name}_maps.png', pictures.plans(
        f'The {name} from above', panels, truth.origin[:2], truth.voxel_size))
    pictures.save(ROOT / 'docs' / 'images' / f'{name}_voxels.png', pictures.spaces(
        f'The {name} in voxels', [('truth', truth.states), *(
            (result.title, result.states) for result in results if LATER in result.title)],
        truth.voxel_size))

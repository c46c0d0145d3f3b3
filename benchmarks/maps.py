"""How far a planner can trust the maps: agreement with the truth, and paths driven through it."""
import dataclasses
import time

import drives
import numpy as np
import pictures
from agreement import agreement, aligned, distances
from datasets import load, load_truth
from environments import ask, interpreter
from quality import drive
from report import ROOT, Table
from truths import BAND, never_seen

from instant_nerf_ros.data.metrics import UNKNOWN, measured, project

SETTLE = 20.0  # s after the last image
SETTLED = f'{SETTLE:.0f} s later'
TOOLS = 'numpy', 'ompl==2.0.1', 'octomap-python==1.10.0.0'


@dataclasses.dataclass(frozen=True)
class Result:
    """A map of one kind, on the grid of the truth."""

    title: str
    states: np.ndarray  # (nx, ny, nz)
    plan: np.ndarray  # (nx, ny)
    seconds: float  # from the first image on, or of computing
    steps: int  # of training; None where nothing is trained


def measure_kitchen(options):
    """Return the tables of the kitchen."""
    return _measure('kitchen', sample_rays=not options.dry)


def measure_flat(options):
    """Return the tables of the simulated flat."""
    return _measure('flat', sample_rays=not options.dry)


def _measure(name, sample_rays):
    scene = load(name, with_depth=True)
    if scene is None:
        return []
    # Views are not judged here, so that no image is held out.
    frames = sorted(scene.train + scene.held_out, key=lambda frame: frame.stamp)
    scenes = [dataclasses.replace(scene, with_depth=with_depth, train=frames, held_out=[])
              for with_depth in (True, False)]
    python, truth = interpreter('.maps-venv', TOOLS), load_truth(name)
    unseen = never_seen(truth, frames)
    results = [result for scene in scenes for result in _online(scene, truth)]
    results.append(_octomap(frames, truth, python))
    driven, paths = _drive(results, truth, python)
    if sample_rays:
        _draw(name, results, truth, paths)
    return [*_tables(name, results, truth, unseen), driven]


def _online(scene, truth):
    """Yield the maps as the last image comes and SETTLE seconds later."""
    dataclasses.replace(scene, train=scene.train[:2]).trained()  # all is compiled then
    mapper, seconds = drive(scene, seed=0)
    yield _result(f'{scene.title}, last image', mapper, truth, seconds)
    begin = time.monotonic()
    while time.monotonic() - begin < SETTLE:
        mapper.step()
    yield _result(f'{scene.title}, {SETTLED}', mapper, truth, seconds + SETTLE)


def _result(title, mapper, truth, seconds):
    voxels, grid = mapper.voxels(), mapper.map()
    return Result(
        title, aligned(voxels.states, voxels.origin, (truth.states, truth.origin, truth.size)),
        aligned(grid.cells.T, grid.origin, (truth.plan, truth.origin[:2], truth.size)),
        seconds, mapper.steps)


def _octomap(frames, truth, python):
    """Return what OctoMap makes of the depth of the same frames."""
    clouds = []
    for frame in frames:
        rays = frame.camera.directions()[measured(frame.depth).ravel()]
        points = rays / rays[:, 2:] * frame.depth[measured(frame.depth)][:, None]
        T_world_camera = frame.T_world_camera
        clouds.append((T_world_camera[:3, 3],
                       points @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]))
    states, seconds = ask(python, 'octomap_fusion.py', {
        'clouds': clouds, 'origin': truth.origin, 'shape': truth.states.shape,
        'size': truth.size})
    return Result('OctoMap, depth', states,
                  project(states, truth.origin, truth.size, *BAND).T, seconds, None)


def _tables(name, results, truth, unseen):
    """Return the tables of agreement, with a column for each map."""
    space = [
        agreement(result.states, truth.states)
        | distances(result.states, truth.states, truth.size)
        | {'known though never seen [voxels]': int((result.states[unseen] != UNKNOWN).sum()),
           'time [s]': result.seconds, 'steps of training': result.steps}
        for result in results]
    tables = [('3D', space),
              ('2D', [agreement(result.plan, truth.plan) for result in results])]
    if truth.solid is not truth.states:
        tables += [
            ('3D, all solids', [agreement(result.states, truth.solid) for result in results]),
            ('2D, all solids', [agreement(result.plan, truth.solid_plan)
                                for result in results])]
    titles = [result.title for result in results]
    return [
        Table([f'{name}, {what}', *titles],
              [[figure, *(column[figure] for column in columns)] for figure in columns[0]])
        for what, columns in tables]


def _drive(results, truth, python):
    """Return the table of the drives, planned without and with a margin, and the former paths."""
    margins = truth.size / 2, 0.0
    rooms = [drives.Room(truth.ground, truth, margin) for margin in margins]
    ends = rooms[-1].places(2 * drives.PAIRS).reshape(drives.PAIRS, 2, 2)
    rows = []
    for margin, room in zip(margins, rooms):
        possible = room.paths(ends, python)
        paths = [drives.Room(result.plan, truth, margin).paths(ends, python)
                 for result in results]
        judged = [drives.judge(of_map, possible, truth.boxes) for of_map in paths]
        rows = [[result.title, 100 * margin, *figures.values()]
                for result, figures in zip(results, judged)] + rows
    table = Table([f'{drives.PAIRS} drives', 'margin [cm]', *judged[0]], rows)
    return table, [possible, *paths]


def _draw(name, results, truth, paths):
    """Draw the maps beside their truth, with the drives, and the voxels."""
    panels = [('truth', truth.ground), *((result.title, result.plan) for result in results)]
    shown = []
    for panel, of_map in zip(panels, paths):
        found = [path for path in of_map if path is not None]
        shown.append((*panel, found, [drives.collides(path, truth.boxes) for path in found]))
    pictures.save(ROOT / 'docs' / 'images' / f'{name}_maps.png', pictures.plans(
        f'The {name} from above', shown, truth.origin[:2], truth.size))
    pictures.save(ROOT / 'docs' / 'images' / f'{name}_voxels.png', pictures.spaces(
        f'The {name} in voxels', [('truth', truth.states), *(
            (result.title, result.states) for result in results if SETTLED in result.title)],
        truth.size))

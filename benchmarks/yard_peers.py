"""Drives on the maps of the yard, and the maps of OctoMap and of a TSDF, which are cached."""
import dataclasses
from pathlib import Path

import drives
import maps
import numpy as np
import tsdf_fusion
from cache import cached, key
from ground_truth import BAND, GroundTruth
from numpy.typing import NDArray
from yard_scenes import Recorded

from instant_nerf_ros.data.metrics import project

MARGINS = 0.025, 0.0  # m, with which drives are planned
SHORTEN = 0.02  # s, to shorten a path
DRIVEN = {'success [%]': min, 'collisions': max, 'deepest [cm]': max}  # and which is the worst
MIN_PART = 0.25  # m^2, of a part of the free space of the robot
HERE = Path(__file__).parent
MAPPED_BY = [HERE / name for name in ('yard_peers.py', 'octomap_fusion.py', 'tsdf_fusion.py')]
DRIVEN_BY = [HERE / name for name in ('drives.py', 'planner.py')]


@dataclasses.dataclass(frozen=True)
class Driven:
    """Drives on a map."""

    parts: int  # between which there is no way without a margin
    paths: dict[float, list[drives.PlannedPath]]  # by the margin


def peers(name: str, recorded: Recorded, python: Path) -> list[maps.Result]:
    """Return the maps of OctoMap and of a TSDF; name: the key of the scene."""
    return cached(key(f'{name}-peers', None, MAPPED_BY), lambda: peer_results(recorded, python))


def peer_drives(
    name: str, results: list[maps.Result], truth: drives.ConfigurationSpace, recorded: Recorded,
    python: Path,
) -> dict[str, Driven]:  # fmt: skip
    """Return what was Driven on these maps, by their titles."""
    return cached(key(f'{name}-drives', None, MAPPED_BY + DRIVEN_BY), lambda: {
        result.title: plan_drives(result, truth, recorded, python) for result in results})


def peer_results(recorded: Recorded, python: Path) -> list[maps.Result]:
    """Return the maps of OctoMap and of a TSDF from the same frames."""
    truth = recorded.truth
    states, seconds = tsdf_fusion.fuse(
        recorded.frames, truth.origin, truth.states.shape, truth.voxel_size)
    cells = project(states, truth.origin, truth.voxel_size, *BAND).T
    return [maps.octomap_result(recorded.frames, truth, python),
            maps.Result('TSDF', states, cells, seconds, None)]


def plan_drives(
    result: maps.Result, truth: drives.ConfigurationSpace, recorded: Recorded, python: Path,
) -> Driven:  # fmt: skip
    """Return the drives on a map between random positions that fit on the truth, by margin."""
    pairs = random_pairs(truth)
    space = drives.ConfigurationSpace(result.cells, recorded.truth, 0.0)
    parts = int((space.parts() > MIN_PART).sum())
    return Driven(parts, {margin: space.with_margin(margin).plan(pairs, python, SHORTEN)
                          for margin in MARGINS})


def drive_figures(
    driven: Driven, space: drives.ConfigurationSpace, truth: GroundTruth,
) -> dict[str, float | None]:  # fmt: skip
    """Return the figures of drives, with each margin; space: where the robot truly fits."""
    pairs, figures = random_pairs(space), {'parts of the free space': driven.parts}
    for margin, paths in driven.paths.items():
        allowed = space.with_margin(margin).connected(pairs)
        possible = [pair if way else None for pair, way in zip(pairs, allowed)]
        evaluated = drives.evaluate(paths, possible, truth)
        figures |= {f'{100 * margin:g} cm: {name}': evaluated[name] for name in DRIVEN}
    return figures


def random_pairs(space: drives.ConfigurationSpace) -> NDArray[np.float64]:
    """Return starts and goals (PAIRS, 2, 2) [m] where the robot truly fits."""
    return space.random_positions(2 * drives.PAIRS).reshape(drives.PAIRS, 2, 2)

"""The cost of maps: the time of an update between training steps, and memory of a long drive."""
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from datasets import load_rgbd
from numpy.typing import NDArray
from report import Table

from instant_nerf_ros.nerf import Config, Mapper, backends
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.occupancy.occupancy_grid import GRIDS, OccupancyGrid

UPDATES = 10
STEPS = 3  # of training between two updates, which evict the map from the caches
OBSTACLES = 60  # in a hall as large as the grid
LEG = 30.0  # m, of a drive along the sides of a square
SPACING = 0.2  # m, between depth images
RAYS = 8192  # of an image


def measure(_):
    """Return the table of times and memory."""
    scene = load_rgbd()
    mapper = scene.trained()
    fill(mapper.occupancy)
    mapper.map()
    rows = [[name, *timed(mapper, work)] for name, work in (
        ('map', mapper.map), ('points', mapper.points), ('octree', mapper.octree),
        ('ESDF of a layer', lambda: mapper.esdf(0.3)))]
    size, memory = drive()
    return [
        Table([f'of a grid of {" x ".join(map(str, mapper.occupancy.shape))} voxels, all known',
               'median [ms]', 'longest [ms]'], rows),
        Table([f'a drive of {4 * LEG:.0f} m', 'MB'], [
            ['all voxels of the grid', size], ['resident memory', memory]])]


def timed(mapper: Mapper, work: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the longest time of some work between training steps [ms]."""
    times = []
    for _ in range(UPDATES):
        for _ in range(STEPS):
            mapper.step()
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times), max(times)


def fill(occupancy: OccupancyGrid) -> None:
    """Make a whole grid known: a hall with a floor and obstacles."""
    random = np.random.default_rng(0)
    hits, misses = occupancy.hits.numpy(), occupancy.misses.numpy()
    floor = round(-occupancy.corner[2] / occupancy.voxel_size - 0.5)
    hits[:], misses[:] = 0, 0
    hits[:, :, floor], misses[:, :, floor + 1 :] = 8, 8
    for x, y, height in zip(*random.integers((0, 0, 10), (380, 380, 50), (OBSTACLES, 3)).T):
        obstacle = np.s_[x : x + 12, y : y + 12, floor : floor + height]
        hits[obstacle], misses[obstacle] = 8, 0
    occupancy.content.add_votes(occupancy.first, occupancy.first + occupancy.shape)


def drive() -> tuple[float, float]:
    """Return the size of the grid after a drive through corridors, and its memory [MB]."""
    occupancy = OccupancyGrid(Config().occupancy, np.zeros(3), backends.select('cpu'))
    before, position, keyframe = resident(), np.array([0.0, 0.0, 0.5]), 0
    for yaw in (0.0, np.pi / 2) * 2:
        for _ in np.arange(0, LEG, SPACING):
            position += [SPACING * np.cos(yaw), SPACING * np.sin(yaw), 0.0]
            integrate_corridor(occupancy, position, yaw, keyframe)
            keyframe += 1
    per_voxel = sum(getattr(occupancy, name)[0, 0, 0].numpy().nbytes for name in GRIDS)
    return np.prod(occupancy.shape) * per_voxel / 2**20, resident() - before


def integrate_corridor(
    occupancy: OccupancyGrid, position: NDArray[np.float64], yaw: float, keyframe: int,
) -> None:  # fmt: skip
    """Integrate a depth image of a corridor, 4 m wide and 2.5 m high, up to 4 m away."""
    random = np.random.default_rng(keyframe)
    azimuths, elevations = yaw + random.uniform(-0.5, 0.5, RAYS), random.uniform(-0.35, 0.35, RAYS)
    directions = np.stack([
        np.cos(azimuths) * np.cos(elevations), np.sin(azimuths) * np.cos(elevations),
        np.sin(elevations)], axis=-1)
    lateral = directions @ [-np.sin(yaw), np.cos(yaw), 0.0]
    with np.errstate(divide='ignore'):
        distances = np.minimum.reduce([
            2.0 / np.abs(lateral), np.where(directions[:, 2] < 0, -position[2], 2.5 - position[2])
            / directions[:, 2], np.full(RAYS, 4.0)])
    rays = Rays(*(torch.from_numpy(values.astype(np.float32)) for values in (
        np.broadcast_to(position, directions.shape), directions, distances)),
        torch.zeros(RAYS, 3, dtype=torch.uint8))
    occupancy.grow_to(position)
    lengths = rays.surfaces
    occupancy.integrate_rays(rays, lengths, (lengths - 0.1).clamp(min=0), True, keyframe)
    for share, density in ((torch.rand(RAYS), 0.0), (torch.ones(RAYS), 30.0)):
        occupancy.update_density(
            rays.origins + (share * lengths)[:, None] * rays.directions,
            torch.full((RAYS,), density))


def resident() -> float:
    """Return the resident memory of this process [MB]."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096 / 2**20

"""What a map costs: time of an update while the engine trains, and memory of a long drive."""
import statistics
import time

import numpy as np
import torch
from datasets import load_rgbd
from report import Table

from instant_nerf_ros.nerf import Config, backends
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.occupancy.occupancy_grid import GRIDS, Occupancy

UPDATES = 10
BUSY = 3  # steps of training between two updates: the caches are those of the engine
BLOCKS = 60  # obstacles in a hall as large as the grid
LEG = 30.0  # m, of a way of four legs that goes up like stairs
SPACING = 0.2  # m, between its depth images
RAYS = 8192  # of an image


def measure(_):
    """Return the table of times and memory."""
    scene = load_rgbd()
    mapper = scene.trained()
    fill(mapper.occupancy)
    mapper.map()
    rows = [[name, *timed(mapper, work)] for name, work in (
        ('map', mapper.map), ('points', mapper.points), ('octree', mapper.octree),
        ('distances of a layer', lambda: mapper.esdf(0.3)))]
    box, taken = drive()
    return [
        Table([f'of a grid of {" x ".join(map(str, mapper.occupancy.shape))} voxels, all known',
               'median [ms]', 'longest [ms]'], rows),
        Table([f'a drive of {4 * LEG:.0f} m', 'MB'], [
            ['all voxels of the grid', box], ['resident memory that it takes', taken]])]


def timed(mapper, work):
    """Return the median and the longest time of some work between steps of training [ms]."""
    times = []
    for _ in range(UPDATES):
        for _ in range(BUSY):
            mapper.step()
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times), max(times)


def fill(occupancy):
    """Make all of a grid known: a hall with a floor, and blocks that stand in it."""
    random = np.random.default_rng(0)
    hits, misses = occupancy.hits.numpy(), occupancy.misses.numpy()
    floor = round(-occupancy.corner[2] / occupancy.voxel_size - 0.5)
    hits[:], misses[:] = 0, 0
    hits[:, :, floor], misses[:, :, floor + 1 :] = 8, 8
    for x, y, height in zip(*random.integers((0, 0, 10), (380, 380, 50), (BLOCKS, 3)).T):
        block = np.s_[x : x + 12, y : y + 12, floor : floor + height]
        hits[block], misses[block] = 8, 0
    first = torch.from_numpy(occupancy.first.astype(float))
    occupancy.low, occupancy.high = first, first + torch.tensor(occupancy.shape)


def drive():
    """Return the size of the grid after a drive through corridors, and the memory taken [MB]."""
    occupancy = Occupancy(Config().occupancy, np.zeros(3), backends.select('cpu'))
    before, position, keyframe = resident(), np.array([0.0, 0.0, 0.5]), 0
    for yaw in (0.0, np.pi / 2) * 2:
        for _ in np.arange(0, LEG, SPACING):
            position += [SPACING * np.cos(yaw), SPACING * np.sin(yaw), 0.0]
            see(occupancy, position, yaw, keyframe)
            keyframe += 1
    per_voxel = sum(
        getattr(occupancy, name)[0, 0, 0].numpy().nbytes
        for name in GRIDS)
    return np.prod(occupancy.shape) * per_voxel / 2**20, resident() - before


def see(occupancy, position, yaw, keyframe):
    """Tell a grid of a depth image in a corridor, 4 m wide and 2.5 m high, seen up to 4 m."""
    random = np.random.default_rng(keyframe)
    angles, slopes = yaw + random.uniform(-0.5, 0.5, RAYS), random.uniform(-0.35, 0.35, RAYS)
    directions = np.stack([
        np.cos(angles) * np.cos(slopes), np.sin(angles) * np.cos(slopes), np.sin(slopes)], axis=-1)
    aside = directions @ [-np.sin(yaw), np.cos(yaw), 0.0]
    with np.errstate(divide='ignore'):
        distances = np.minimum.reduce([
            2.0 / np.abs(aside), np.where(directions[:, 2] < 0, -position[2], 2.5 - position[2])
            / directions[:, 2], np.full(RAYS, 4.0)])
    rays = Rays(*(torch.from_numpy(values.astype(np.float32)) for values in (
        np.broadcast_to(position, directions.shape), directions, distances)),
        torch.zeros(RAYS, 3, dtype=torch.uint8))
    occupancy.include(position)
    ends = rays.surfaces
    occupancy.integrate_rays(rays, ends, (ends - 0.1).clamp(min=0), True, keyframe)
    for share, density in ((torch.rand(RAYS), 0.0), (torch.ones(RAYS), 30.0)):
        occupancy.update_density(
            rays.origins + (share * ends)[:, None] * rays.directions,
            torch.full((RAYS,), density))


def resident():
    """Return the resident memory of this process [MB]."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096 / 2**20

"""Calls of the functions of a backend with small random inputs: the same on each backend."""
import numpy as np
import torch
from randomness import floats
from scenes import poses
from twins import random_rays

from instant_nerf_ros.nerf import Camera, Config, replace
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, SOLID, TILES, UNKNOWN
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

CONFIG = replace(Config(), {
    'field.levels': 3, 'field.log2_table': 8, 'field.hidden': 16, 'field.finest_cell': 0.25,
    'occupancy.voxel_size': 0.25, 'occupancy.length': 6.0, 'occupancy.width': 5.0,
    'occupancy.height': 4.0, 'sampling.near': 0.2, 'sampling.min_step': 0.2,
    'sampling.far': 3.0})


class Scene:
    """A field, a grid, rays and keyframes on a backend, with the same content on all of them."""

    def __init__(self, backend, seed):
        self.backend, self.random = backend, np.random.default_rng(seed)
        self.field = RadianceField(CONFIG.field, backend)
        self.state = {name: 0.4 * floats(self.random.normal(size=value.shape))
                      for name, value in self.field.state().items()}  # fmt: skip
        self.field.load(self.state)
        self.grid = OccupancyGrid(CONFIG.occupancy, [0.0, 0.0, 1.0], backend)
        self.grid.density_state.fill_(SOLID)
        self.rays = random_rays(self.random, 60, 0.5).to(backend.DEVICE)
        self.keyframes = Keyframes(CONFIG.keyframes)

    def tensor(self, *shape):
        """Return random numbers in [0, 1)."""
        return floats(self.random.random(shape)).to(self.backend.DEVICE)

    def train_step(self):
        """Return the result of a step, whose gradients are in the field."""
        count = len(self.rays)
        return self.backend.train_step(
            self.field, self.rays, self.grid, CONFIG, self.tensor(count), self.tensor(count, 3),
            1.0, 4096)


def geometry_network(scene):
    return [scene.field.geometry(scene.tensor(50, 3))]


def color_network(scene):
    return [np.array(value.shape) for _, value in scene.field.color.named_parameters()]


def adam(scene):
    optimizer = scene.backend.Adam(
        scene.field.geometry, scene.field.color, 0.9, 0.99, 1e-15, 1e-6)
    scene.train_step()
    optimizer.step(0.01)
    return [value.cpu() - scene.state[name] for name, value in scene.field.state().items()]


def train_step(scene):
    result = scene.train_step()
    return [np.array([*result.terms.values()]), result.colors, result.distances, result.opacities,
            result.medians, np.array(result.densities.shape)]


def render_rays(scene):
    return scene.backend.render_rays(scene.field, scene.rays, scene.grid, CONFIG.sampling, 1.0)


def add_keyframe(scene, width, height):
    image = scene.random.integers(1, 256, (height, width, 3), dtype=np.uint8)
    camera = Camera(width, height, 9.0, 9.0, width / 2 - 0.5, height / 2 - 0.5)
    scene.keyframes.add(image, camera, poses(5)[1], scene.random.uniform(1, 3, (height, width)))


def sample_rays(scene):
    add_keyframe(scene, 1, 1)  # so that chance has no choice
    rays, sources = scene.backend.sample_rays(scene.keyframes, 20, scene.random, 0.5)
    return [*rays.tensors(), sources.keyframes, sources.tiles, sources.pixels]


def update_error_map(scene):
    add_keyframe(scene, 16, 12)  # each pixel is a tile
    rays, sources = scene.backend.sample_rays(scene.keyframes, 12 * TILES, scene.random, 0.0)
    colors = rays.pixels / 255
    wrong = torch.as_tensor(sources.tiles).mode().values
    colors[torch.as_tensor(sources.tiles) == wrong] += 1.0  # the only error
    for _ in range(8):
        scene.backend.update_error_map(
            scene.keyframes, sources, rays.pixels, colors, torch.ones_like(colors[:, 0]))
    _, sources = scene.backend.sample_rays(scene.keyframes, 1000, scene.random, 1.0)
    # Nearly half of the rays are sampled there, about as many as by the least error elsewhere.
    share = (torch.as_tensor(sources.tiles) == wrong).float().mean()
    return [abs(share - 0.45) < 0.2]


def update_density(scene):
    cells = np.argwhere(np.ones(scene.grid.shape))
    cells = scene.random.permutation(cells)[:300]
    positions = scene.grid.origin + scene.grid.voxel_size * (
        torch.from_numpy(cells).to(scene.backend.DEVICE) + 0.5)
    scene.backend.update_density(
        positions.float(), scene.tensor(300), scene.grid.density, scene.grid.density_state,
        scene.grid.origin, scene.grid.voxel_size, 0.9, 0.4)
    return [scene.grid.density, scene.grid.density_state]


def integrate_rays(scene):
    scene.rays.pixels[:] = 99  # of several rays that end in a voxel, any one may give the color
    scene.grid.integrate_rays(
        scene.rays, scene.rays.surfaces, 2 * scene.tensor(len(scene.rays)), True, 7)
    names = 'hits', 'misses', 'last_keyframe', 'colors', 'density_state'
    return [getattr(scene.grid, name) for name in names]


def votes(scene):
    return scene.random.integers(0, 16, (2, 9, 8, 7), dtype=np.uint8)


def states(scene):
    hits, misses = torch.from_numpy(votes(scene)).to(scene.backend.DEVICE)
    return [scene.backend.states(hits, misses)]


def random_states(scene):
    return scene.random.choice(np.array([FREE, OCCUPIED, UNKNOWN], np.int8), (9, 8, 7))


def survey_columns(scene):
    return scene.backend.survey_columns(random_states(scene), 1)


def classify_columns(scene):
    return scene.backend.classify_columns(
        random_states(scene), *votes(scene), scene.random.integers(0, 3, (9, 8)), 1, 4, 0.4, 0.8)


def plane_costs(scene):
    image, *others = scene.random.uniform(0, 255, (3, 12, 16)).astype(np.float32)
    affine = np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
    shift = np.array([[2.2, 0.3, 0.0], [-2.2, 0.3, 0.0]], np.float32)
    depths = np.linspace(0, 2, 5, dtype=np.float32)
    return [scene.backend.plane_costs(image, np.array(others), affine, shift, depths, 1)]


def smooth_costs(scene):
    costs = scene.random.uniform(0, 60, (12, 16, 5)).astype(np.float32)
    gray = scene.random.integers(0, 256, (12, 16), dtype=np.uint8)
    return [scene.backend.smooth_costs(costs, gray, 8.0, 100.0, 10.0)]


def best_planes(scene):
    return scene.backend.best_planes(scene.random.uniform(0, 60, (12, 16, 12)).astype(np.float32))


def epipolar_gradients(scene):
    image, other = scene.random.uniform(0, 255, (2, 12, 16)).astype(np.float32)
    shift = np.array([2.2, 0.3, 0.0], np.float32)
    depths = np.full((12, 16), 0.7, np.float32)
    return scene.backend.epipolar_gradients(
        image, other, np.eye(3, dtype=np.float32), shift, depths)


def agreement(scene):
    values = scene.random.normal(size=(5, 12, 16)).astype(np.float32)
    return scene.backend.agreement(values, np.ones_like(values), 1.5)


def find_surfaces(scene):
    directions = Camera(16, 12, 12.0, 12.0, 7.5, 5.5).directions().reshape(12, 16, 3)
    distances = scene.random.uniform(1.0, 1.1, (12, 16)).astype(np.float32)
    distances[3:5, 4:7] = 0
    ends, clear, weights, found = scene.backend.find_surfaces(
        distances, directions.astype(np.float32), np.array([9.5, 9.1, 9.8]), 0.25)
    return [ends, clear, weights, found.astype(np.uint8)]


def run_concurrently(scene):
    scene.backend.synchronize()
    return [np.array(scene.backend.run_concurrently(lambda: 1, lambda: 2))]


CASES = {
    'GeometryNetwork': geometry_network, 'ColorNetwork': color_network, 'Adam': adam,
    **{case.__name__: case for case in (
        train_step, render_rays, sample_rays, update_error_map, update_density, integrate_rays,
        states, survey_columns, classify_columns, plane_costs, smooth_costs, best_planes,
        epipolar_gradients, agreement, find_surfaces, run_concurrently)}}

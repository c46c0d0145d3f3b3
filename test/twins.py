"""Two fields with the same parameters, on the CPU backend and on the reference."""
import numpy as np
import torch
from randomness import floats, unit

from instant_nerf_ros.nerf import Config, backends, replace
from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import VISIBLE_SAMPLES
from instant_nerf_ros.nerf.capture.rays import NO_COLOR, Rays
from instant_nerf_ros.nerf.constants import FEATURES, SOLID
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

CONFIG = replace(Config(), {
    'field.levels': 5, 'field.log2_table': 10, 'field.hidden': 24, 'field.finest_cell': 0.1,
    'occupancy.voxel_size': 0.2, 'occupancy.length': 6.0, 'occupancy.width': 5.0,
    'occupancy.height': 4.0, 'sampling.near': 0.1, 'sampling.far': 5.0, 'loss.depth_weight': 0.7,
    'loss.free_space_weight': 0.9, 'loss.distortion_weight': 0.8, 'loss.opacity_weight': 0.5,
})  # fmt: skip


class Twins:
    """The fields, occupancy grids and optimizers; the first of each is that of the CPU backend."""

    def __init__(self, random, density, config=CONFIG):
        """Make fields with random parameters and a median density [1/m]."""
        self.config = config
        self.backends = [backends.select(name) for name in ('cpu', 'reference')]
        self.fields = [RadianceField(config.field, backend) for backend in self.backends]
        state = {name: 0.4 * floats(random.normal(size=parameter.shape))
                 for name, parameter in self.fields[1].state().items()}  # fmt: skip
        state['geometry.output'][0] *= 3
        # One hidden unit adds to the log density.
        state['geometry.table'][0].abs_()
        state['geometry.hidden'][0] = 0
        state['geometry.hidden'][0, :FEATURES] = 1.0
        state['geometry.output'][0, 0] = np.log(density)
        for field in self.fields:
            field.load(state)
        self.grids = [
            OccupancyGrid(config.occupancy, [0, 0, 1], backend) for backend in self.backends]
        # One sample more or less, on the face of a voxel, changes the gradient: test_samples has
        # grids of all kinds.
        for grid in self.grids:
            grid.density_state.fill_(SOLID)
        settings = config.optimizer
        self.optimizers = [
            backend.Adam(field.geometry, field.color, settings.beta1, settings.beta2, 1e-4, 0.01)
            for backend, field in zip(self.backends, self.fields)]

    def train_step(self, rays, stride, random):
        """Return the results of both for the same rays."""
        jitter = floats(random.random(len(rays)))
        background = floats(random.random((len(rays), 3)))
        return [
            backend.train_step(field, rays, grid, self.config, jitter, background, stride,
                               self.config.sampling.samples_per_step)
            for backend, field, grid in zip(self.backends, self.fields, self.grids)]

    def optimize(self):
        """Update the parameters of both."""
        for optimizer in self.optimizers:
            optimizer.step(0.02)

    def cpu_gradients(self):
        """Return {name: gradient} of the parameters, as the optimizer of the CPU adds them up."""
        geometry, optimizer = self.fields[0].geometry, self.optimizers[0]
        buffers = geometry.step_buffers(0)
        optimizer._collect(buffers.sum_matrices())
        names = [name for name in self.fields[0].state() if name != 'geometry.table']
        found = {name: torch.from_numpy(gradient.copy())
                 for name, gradient in zip(names, optimizer.gradients)}  # fmt: skip
        lines, columns = geometry.lines, slice(FEATURES, 2 * FEATURES)
        entries = np.empty(lines.shape[1] + 1, dtype=np.int32)
        for level, scale in enumerate(geometry.scales):
            for results, counts in zip(buffers.results, buffers.counts):
                count = int(counts[VISIBLE_SAMPLES])
                hash_grid.encode_backward(
                    results.positions[:count], results.encoded[:count], scale, FEATURES * level,
                    lines[level], entries, 0)
        found['geometry.table'] = torch.from_numpy(lines[:, :, columns].copy())
        lines[:, :, columns] = 0
        return found

    def reference_gradients(self):
        """Return {name: gradient} of the parameters of the reference."""
        field = self.fields[1]
        return {
            f'{name}.{parameter_name}': parameter.grad
            for name, network in (('geometry', field.geometry), ('color', field.color))
            for parameter_name, parameter in network.named_parameters()}


def random_rays(random, count, measured):
    """Return rays from in and around the grid, a share of them with a measured surface.

    A fifth of those with a surface have no color.
    """
    surfaces = random.uniform(0.05, 6.0, count) * (random.random(count) < measured)
    pixels = random.integers(0, 256, (count, 3)).astype(np.int16)
    pixels[(surfaces > 0) & (random.random(count) < 0.2)] = NO_COLOR
    return Rays(
        floats(random.uniform(-3.5, 3.5, (count, 3))), unit(random, count), floats(surfaces),
        torch.from_numpy(pixels))


def ray_errors(actual, expected):
    """Return the largest difference (R,) of the values of each ray."""
    return (actual - expected).abs().reshape(len(expected), -1).amax(-1)


def assert_alike(actual, expected, tolerance, what):
    """Assert that a tensor differs from another one by at most a share of its norm."""
    error = (actual - expected).norm() / expected.norm().clamp(min=1e-12)
    assert error < tolerance, (what, error)

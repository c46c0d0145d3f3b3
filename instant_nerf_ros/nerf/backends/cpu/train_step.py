"""Whole training steps and whole views of the processor backend, and its optimiser."""
import numpy as np
import torch

from instant_nerf_ros.nerf.backends.cpu.kernels import train_step
from instant_nerf_ros.nerf.backends.cpu.networks import pack, pack_back
from instant_nerf_ros.nerf.backends.cpu.threads import on_all_cores
from instant_nerf_ros.nerf.backends.cpu.kernels.train_step import (
    make_gradients,
    make_learnt,
    make_work,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import Rays, Space
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import (
    COUNTS,
    LIT,
    TERMS,
    UNMEASURED,
    Loss,
    Shown,
    Wanted,
)
from instant_nerf_ros.nerf.backends.reference import HARMONICS

CORRECTIONS = 4096  # updates after which Adam's bias correction is one in float32
MOST = 2**17  # samples that a thread learns from in a step; or four times what it should have
NAMES = 'color', 'distortion', 'opacity', 'depth', 'free_space'  # of the terms of the loss


class Room:
    """What the threads write while they learn; the gradients stay here until Adam takes them."""

    def __init__(self, geometry, samples):
        hidden, encoded = geometry.chunks[0].hidden.shape[1], geometry.chunks[0].encoded.shape[1]
        self.works = [make_work(hidden) for _ in geometry.chunks]
        self.learnt = tuple(make_learnt(samples, encoded, hidden) for _ in geometry.chunks)
        self.counts = np.zeros((len(self.learnt), COUNTS))
        self.gradients, self.matrices = make_gradients(encoded, hidden)  # the sums of all
        self.rays, samples = 0, samples * len(self.learnt)
        self.positions = np.empty((samples, 3), dtype=np.float32)
        self.densities = np.empty(samples, dtype=np.float32)

    def clear(self, rays):
        """Forget the step before, and return Shown and pixels for so many rays."""
        self.counts[:] = 0
        for learnt in self.learnt:
            learnt.gradients[:] = 0
        if rays > self.rays:
            self.rays = 2 * rays
            self.shown, self.pixels = _shown(self.rays), np.empty((self.rays, 3), np.float32)
        shown = Shown(*(values[:rays] for values in self.shown))
        for values in shown:
            values[:] = 0
        return shown, self.pixels[:rays]

    def add_up(self):
        """Sum the gradients of the matrices that the threads have found, and return Matrices."""
        self.gradients[:] = self.learnt[0].gradients
        for learnt in self.learnt[1:]:
            self.gradients += learnt.gradients
        return self.matrices

    def lit(self, extent):
        """Return positions (M, 3) in metres and densities (M,) of the samples lit."""
        count = 0
        for learnt, own in zip(self.learnt, self.counts):
            end = count + int(own[LIT])
            np.subtract(
                learnt.positions[: end - count], np.float32(0.5), out=self.positions[count:end])
            self.densities[count:end] = learnt.densities[: end - count]
            count = end
        self.positions[:count] *= np.float32(extent)
        return self.positions[:count], self.densities[:count]


def learn(field, rays, occupancy, config, jitter, background, stride, budget):
    """See lesson.learn; returns the values of a Lesson in their order.

    The next call overwrites them.
    """
    geometry = field.geometry
    if geometry.room is None:
        geometry.room = Room(geometry, max(MOST, 4 * budget))
    room = geometry.room
    shown, pixels = room.clear(len(rays))
    arguments = (
        Rays(*(x.numpy() for x in (rays.origins, rays.directions, jitter, rays.surfaces))),
        Wanted(np.divide(rays.pixels.numpy(), np.float32(255), out=pixels), background.numpy()),
        _space(occupancy, config.sampling, stride, False),
        weights(config.loss),
        pack(geometry, field.color), np.float32(field.extent), pack_back(geometry, field.color),
        shown,
    )  # fmt: skip
    on_all_cores(lambda thread, turn: train_step.learn(
        *arguments, geometry.chunks[thread], room.works[thread], room.learnt[thread],
        room.counts[thread], turn))
    measured = TERMS if rays.surfaces.any() else UNMEASURED
    losses = dict(zip(NAMES[:measured], room.counts.sum(0).tolist()))
    return losses, *map(torch.from_numpy, (*shown, *room.lit(field.extent)))


def look(field, rays, occupancy, sampling, stride):
    """See render.look; returns colours (R, 3), median distances (R,), opacities (R,)."""
    middle = np.full(len(rays), 0.5, dtype=np.float32)
    shown = _shown(len(rays))
    arguments = (
        Rays(rays.origins.numpy(), rays.directions.numpy(), middle, rays.surfaces.numpy()),
        _space(occupancy, sampling, stride, True),
        pack(field.geometry, field.color), np.float32(field.extent), shown,
    )  # fmt: skip
    on_all_cores(lambda thread, turn: train_step.look(
        *arguments, field.geometry.chunks[thread], turn))
    return tuple(map(torch.from_numpy, (shown.colors, shown.medians, shown.opacities)))


def weights(terms):
    """Return the Loss of a LossConfig."""
    return Loss(*map(np.float32, (
        terms.huber_delta, terms.distortion_weight, terms.opacity_weight, terms.depth_weight,
        terms.free_space_weight)))


def _shown(count):
    return Shown(np.zeros((count, 3), dtype=np.float32), *np.zeros((3, count), dtype=np.float32))


def _space(occupancy, sampling, stride, visited_only):
    number = np.float32
    return Space(
        occupancy.voxels.numpy(), occupancy.origin.numpy(), number(occupancy.voxel_size),
        number(sampling.near), number(sampling.far), number(stride * sampling.min_step),
        number(stride * sampling.cone), number(sampling.surface_band), sampling.surface_samples,
        visited_only,
    )  # fmt: skip


class Adam:
    """See reference.Adam."""

    def __init__(self, geometry, color, beta1, beta2, epsilon, weight_decay):
        self.geometry, self.decay = geometry, np.float32(weight_decay)
        matrices = [geometry.hidden, geometry.output, *color.parameters()]
        # One vector of them all: what is done to five small arrays takes five times as long.
        self.values = np.concatenate([matrix.numpy().ravel() for matrix in matrices])
        self.gradient, self.first, self.second = np.zeros((3, len(self.values)), dtype=np.float32)
        self.gradients, begin = [], 0
        for matrix in matrices:
            chosen = slice(begin, begin + matrix.numel())
            matrix.data = torch.from_numpy(self.values[chosen]).view(matrix.shape)
            self.gradients.append(self.gradient[chosen].reshape(matrix.shape))
            begin = chosen.stop
        steps = np.arange(CORRECTIONS)
        self.settings = *map(np.float32, (beta1, beta2, epsilon)),
        self.corrections = [(1 - beta**steps).astype(np.float32) for beta in (beta1, beta2)]
        self.steps = 0
        levels, entries = geometry.lines.shape[:2]
        self.updates = np.zeros((levels, entries), dtype=np.uint16)  # of each entry
        self.entries = np.empty((levels, entries + 1), dtype=np.int32)  # room for lists

    def step(self, learning_rate):
        """Update all parameters from the gradients of the last lesson."""
        room, rate = self.geometry.room, np.float32(learning_rate)
        settings = (*self.corrections, rate, *self.settings)
        on_all_cores(lambda thread, turn: train_step.update(
            room.learnt, room.counts, self.geometry.scales, self.geometry.lines, self.updates,
            self.entries, settings, turn))
        self._collect(room.add_up())
        self.steps = min(self.steps + 1, CORRECTIONS - 1)
        corrections = (values[self.steps] for values in self.corrections)
        train_step.update_matrices(
            self.values, self.gradient, self.first, self.second, self.decay, *corrections, rate,
            *self.settings)

    def _collect(self, found):
        """Write Matrices of gradients, which are padded, into those of the parameters."""
        hidden, output, first, hidden2, colors = self.gradients
        for gradient, values in (
                (hidden, found.hidden), (output, found.geometry),
                (first[:, :HARMONICS], found.directions), (first[:, HARMONICS:], found.features),
                (hidden2, found.hidden2), (colors, found.colors)):
            gradient[:] = values[: gradient.shape[0], : gradient.shape[1]]

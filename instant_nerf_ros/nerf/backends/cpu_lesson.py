"""Whole training steps and whole views of the processor backend, and its optimiser."""
import numpy as np
import torch

from instant_nerf_ros.nerf.backends import numba_lesson
from instant_nerf_ros.nerf.backends.cpu_networks import pack, pack_back
from instant_nerf_ros.nerf.backends.cpu_threads import on_all_cores
from instant_nerf_ros.nerf.backends.numba_lesson import make_learnt, make_work
from instant_nerf_ros.nerf.backends.numba_march import Rays, Space
from instant_nerf_ros.nerf.backends.numba_pixels import (
    COUNTS,
    LIT,
    TERMS,
    UNMEASURED,
    Loss,
    Shown,
    Wanted,
)

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

    def clear(self):
        """Forget the gradients of the step before."""
        self.counts[:] = 0
        for learnt in self.learnt:
            for gradient in learnt[3:]:
                gradient[:] = 0


def learn(field, rays, occupancy, config, jitter, background, stride, budget):
    """See lesson.learn; returns the values of a Lesson in their order."""
    geometry = field.geometry
    if geometry.room is None:
        geometry.room = Room(geometry, max(MOST, 4 * budget))
    room, count = geometry.room, len(rays)
    room.clear()
    shown = _shown(count)
    arguments = (
        Rays(*(x.numpy() for x in (rays.origins, rays.directions, jitter, rays.surfaces))),
        Wanted(rays.pixels.numpy() / np.float32(255), background.numpy()),
        _space(occupancy, config.sampling, stride, False),
        weights(config.loss),
        pack(geometry, field.color), np.float32(field.extent), pack_back(geometry, field.color),
        shown,
    )  # fmt: skip
    on_all_cores(lambda thread, turn: numba_lesson.learn(
        *arguments, geometry.chunks[thread], room.works[thread], room.learnt[thread],
        room.counts[thread], turn))
    counts = room.counts.sum(0)
    measured = TERMS if rays.surfaces.any() else UNMEASURED
    losses = dict(zip(NAMES[:measured], counts.tolist()))
    lit = [(learnt, int(own[LIT])) for learnt, own in zip(room.learnt, room.counts)]
    positions = np.concatenate([learnt.positions[:number] for learnt, number in lit])
    positions = (positions - np.float32(0.5)) * np.float32(field.extent)
    densities = np.concatenate([learnt.densities[:number] for learnt, number in lit])
    values = (*shown, positions, densities)
    return losses, *map(torch.from_numpy, values)


def look(field, rays, occupancy, sampling, stride):
    """See render.look; returns colours (R, 3), median distances (R,), opacities (R,)."""
    middle = np.full(len(rays), 0.5, dtype=np.float32)
    shown = _shown(len(rays))
    arguments = (
        Rays(rays.origins.numpy(), rays.directions.numpy(), middle, rays.surfaces.numpy()),
        _space(occupancy, sampling, stride, True),
        pack(field.geometry, field.color), np.float32(field.extent), shown,
    )  # fmt: skip
    on_all_cores(lambda thread, turn: numba_lesson.look(
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
        on_all_cores(lambda thread, turn: numba_lesson.update(
            room.learnt, room.counts, self.geometry.scales, self.geometry.lines, self.updates,
            self.entries, settings, turn))
        self._collect(room.learnt)
        self.steps = min(self.steps + 1, CORRECTIONS - 1)
        beta1, beta2, epsilon = self.settings
        gradient = self.gradient + self.decay * self.values
        self.first += (1 - beta1) * (gradient - self.first)
        self.second += (1 - beta2) * (gradient * gradient - self.second)
        correction1, correction2 = (values[self.steps] for values in self.corrections)
        self.values -= rate / correction1 * self.first / (
            np.sqrt(self.second / correction2) + epsilon)

    def _collect(self, learnt):
        """Sum what the threads have learnt, into the gradients of the matrices."""
        sums = [np.sum(parts, axis=0) for parts in zip(*(part[3:] for part in learnt))]
        hidden, output, directions, features, hidden2, colors = sums
        for gradient, values in zip(self.gradients, (
                hidden, output, np.hstack([
                    directions, features]), hidden2, colors)):
            gradient[:] = values[: gradient.shape[0], : gradient.shape[1]]

"""Trainer: the training steps of the field, on the rays of keyframes and range sensors."""
from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.capture.alpha import over_background
from instant_nerf_ros.nerf.capture.batches import sample_batch, update_error_map
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.cut_off import cut_off_message
from instant_nerf_ros.nerf.field import table_growth
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.train_step import StepResult
from instant_nerf_ros.nerf.occupancy.disappearance import without_disappeared
from instant_nerf_ros.nerf.occupancy.field_space import FieldSpace
from instant_nerf_ros.nerf.occupancy.hole_edges import HoleEdges
from instant_nerf_ros.nerf.occupancy.hole_votes import integrate_holes
from instant_nerf_ros.nerf.occupancy.integration import integrate_rendered, probes
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.surface_area import surface_area
from instant_nerf_ros.nerf.occupancy.voting_turns import VotingTurns
from instant_nerf_ros.nerf.ranks import ALONE, Ranks
from instant_nerf_ros.nerf.schedule import Schedule

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

logger = logging.getLogger('instant_nerf_ros')

CHECK_AT = 2000  # step after which much of the scene should have been found
GROW_EVERY = 500  # steps between looks at whether the table suffices
GROW_RATE = 0.5  # share of the full learning rate below which too little time is left to recover
PROBE_EVERY = 4  # steps between updates of the density of skipped voxels
HOLES_EVERY = 4  # votes of keyframes between votes of the holes of depth images


class Trainer:
    """Owns the field, its optimizer and the schedule of the steps."""

    def __init__(
        self, config: Config, backend: Backend, keyframes: Keyframes, ranges: Ranges,
        pseudo_depth: Ranges, random: np.random.Generator,
    ) -> None:  # fmt: skip
        """Train on keyframes, ranges and pseudo depth, as they are at each step."""
        self.config, self.backend = config, backend
        self.keyframes, self.ranges, self.pseudo_depth = keyframes, ranges, pseudo_depth
        self.random = random
        self.generator = torch.Generator(backend.DEVICE).manual_seed(config.seed)
        self._make_field(config.field.log2_table)
        self.space, self.edges = FieldSpace(backend), HoleEdges(keyframes)
        self.schedule, self.turns = Schedule(), VotingTurns()
        self.steps = self.discarded = 0  # discarded steps changed nothing: loss not finite
        self.ranks = ALONE
        self._next: tuple[Rays, RaySources] | None = None  # batch of the next step, if sampled
        self._may_grow = True  # the table; False: there was no memory for a larger one

    def set_config(self, config: Config, unit: float) -> None:
        """Use other settings of sampling, loss and learning rate from the next step on.

        unit: of length of the field [m]; if it is another one than now, a new field is trained.
        """
        self.config = config
        if unit != self.space.unit:
            self.space = FieldSpace(self.backend, unit, config.occupancy)
            self._make_field(self.config.field.log2_table)
            self.schedule.begin()
            self._next = None

    def _make_field(self, log2_table: int) -> None:
        """Make an untrained field, with 2**log2_table entries per level, and its optimizer."""
        config, optimizer = self.config, self.config.optimizer
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(config.seed)
            field = RadianceField(
                dataclasses.replace(config.field, log2_table=log2_table), self.backend)
        self.optimizer = self.backend.Adam(
            field.geometry, field.color, optimizer.beta1, optimizer.beta2, optimizer.epsilon,
            optimizer.weight_decay)
        self.field = field

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replace the parameters of the field; its table becomes as large as that of the state.

        Raises ValueError where names or other shapes differ.
        """
        if (size := table_growth.log2_table(state)) > self.config.field.log2_table:
            self._make_field(size)
        self.field.load(state)

    def _grow_table(self, occupancy: OccupancyGrid) -> None:
        """Enlarge the table if it is too small for the surface seen, and there is memory."""
        config, state = self.config.field, self.field.state()
        size, largest = table_growth.log2_table(state), config.log2_table + config.table_doublings
        if size >= largest or not self._may_grow:
            return
        needed = min(largest, table_growth.needed_log2_table(
            surface_area(occupancy), config.finest_cell * self.space.unit))
        if needed <= size:
            return
        try:
            self._make_field(needed)
        except (ValueError, RuntimeError, MemoryError) as error:
            self._may_grow = False
            logger.warning('the table of the field does not grow: %s', error)
        else:
            self.field.load(table_growth.with_larger_table(state, needed))
            logger.info('the table of the field has %d entries per level now', 2**needed)

    def distribute(self, ranks: Ranks) -> None:
        """Train the field of rank 0 together with other ranks from now on."""
        self.ranks = ranks
        self.field.load({name: ranks.of_first(x) for name, x in self.field.state().items()})

    def data_added(self) -> None:
        """Train at the full rate again, and include what is new in the next step."""
        self.schedule.data_added()
        self._next = None

    def set_progress(self, share: float) -> None:
        """See Mapper.set_progress."""
        self.schedule.set_progress(share)

    def restore(self, steps: int, rays: int, stride: float, age: int) -> None:
        """Continue at a step; see Schedule for the other arguments."""
        self.steps = steps
        self.schedule.restore(rays, stride, age)

    def step(self, occupancy: OccupancyGrid) -> dict[str, float]:
        """Take a step, and return the terms of the loss by name and their sum as 'loss'.

        Raises RuntimeError if there is no keyframe, or if the backend fails.
        """
        batch, sources = self._next or self._sample_batch(occupancy)
        self._next = None
        budget, count = self.schedule.budget(self.config.sampling, self.backend), len(batch)
        space, scaled = self.space, self.space.rays(batch)
        config = dataclasses.replace(self.config, sampling=space.sampling(self.config.sampling))
        try:
            jitter, background = self._uniform(count), self._uniform(count, 3)
            result = self.backend.train_step(
                self.field, over_background(scaled, sources, background), space.grid(occupancy),
                config, jitter, background, self.schedule.stride, budget)
        except RuntimeError as error:  # tinycudann has no type for exhausted memory
            self.schedule.reduce_budget(budget, error)
            return self.step(occupancy)
        rays, samples, loss = self.ranks.mean(count, len(result.positions), result.loss)
        self.schedule.step_done(int(rays), int(samples), loss, budget)
        if np.isfinite(loss):
            self._apply(batch, sources, result, occupancy)
        else:
            self.discarded += 1
        self.steps += 1
        growing = self.schedule.learning_rate(1.0) > GROW_RATE and self.ranks.size == 1
        if growing and self.steps % GROW_EVERY == 0:
            self._grow_table(occupancy)
        return {'loss': loss, **result.terms}

    def _apply(
        self, batch: Rays, sources: RaySources, result: StepResult, occupancy: OccupancyGrid,
    ) -> None:  # fmt: skip
        """Update parameters, occupancy grid and error map with the result of a step."""
        rate = self.schedule.learning_rate(self.config.optimizer.learning_rate)
        densities, medians = self.space.grid(occupancy), result.medians * self.space.unit

        def optimize() -> None:
            self.optimizer.step(rate, self.ranks)

        def update_and_sample() -> None:  # what needs no evaluation of the field
            densities.update_density(*self.ranks.gather(result.positions, result.densities))
            update_error_map(
                self.keyframes, self.backend, sources, batch, result.colors, result.opacities)
            self._next = self._sample_batch(occupancy)

        self.backend.run_concurrently(optimize, update_and_sample)
        if self.steps % PROBE_EVERY == 0:
            densities.update_density(*self.ranks.gather(*probes(
                self.field, self.space.rays(batch), self._uniform(len(batch)), result.medians)))
        if self.steps == CHECK_AT and sources.alphas is None and (message := cut_off_message(
                batch, medians, result.opacities, occupancy, self.config.sampling)):
            logger.warning(message)
        turn, remainder = divmod(self.steps, self.schedule.vote_every)
        if remainder:
            return
        if turn % HOLES_EVERY == 0:
            integrate_holes(
                self.keyframes, self.edges, batch, sources, result, medians,
                functools.partial(self.space.density, self.field), occupancy)
        stereo = self.config.motion.stereo  # also before it has found any depth
        if (k := self.turns.keyframe(turn, self.keyframes, stereo, occupancy)) is not None:
            integrate_rendered(
                self.keyframes, k, occupancy, self.random, self.field, self.space,
                self.config.sampling, self.schedule.stride, stereo)

    def _sample_batch(self, occupancy: OccupancyGrid) -> tuple[Rays, RaySources]:
        return without_disappeared(*sample_batch(
            self.keyframes, self.ranges, self.pseudo_depth, self.backend, self.schedule.rays,
            self.random, self.config.sampling.error_share), occupancy)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.backend.DEVICE)

"""How the processor backend draws rays from the keyframes, into arrays that are made once."""
import dataclasses

import numpy as np
import torch

from instant_nerf_ros.nerf.backends.cpu.kernels import ray_sampling
from instant_nerf_ros.nerf.backends.cpu.kernels.ray_sampling import CHANCES, TILES, Draws, Store


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Where R rays come from."""

    keyframes: np.ndarray  # (R,) int64, index of the keyframe
    tiles: np.ndarray  # (R,) int64, of its error map
    pixels: np.ndarray  # (R, 3) uint8 RGB as recorded; those of the rays are corrected


class Desk:
    """Arrays for the rays of two draws, as a step still has its own when the next are drawn."""

    def __init__(self):
        self.rays, self.keyframes = 0, 0  # that there is room for
        self.turn = 0

    def make_room(self, rays, keyframes):
        """Make the arrays anew if they do not suffice."""
        if rays > self.rays:
            self.rays = 2 * rays
            self.chances = np.empty(self.rays * CHANCES)
            self.draws = [_make_draws(self.rays) for _ in range(2)]
        if keyframes > self.keyframes:
            self.keyframes = 2 * keyframes
            self.weights = np.empty(self.keyframes)
            self.sums = np.zeros((self.keyframes, TILES), dtype=np.float32)
            self.counts = np.zeros((self.keyframes, TILES), dtype=np.int32)


def draw(store, count, generator, error_share):
    """See rays.draw; returns the values of Rays in their order, and Drawn.

    They are overwritten by the draw after the next one.
    """
    desk = _desk_of(store)
    desk.make_room(count, len(store))
    desk.turn = 1 - desk.turn
    result = Draws(*(values[:count] for values in desk.draws[desk.turn]))
    chances = desk.chances[: count * CHANCES]
    generator.random(out=chances)
    ray_sampling.draw(
        _arrays_of(store), chances.reshape(count, CHANCES), int(error_share * count),
        desk.weights[: len(store)], result)
    values = map(torch.from_numpy, (
        result.origins, result.directions, result.surfaces, result.pixels))
    return values, Drawn(result.keyframes, result.tiles, result.recorded)


def take_in(store, drawn, pixels, colors, opacities):
    """See Keyframes.learn."""
    desk, errors = _desk_of(store), store.error_map.errors
    desk.make_room(0, len(errors))
    colors = colors.numpy()
    ray_sampling.learn(
        drawn.keyframes, drawn.tiles, pixels.numpy(), colors, errors, desk.sums, desk.counts)
    if store.config.adapt_exposure:
        store.learn_exposure(drawn.keyframes, drawn.pixels, colors, opacities.numpy())


def _desk_of(store):
    if store.mirror is None:
        store.mirror = Desk()
    return store.mirror


def _arrays_of(store):
    return Store(
        store.colors, store.depths, store.directions, store.T_world_camera, store.first,
        store.first_direction, store.widths, store.heights, store.exposure.gains,
        store.exposure.offsets, store.error_map.errors, store.draws)


def _make_draws(count):
    vectors = [np.empty((count, 3), dtype=np.float32) for _ in range(2)]
    places = [np.empty(count, dtype=np.int64) for _ in range(3)]
    pixels = [np.empty((count, 3), dtype=np.uint8) for _ in range(2)]
    return Draws(*vectors, np.empty(count, dtype=np.float32), pixels[0], *places, pixels[1])

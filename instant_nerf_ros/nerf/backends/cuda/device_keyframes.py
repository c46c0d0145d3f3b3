"""The keyframes as the GPU backend has them, and how it draws rays from them.

The images of the store are copied to the GPU as they come, as long as the budget lasts; those
that follow lie in pinned memory of the host, which the kernel reads over the bus: five bytes a
ray. What is known of a keyframe's errors lies on the GPU.
"""
import contextlib
import dataclasses

import numpy as np
import torch
import triton

from instant_nerf_ros.nerf.backends.cuda.kernels import ray_sampling
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE, upload

TILES = ray_sampling.TILES.value
DRAWN = 128  # rays of a program
EXPOSURE_EVERY, WITNESSES = 8, 4096  # steps between looks at the exposure, and their rays


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Where R rays come from."""

    keyframes: torch.Tensor  # (R,) int32, index of the keyframe
    tiles: torch.Tensor  # (R,) int32, of its error map
    pixels: torch.Tensor  # (R, 3) uint8 RGB as recorded; those of the rays are corrected


class Mirror:
    """A copy of the keyframes of a store, for kernels."""

    def __init__(self, budget):
        self.budget = budget  # bytes on the GPU
        self.images = {}  # number of a keyframe -> its bytes
        self.errors = torch.empty(0, TILES, device=DEVICE)
        self.numbers = np.empty(0, dtype=np.int64)
        self.exposed = None  # the gains that the copy on the GPU is of
        self.rows = 0  # of directions
        self.learnt = 0

    def follow(self, store):
        """Take over what has changed in the store."""
        if store.exposure.gains is not self.exposed:
            self.exposed = store.exposure.gains
            self.gains, self.offsets = map(upload, (
                store.exposure.gains, store.exposure.offsets))
        if store.numbers is self.numbers:
            return
        for number in set(self.images) - set(store.numbers.tolist()):
            del self.images[number]
        for k, number in enumerate(store.numbers.tolist()):
            if number not in self.images:
                self.images[number] = self._copied(store, k)
        old = {number: k for k, number in enumerate(self.numbers.tolist())}
        places = [old.get(number, len(old)) for number in store.numbers.tolist()]
        # Of a new one nothing is known: all its tiles are alike.
        known = torch.cat([self.errors, torch.ones(1, TILES, device=DEVICE)])
        self.errors = known[upload(np.array(places))]
        self.sums = torch.zeros(*self.errors.shape, 2, device=DEVICE)
        self.shares = torch.empty_like(self.errors)
        self.settle()
        self.numbers = store.numbers
        if len(store.directions) != self.rows:
            self.directions, self.rows = upload(store.directions), len(store.directions)
        addresses = [self.images[number].data_ptr() for number in self.numbers.tolist()]
        self.of_each = tuple(map(upload, (
            np.array(addresses, dtype=np.int64), store.widths.astype(np.int32),
            store.heights.astype(np.int32), store.first_direction.astype(np.int32),
            store.T_world_camera[:, :3].astype(np.float32))))

    def settle(self):
        """Take in what rays have told of the errors since; the next are drawn accordingly."""
        ray_sampling.settle[(len(self.errors),)](self.sums, self.errors, self.shares)

    def _copied(self, store, k):
        _, image, depth = store.image(k)
        both = np.concatenate([depth.ravel().view(np.uint8), image.ravel()])
        both = torch.from_numpy(both)
        spent = sum(image.numel() for image in self.images.values() if image.device.type == DEVICE)
        if spent + both.numel() <= self.budget:
            with contextlib.suppress(torch.cuda.OutOfMemoryError):
                return both.to(DEVICE)
        return both.pin_memory() if DEVICE == 'cuda' else both


def draw(store, count, generator, error_share):
    """See rays.draw; returns the values of Rays in their order, and Drawn.

    A keyframe counts the rays that it is to have, not those that it happens to get.
    """
    if store.mirror is None:
        store.mirror = Mirror(store.config.gpu_budget_mb * 2**20)
    mirror = store.mirror
    mirror.follow(store)
    weights = store.draw_weights()
    store.draws += count * weights
    origins, directions = torch.empty(2, count, 3, device=DEVICE)
    surfaces = torch.empty(count, device=DEVICE)
    pixels, recorded = torch.empty(2, count, 3, dtype=torch.uint8, device=DEVICE)
    chosen, tiles = torch.empty(2, count, dtype=torch.int32, device=DEVICE)
    ray_sampling.draw[(triton.cdiv(count, DRAWN),)](
        int(generator.integers(2**31)), count, int(error_share * count), len(weights),
        len(weights).bit_length(), upload(weights.cumsum().astype(np.float32)), mirror.shares,
        *mirror.of_each, mirror.gains, mirror.offsets, mirror.directions,
        origins, directions, surfaces, pixels, chosen, tiles, recorded, DRAWN)
    return (origins, directions, surfaces, pixels), Drawn(chosen, tiles, recorded)


def take_in(store, drawn, pixels, colors, opacities):
    """See Keyframes.learn."""
    mirror = store.mirror
    ray_sampling.note[(triton.cdiv(len(pixels), DRAWN),)](
        colors, pixels, drawn.keyframes, drawn.tiles, len(pixels), mirror.sums, DRAWN)
    mirror.settle()
    mirror.learnt += 1
    if store.config.adapt_exposure and mirror.learnt % EXPOSURE_EVERY == 0:
        # The host waits here: a few rays tell enough, and seldom.
        store.learn_exposure(*(
            values[:WITNESSES].cpu().numpy()
            for values in (drawn.keyframes, drawn.pixels, colors, opacities)))


"""Occupancy: the voxel grid of what is empty, and of what the rays say is there."""
import math

import numpy as np
import torch

from instant_nerf_ros.nerf.config import MAX_VOXELS
from instant_nerf_ros.nerf.occupancy.sparse_memory import copy_used, zeros

# A floor at z = 0 lies in the middle of a layer of voxels, and does not flicker between two.
LATTICE = np.array([0.0, 0.0, -0.5])  # corner of voxel (0, 0, 0) of the world, in voxels
DECAY = 0.9  # of the stored density, at each visit
GRIDS = 'density', 'voxels', 'hits', 'passes', 'stamps', 'colors'
STAMPS = 255  # keyframes that are told from one another; 0 is none
AROUND = np.argwhere(np.ones((3, 3, 3))) - 1  # a voxel and its neighbours


class Occupancy:
    """Voxels of one size, around the first camera, growing with the way.

    Two kinds of knowledge, never mixed: `voxels` is the field's, and lets samples be skipped;
    `hits` and `passes` count the keyframes whose rays ended in a voxel or crossed it, and make the
    maps. A voxel without rays is neither free nor occupied, whatever the field dreams there.
    """

    def __init__(self, config, center, backend):
        self.backend = backend
        self.voxel_size = config.voxel_size
        self.threshold = -math.log(1 - config.min_alpha) / config.voxel_size
        extent = np.array([config.length, config.width, config.height])
        shape = np.ceil(extent / self.voxel_size).astype(int)
        # The corner lies on the lattice of the world, so that maps of all sessions align.
        corner = np.asarray(center) / self.voxel_size - shape / 2 - LATTICE
        self._place(np.floor(corner).astype(int), shape)
        self._lattice = self._tensor(LATTICE)
        # The box that rays tell of; it stays where the rays are, and nobody waits for it.
        self.low = self.high = self._tensor(self.first + shape // 2)
        self.density = self._zeros(shape, torch.float32)
        self.voxels, self.hits, self.passes, self.stamps = (
            self._zeros(shape, torch.uint8) for _ in range(4))
        self.colors = self._zeros((*shape, 3), torch.uint8)

    @property
    def shape(self):
        """Return the number of voxels along x, y, z."""
        return tuple(self.voxels.shape)

    @property
    def corner(self):
        """Return the corner of voxel (0, 0, 0), (3,) metres, world."""
        return (self.first + LATTICE) * self.voxel_size

    def _place(self, first, shape):
        self.first = first  # index of voxel (0, 0, 0) on the lattice of the world
        # The lowest and the highest corner (3,) float32: each step asks, and should not wait.
        self.origin = self._tensor(self.corner).float()
        self.end = self.origin + self._tensor(shape).float() * self.voxel_size

    def include(self, position):
        """Grow, doubling an axis at a time, until a position (3,) lies inside.

        Raises ValueError if that takes more than MAX_VOXELS; nothing has changed then.
        """
        index = np.floor((np.asarray(position) - self.corner) / self.voxel_size)
        below, above = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
        for axis, size in enumerate(self.shape):
            while not -below[axis] <= index[axis] < size + above[axis]:
                extra = size + below[axis] + above[axis]
                if extra > MAX_VOXELS:
                    break
                if index[axis] < -below[axis]:
                    below[axis] += extra
                else:
                    above[axis] += extra
        shape = below + self.shape + above
        voxels = np.prod(shape.astype(float))
        if voxels > MAX_VOXELS:
            raise ValueError(
                f'a camera at {np.round(position, 2)} m would need {voxels:.2g} voxels, more than '
                f"{MAX_VOXELS:.2g}: is the pose right? Else enlarge 'occupancy.voxel_size'")
        if not (below.any() or above.any()):
            return
        kept = tuple(slice(low, low + size) for low, size in zip(below, self.shape))
        grown = {}
        for name in GRIDS:
            grid = getattr(self, name)
            try:
                grown[name] = self._zeros((*shape, *grid.shape[3:]), grid.dtype)
            except torch.cuda.OutOfMemoryError as error:
                raise ValueError(
                    f'a camera at {np.round(position, 2)} m needs {voxels:.2g} voxels, for which '
                    "the GPU has no memory: enlarge 'occupancy.voxel_size'") from error
            copy_used(grid, grown[name][kept])
        self._place(self.first - below, shape)
        for name, grid in grown.items():
            setattr(self, name, grid)

    def clip(self, rays, near, far):
        """Return the interval of each ray that lies in the grid and in [near, far], two (R,)."""
        safe = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
        faces = torch.stack([self.origin, self.end])
        crossings = (faces[:, None] - rays.origins) / safe
        enter = crossings.amin(0).amax(-1).clamp(min=near)
        leave = crossings.amax(0).amin(-1).clamp(max=far)
        return enter, leave

    def visit(self, positions, densities):
        """Note densities (N,) that the field has at positions (N, 3)."""
        if not len(densities):
            return
        # While all is fog the voxels of less than the usual fog are empty, or all or none were.
        threshold = (densities.mean() / 2).clamp(max=self.threshold)
        self.backend.visit(
            positions, densities, self.density, self.voxels, self.origin, self.voxel_size, DECAY,
            threshold)

    def probe(self, rays, share, medians, density):
        """Ask for density(positions), also of skipped voxels, at a share (R,) of the rays' way."""
        ends = torch.where(rays.surfaces > 0, rays.surfaces, medians)
        positions = rays.origins + (share * ends)[:, None] * rays.directions
        self.visit(positions, density(positions))

    def carve(self, rays, distances, reaches, measured, keyframe):
        """Let the rays of a keyframe, by number, vote on the voxels.

        distances (R,) to their ends, 0 where nobody knows; reaches (R,) up to which nothing is
        there; measured: by a sensor, or rendered.
        """
        if not len(distances):
            return
        farthest = torch.maximum(distances, reaches)
        known = (farthest > 0)[:, None]
        ends = rays.origins + farthest[:, None] * rays.directions
        lattice = torch.stack([rays.origins, ends]) / self.voxel_size - self._lattice
        # A voxel more to all sides, as the kernels round in their own way.
        low = torch.where(known, lattice, math.inf).amin((0, 1)).floor() - 1
        high = torch.where(known, lattice, -math.inf).amax((0, 1)).floor() + 2
        self.low, self.high = self.low.minimum(low), self.high.maximum(high)
        self.backend.carve(
            rays.origins, rays.directions, distances, reaches, measured, rays.pixels,
            keyframe % STAMPS + 1, self.hits, self.passes, self.stamps, self.colors, self.voxels,
            self.origin, self.voxel_size)  # fmt: skip

    def abstain(self, positions, keyframe):
        """Take from a keyframe, by number, its vote on voxels at and around positions (N, 3)."""
        cells = ((positions - self.origin) / self.voxel_size).floor().unique(dim=0)
        cells = (cells[:, None] + self._tensor(AROUND)).reshape(-1, 3).long()
        inside = ((cells >= 0) & (cells < self._tensor(self.shape))).all(-1)
        self.stamps[tuple(cells[inside].T)] = keyframe % STAMPS + 1

    def window(self):
        """Return slices of the voxels that rays may tell of: a box, much smaller than the grid."""
        size = np.array(self.shape)
        low, high = (corner.cpu().numpy().astype(int) - self.first
                     for corner in (self.low, self.high))
        low = low.clip(0, size - 1)  # at least one voxel, even if no ray tells of it
        return tuple(slice(*limits) for limits in zip(low, np.minimum(high, size).clip(low + 1)))

    def states(self, window):
        """Return 100 (occupied), 0 (free) or -1 (unknown) for a window of voxels, int8."""
        return self.backend.states(self.hits[window], self.passes[window]).cpu().numpy()

    def state(self):
        """Return all that is known as {name: array}, of the voxels about which something is."""
        known = (self.voxels | self.hits | self.passes).cpu().numpy()
        start, stop = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
        for axis in range(3):
            index = np.flatnonzero(known.any(axis=tuple({0, 1, 2} - {axis})))
            if len(index):
                start[axis], stop[axis] = index[0], index[-1] + 1
        inside = tuple(map(slice, start, stop))
        return {
            'first': self.first, 'shape': np.array(self.shape), 'start': start,
            **{name: getattr(self, name).cpu().numpy().astype(int) for name in ('low', 'high')},
            **{name: getattr(self, name)[inside].cpu().numpy() for name in GRIDS}}

    @classmethod
    def restored(cls, config, state, backend):
        """Return an Occupancy with what `state` returned. Raises ValueError if it does not fit."""
        boxes = [state[name].astype(np.int64) for name in ('first', 'shape', 'start')]
        first, shape, start = boxes
        stop = start + state['voxels'].shape
        if (any(box.shape != (3,) for box in boxes) or np.prod(shape.astype(float)) > MAX_VOXELS
                or (start < 0).any() or (stop > shape).any()):
            raise ValueError(f'there is no grid of {shape} voxels from {start} to {stop}')
        occupancy = cls(config, np.zeros(3), backend)
        occupancy._place(first, shape)
        occupancy.low, occupancy.high = map(occupancy._tensor, (state['low'], state['high']))
        inside = tuple(map(slice, start, stop))
        for name in GRIDS:
            saved, grid = torch.from_numpy(state[name]), getattr(occupancy, name)
            grid = occupancy._zeros((*shape, *grid.shape[3:]), grid.dtype)
            if grid[inside].shape != saved.shape or grid.dtype != saved.dtype:
                raise ValueError(
                    f'{name} is {tuple(saved.shape)} {saved.dtype}, unlike the voxels')
            grid[inside] = saved
            setattr(occupancy, name, grid)
        return occupancy

    def _tensor(self, values):
        return torch.tensor(np.asarray(values, dtype=np.float64), device=self.backend.DEVICE)

    def _zeros(self, shape, dtype):
        if self.backend.DEVICE != 'cpu':
            return torch.zeros(tuple(shape), dtype=dtype, device=self.backend.DEVICE)
        return zeros(shape, np.dtype(str(dtype).removeprefix('torch.')))

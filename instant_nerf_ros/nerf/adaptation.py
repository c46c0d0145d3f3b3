"""Adaptation: where samples begin and end follows from what is seen, unless the user says it.

They are those of a room, until the first keyframes show another kind of scene: a table top, or a
hall. They are estimated again when there are four times as many keyframes. With the first of these
estimates, a scene without depth gets the unit of length in which it is as large as a room; see
occupancy/field_space.
"""
from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.blas import one_blas_thread
from instant_nerf_ros.nerf.bounds import FAR, USUAL_DISTANCE, SceneBounds, scene_bounds
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.motion.sparse_points import sparse_points
from instant_nerf_ros.nerf.settings import flatten

logger = logging.getLogger('instant_nerf_ros')

FIRST_KEYFRAMES = 8  # before the first estimate
MORE_KEYFRAMES = 4  # times as many before the next one, which may take a third of a second
IMAGES = 8  # of an estimate, spread over all keyframes
MIN_POINTS = 100  # of images without depth; with fewer, nothing is estimated yet
ROOM_NEAR, ROOM_FAR = 0.2, 10.0  # m, what suits a room, where a robot may come close to a wall
TABLE = 0.7  # m, of the median distance, from which on samples go as far as in a room
# Share of the median distance at which samples may begin in a room or a hall. Where they may begin
# later, all that is seen is about as far away: it is a table or an object.
ROOM_SHARE = 0.2
# The unit changes by more than this factor only, so that it is a metre in a room. A change means
# that a new field is trained. With more keyframes than this, too much would be lost.
MIN_CHANGE, MAX_KEYFRAMES = 2.0, 32
# Voxels in the median distance of images without depth: with more, too few rays meet in one for it
# to be known. With so many, they do.
MOST_VOXELS, GOOD_VOXELS = 100, 40
# Settings of lengths [m] that suit a room. If the user sets one, the unit stays a metre.
LENGTHS = 'field.coarsest_cell', 'field.finest_cell', 'sampling.min_step'


class Adaptation:
    """The settings of a Mapper: those of the user and, for each 0 of his, what follows."""

    def __init__(self, config: Config) -> None:
        self._bounds: SceneBounds | None = None  # of all estimates
        self._next = FIRST_KEYFRAMES  # number of keyframes at which an estimate is due
        self._advised = False
        self.unit = 1.0  # metres, of the field
        self._restored = False  # whether the unit is that of a saved field
        self.set_config(config)

    def set_config(self, config: Config) -> None:
        """Use other settings of the user."""
        self._user, given = config, config.sampling
        near, far = self._wanted()
        # What the user has set holds, also where the scene seems to be elsewhere.
        near, far = min(near, (given.far or np.inf) / 2), max(far, 2 * given.near)
        self.config = dataclasses.replace(config, sampling=dataclasses.replace(
            given, near=given.near or near, far=given.far or far))

    def see(self, keyframes: Keyframes) -> NDArray[np.float64] | None:
        """Look at the keyframes if an estimate is due, and near or far follows from it.

        Returns the lowest and the highest corner (2, 3) of a box around what they see, in their
        frame; None if nothing new is known.
        """
        given = self._user.sampling
        if len(keyframes) < self._next or (given.near and given.far):
            return None
        self._next = MORE_KEYFRAMES * len(keyframes)
        chosen = np.unique(np.linspace(0, len(keyframes) - 1, IMAGES).astype(int)).tolist()
        cameras, images, depths = zip(*map(keyframes.image, chosen))
        poses, before = keyframes.T_world_camera[chosen], self._bounds
        with_depth = any(depth.any() for depth in depths)
        bounds = _bounds(cameras, images, list(poses), depths if with_depth else None)
        if bounds is None:
            return None
        seen = bounds.far / FAR  # without the margin that bounds have
        if before is not None:  # samples that were needed before are needed now
            bounds = dataclasses.replace(
                bounds, near=min(bounds.near, before.near), far=max(bounds.far, before.far))
        self._bounds = bounds
        self.set_config(self._user)
        self._advise(bounds.distance, with_depth)
        if not (with_depth or self._restored or self._has_lengths()
                or len(keyframes) > MAX_KEYFRAMES):
            self._choose_unit(bounds.distance / USUAL_DISTANCE)
        return _box(cameras, poses, min(seen, self.config.sampling.far))

    def _choose_unit(self, unit: float) -> None:
        """Use a unit [m] in which the scene is as large as a room, if it differs much from now."""
        if not 1 / MIN_CHANGE <= unit / self.unit <= MIN_CHANGE:
            self.unit = unit
            logger.info(
                'the scene is %.2g times as large as a room: training begins again at this scale',
                unit)

    def _advise(self, distance: float, with_depth: bool) -> None:
        """Log once which voxels suit what is seen without depth at a median distance [m]."""
        size = self.config.occupancy.voxel_size
        if not (with_depth or self._advised) and distance > MOST_VOXELS * size:
            self._advised = True
            logger.warning(
                'images without depth see %.0f m far: few voxels of %g m become known. For a map,'
                " set 'occupancy.voxel_size' to %.1g m; views do not need it",
                distance, size, distance / GOOD_VOXELS)

    def restore(self, unit: float) -> None:
        """Keep the unit [m] of a saved field from now on. Raises ValueError if it is no length."""
        if not 0 < unit < np.inf:
            raise ValueError(f'the unit of length of the field is {unit} m')
        self.unit, self._restored = unit, True

    def _has_lengths(self) -> bool:
        """Return whether the user has set a length of the field."""
        return any(name in LENGTHS and value != field.default
                   for name, field, value in flatten(self._user))

    def _wanted(self) -> tuple[float, float]:
        """Return the near and far of settings that are 0."""
        if (bounds := self._bounds) is None:
            return ROOM_NEAR, ROOM_FAR
        wide = bounds.near < ROOM_SHARE * bounds.distance
        return (min(bounds.near, ROOM_NEAR) if wide else bounds.near,
                bounds.far if bounds.distance < TABLE else max(bounds.far, ROOM_FAR))


def _bounds(
    cameras: Sequence[Camera], images: Sequence[NDArray[np.uint8]],
    poses: Sequence[NDArray[np.float64]], depths: Sequence[NDArray[np.uint16]] | None,
) -> SceneBounds | None:  # fmt: skip
    """Return the bounds of what keyframes see, with depths [mm] if known; None: too little."""
    if depths is not None:
        return scene_bounds(
            images, cameras, poses, [depth * np.float32(MILLIMETRE) for depth in depths])
    with one_blas_thread():
        points = sparse_points(images, cameras, poses)
    if len(points) < MIN_POINTS:
        return None
    return scene_bounds(images, cameras, poses, points=points)


def _box(
    cameras: Sequence[Camera], T_world_cameras: NDArray[np.float64], distance: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the corners (2, 3) of a box around cameras and what they see up to a distance [m]."""
    rays = [distance * camera.directions() @ pose[:3, :3].T
            for camera, pose in zip(cameras, T_world_cameras)]
    positions = T_world_cameras[:, :3, 3]
    low, high = np.stack([each.min(0) for each in rays]), np.stack([each.max(0) for each in rays])
    return np.stack([
        (positions + low.clip(max=0)).min(0), (positions + high.clip(min=0)).max(0)])

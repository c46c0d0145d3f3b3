"""Measurements: what the sensors have measured, and their votes in the occupancy grid."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Alpha, AnyDepth, Depth, EstimatedDepth, Image, Pose, Poses
from instant_nerf_ros.nerf.blas import one_blas_thread
from instant_nerf_ros.nerf.camera import Camera, check_pose
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges, check_points, point_rays
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.capture.selection import is_far
from instant_nerf_ros.nerf.capture.validation import check_posed_image
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.estimated_depth.depth_prior import DepthPrior
from instant_nerf_ros.nerf.held_out import HeldOut
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.motion.depth_alignment import DepthAlignment
from instant_nerf_ros.nerf.motion.structure_from_motion import StructureFromMotion
from instant_nerf_ros.nerf.occupancy import depth_votes, integration, pose_correction
from instant_nerf_ros.nerf.occupancy.body_path import BodyPath
from instant_nerf_ros.nerf.occupancy.carried_votes import carry
from instant_nerf_ros.nerf.occupancy.frozen_votes import FrozenVotes
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

logger = logging.getLogger('instant_nerf_ros')


class Measurements:
    """Keyframes, scans and held-out images, and the occupancy grid in which they vote.

    Arguments are in the world frame, all else in the local frame; methods are those of Mapper.
    """

    def __init__(self, config: Config, backend: Backend, random: np.random.Generator) -> None:
        self.config, self.backend, self.random = config, backend, random
        self.keyframes, self.ranges = Keyframes(config.keyframes), Ranges()
        self.motion = StructureFromMotion(config.motion, backend)
        self.depth_alignment = DepthAlignment(config.motion.align_depth)
        self.depth_prior = DepthPrior(config.depth_prior, self.motion)
        self.body_path = BodyPath(config.body)
        self.held_out = HeldOut(config.keyframes.held_out_every)
        self.frame = LocalFrame()
        self.occupancy: OccupancyGrid | None = None  # from the first image or scan on
        self.frozen_votes: FrozenVotes | None = None  # of a session under this one

    def set_config(self, config: Config, unit: float) -> None:
        """Use other thresholds for keyframes from now on, and a unit of length for stereo [m]."""
        self.config = config
        self.motion.set_unit(unit)
        self.keyframes.set_config(config.keyframes)

    def grid(self) -> OccupancyGrid:
        """Return the occupancy grid. Raises RuntimeError if nothing was added yet."""
        if self.occupancy is None:
            raise RuntimeError('there is no keyframe yet: add an image first')
        return self.occupancy

    def keyframe_poses(self) -> NDArray[np.float64]:
        """Return T_world_camera of the keyframes, (K, 4, 4)."""
        return self.frame.globalize(self.keyframes.T_world_camera)

    def is_new_viewpoint(self, T_world_camera: Pose) -> bool:
        """Return whether `add` would keep an image at a pose."""
        pose = self.frame.localize(check_pose(T_world_camera))
        own = self.keyframes.T_world_camera[self.keyframes.is_own(self.keyframes.ids)]
        known = np.concatenate([own, self.held_out.T_world_camera])
        return is_far(pose, known, self.config.keyframes)

    def add(
        self, image: Image, camera: Camera, T_world_camera: Pose, depth: AnyDepth | None,
        alpha: Alpha | None = None, angular_velocity: ArrayLike | None = None, hurry: bool = False,
    ) -> int | None:  # fmt: skip
        """Keep an image from a new viewpoint as a keyframe, or hold it out; return its id."""
        check_posed_image(image, camera, depth, alpha, angular_velocity)
        if not self.is_new_viewpoint(T_world_camera := check_pose(T_world_camera)):
            return None
        self.keyframes.check(camera)
        image, alpha = camera.filled(image), None if alpha is None else camera.filled(alpha)
        depth = camera.filled(depth) if isinstance(depth, np.ndarray) else depth
        self.grow_to(T_world_camera[:3, 3])
        if len(self.keyframes) and self.held_out.due():
            image_id = self.keyframes.new_id()
            self.held_out.add(image, camera, self.frame.localize(T_world_camera), image_id, alpha)
            return image_id
        return self.add_keyframe(
            image, camera, T_world_camera, depth, alpha, angular_velocity, hurry)

    def add_keyframe(
        self, image: Image, camera: Camera, T_world_camera: Pose, depth: AnyDepth | None,
        alpha: Alpha | None = None, angular_velocity: ArrayLike | None = None, hurry: bool = False,
    ) -> int:  # fmt: skip
        """Keep a valid image as a keyframe, whatever its viewpoint; return its id."""
        grid, pose = self.grow_to(T_world_camera[:3, 3]), self.frame.localize(T_world_camera)
        measured, estimated = (None, depth) if isinstance(depth, EstimatedDepth) else (depth, None)
        keyframe_id = self.keyframes.add(image, camera, pose, measured, alpha)
        if estimated is not None:
            self.depth_prior.add(keyframe_id, estimated, pose)
        with one_blas_thread():
            self.depth_alignment.add_keyframe(self.keyframes)
            if estimate := self.motion.add_keyframe(
                    self.keyframes, self.random, not hurry, angular_velocity):
                self.depth_prior.update(estimate, self.keyframes)
                self.depth_prior.integrate(estimate.keyframe, self.keyframes, grid)
        integration.integrate_depth(self.keyframes, -1, grid)
        integration.integrate_alpha(self.keyframes, -1, grid, self.config.sampling)
        return keyframe_id

    def integrate_depth(
        self, image: Image, camera: Camera, T_world_camera: Pose, depth: Depth,
    ) -> None:  # fmt: skip
        """Let an image with depth vote without keeping it."""
        if depth is None:
            raise ValueError('integrate_depth needs a depth image: use add for images without')
        check_posed_image(image, camera, depth)
        T_world_camera = check_pose(T_world_camera)
        grid = self.grow_to(T_world_camera[:3, 3])
        pose, image = self.frame.localize(T_world_camera), camera.filled(image)
        rays = depth_votes.image_depth(image, camera, pose, camera.filled(depth), grid)
        depth_votes.integrate_static(rays, grid, self.keyframes.new_id())

    def add_ranges(
        self, origins: ArrayLike, points: ArrayLike, free_ends: ArrayLike | None = None,
    ) -> int | None:  # fmt: skip
        """Keep a scan of a range sensor and let it vote; return its id, None if it is empty."""
        scan_id = None
        if scan := self._scan(origins, points):
            scan_id = self.keyframes.new_id()
            self.ranges.add(scan[0], scan_id, self.random)
            integration.integrate_scan(*scan, scan_id)
        if free_ends is not None and (free := self._scan(origins, free_ends)):
            integration.integrate_free(*free, scan_id or self.keyframes.new_id())
        return scan_id

    def _scan(self, origins: ArrayLike, ends: ArrayLike) -> tuple[Rays, OccupancyGrid] | None:
        starts, ends = check_points(origins, ends)
        if not len(starts):
            return None
        grid = self.grow_to(starts[-1])
        starts, ends = (self.frame.localize_points(points) for points in (starts, ends))
        return point_rays(starts, ends, self.random), grid

    def add_body_pose(self, T_world_base: Pose) -> int | None:
        """Free what the body of the robot fills; None if it is not far from the pose before."""
        pose = self.frame.localize(check_pose(T_world_base))
        if self.occupancy is None or not self.body_path.is_new(pose):
            return None
        self.body_path.add(pose, pose_id := self.keyframes.new_id(), self.occupancy)
        return pose_id

    def correct_poses(self, corrections: Poses) -> None:
        """Move everything by {id: T_new_old (4, 4)}, and let it vote again in a new grid."""
        moves = {key: self.frame.localize_motion(check_pose(T)) for key, T in corrections.items()
                 if self.keyframes.is_own(key)}
        if not (len(self.keyframes) or len(self.ranges)):
            return
        occupancy = pose_correction.new_grid(
            self.grid(), self.keyframes, self.ranges, moves, self.frozen_votes)
        self.depth_alignment.restart()
        for part in (self.keyframes, self.ranges, self.motion, self.held_out, self.body_path):
            part.correct_poses(moves)
        pose_correction.integrate_all(self.keyframes, self.ranges, occupancy, self.config.sampling)
        self.depth_prior.integrate_all(self.keyframes, occupancy)
        self.body_path.integrate_all(occupancy)
        carry(self.grid(), occupancy, moves)
        self.occupancy = occupancy

    def reach(self, points: NDArray[np.float64]) -> None:
        """Grow the grid to points (N, 3) [m, local], if there is memory."""
        self.grid().reach(point_rays(np.zeros_like(points), points, self.random))

    def restore(self, occupancy: OccupancyGrid) -> None:
        """Continue with a saved occupancy grid, and in its frame."""
        self.frame, self.occupancy = occupancy.frame, occupancy

    def freeze(self) -> None:
        """Keep the votes and poses that are there, whatever is added and corrected later."""
        self.frozen_votes = FrozenVotes(self.grid())
        self.keyframes.freeze()
        self.depth_alignment.restart()
        self.motion.restart()

    def grow_to(self, position: NDArray[np.float64]) -> OccupancyGrid:
        """Return a grid that contains a sensor at a position (3,) [m]; ValueError if it cannot."""
        occupancy, frame = self.occupancy, self.frame
        if occupancy is None:
            frame = LocalFrame.around(position, self.config.occupancy.voxel_size)
            occupancy = OccupancyGrid(
                self.config.occupancy, frame.localize_points(position), self.backend, frame)
        try:
            occupancy.follow(frame.localize_points(position))
        except ValueError:
            if len(self.keyframes) != 1 or len(self.ranges) or self.frozen_votes:
                raise
            # One of the first two poses is wrong. If it is this one, the next one starts again.
            logger.warning(
                'the first image, at %s m, is too far from the next one, at %s m: it is dropped',
                *(np.round(p, 1).tolist() for p in (self.keyframe_poses()[0, :3, 3], position)))
            self.keyframes.keep([])
            self.occupancy = None
            return self.grow_to(position)
        self.occupancy, self.frame = occupancy, frame
        return occupancy

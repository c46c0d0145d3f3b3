"""Mapper: the data flow of the library. Read this first.

::

    image + pose -> keyframes -> rays -> samples -> field -> composite -> loss    (step)
                        |                   ^         |
                        +--> occupancy grid +-> voxels, map, points               (map)
                                                      |
                                                      views                       (render)
"""
from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf import views
from instant_nerf_ros.nerf.adaptation import Adaptation
from instant_nerf_ros.nerf.arrays import Alpha, AnyDepth, Depth, Image, Pose, Poses
from instant_nerf_ros.nerf.backends import select
from instant_nerf_ros.nerf.camera import Camera, check_pose
from instant_nerf_ros.nerf.capture.rays import ALL
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.field.render import View
from instant_nerf_ros.nerf.measurements import Measurements
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products import esdf, files, grids, map_projection, octree
from instant_nerf_ros.nerf.products.esdf import EsdfSlice
from instant_nerf_ros.nerf.products.octree import Octree
from instant_nerf_ros.nerf.trainer import Trainer


class Mapper:
    """Learns a scene from posed images, step by step, and answers what is where.

    It knows no threads and no clocks, and one thread owns it. Images and results are NumPy arrays.
    Positions are metres in the world frame, z up. Poses T_world_camera (4, 4) are of the camera's
    optical frame: x right, y down, z forward.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.adaptation = Adaptation(self.config)
        self.backend = select(self.config.device, self.config.field)
        random = np.random.default_rng(self.config.seed)
        self.measurements = Measurements(self.adaptation.config, self.backend, random)
        self.keyframes = self.measurements.keyframes
        self.trainer = Trainer(
            self.adaptation.config, self.backend, self.keyframes, self.measurements.ranges,
            self.measurements.motion.pseudo_depth, random)
        self._map_projection = map_projection.MapProjection()

    @property
    def backend_name(self) -> str:
        """Return the name of the backend in use."""
        return self.backend.NAME

    @property
    def occupancy(self) -> OccupancyGrid | None:
        """Return the occupancy grid, None before the first image or scan."""
        return self.measurements.occupancy

    @property
    def keyframe_count(self) -> int:
        """Return the number of keyframes."""
        return len(self.keyframes)

    def is_held_out(self, image_id: int) -> bool:
        """Return whether an image that `add` has kept is held out."""
        return image_id in self.measurements.held_out

    def keyframe_poses(self) -> NDArray[np.float64]:
        """Return T_world_camera of the keyframes, (K, 4, 4)."""
        return self.measurements.keyframe_poses()

    @property
    def steps(self) -> int:
        """Return the number of training steps."""
        return self.trainer.steps

    @property
    def discarded(self) -> int:
        """Return the number of steps that changed nothing, as their loss was not finite."""
        return self.trainer.discarded

    @property
    def converged(self) -> bool:
        """Return whether more steps would change nothing until another image is added."""
        return self.trainer.schedule.converged

    def set_config(self, config: Config) -> None:
        """Use the settings of another Config that may change while mapping (change='live')."""
        self.config = config
        self.adaptation.set_config(config)
        self.measurements.set_config(self.adaptation.config, self.adaptation.unit)
        self.trainer.set_config(self.adaptation.config, self.adaptation.unit)

    def set_floor(self, height: float | None) -> None:
        """Set the height of the floor at the robot [m, world]; None: it is estimated."""
        self._map_projection.set_floor(height)

    def is_new_viewpoint(self, T_world_camera: Pose) -> bool:
        """Return whether `add` would keep an image at a pose (4, 4); ValueError if malformed."""
        return self.measurements.is_new_viewpoint(T_world_camera)

    def add(
        self, image: Image, camera: Camera, T_world_camera: Pose, depth: AnyDepth | None = None,
        alpha: Alpha | None = None, angular_velocity: ArrayLike | None = None, hurry: bool = False,
    ) -> int | None:  # fmt: skip
        """Add a posed image as a keyframe, or hold it out; return its id, None if nothing new.

        image (H, W, 3) uint8 RGB; T_world_camera (4, 4); depth (H, W) [m] along the optical axis,
        not finite or <= 0 where unknown, or EstimatedDepth; alpha (H, W), 255 opaque, 1 masked;
        angular_velocity (3,) [rad/s] of the camera; hurry: no stereo. Raises ValueError.
        """
        if (image_id := self.measurements.add(
                image, camera, T_world_camera, depth, alpha, angular_velocity, hurry)) is not None:
            self.trainer.data_added()
        self.adapt()
        return image_id

    def adapt(self) -> None:
        """Let settings that are 0, and the grid, follow from what the keyframes see, if due."""
        if (box := self.adaptation.see(self.keyframes)) is not None:
            self.measurements.reach(box)
            self.set_config(self.config)
            self.trainer.space.cover(box)
        self.trainer.space.cover(self.measurements.grid().sensor[None])

    def integrate_depth(
        self, image: Image, camera: Camera, T_world_camera: Pose, depth: Depth,
    ) -> None:  # fmt: skip
        """Let an image with depth vote, without keeping it: for a camera that does not move."""
        self.measurements.integrate_depth(image, camera, T_world_camera, depth)

    def add_ranges(
        self, origins: ArrayLike, points: ArrayLike, free_ends: ArrayLike | None = None,
    ) -> int | None:  # fmt: skip
        """Add points (N, 3) that a range sensor measured from origins, (3,) or (N, 3), world.

        free_ends (N, 3): the ends of rays that met nothing, not finite for others. Returns the id
        of the scan, None without a measurement. Raises ValueError for arrays of other shapes.
        """
        if (scan_id := self.measurements.add_ranges(origins, points, free_ends)) is not None:
            self.trainer.data_added()
        return scan_id

    def add_body_pose(self, T_world_base: Pose) -> int | None:
        """Free what the robot's body fills on the floor at a pose (4, 4); None if nothing new."""
        return self.measurements.add_body_pose(T_world_base)

    def correct_poses(self, corrections: Poses) -> None:
        """Move what has an id by {id: T_new_old (4, 4)}; ValueError if no voxels reach there."""
        self.measurements.correct_poses(corrections)
        self.trainer.space.forget()
        self.trainer.data_added()

    def set_progress(self, share: float) -> None:
        """Say how much of a planned training is done, in [0, 1]: the learning rate follows it."""
        self.trainer.set_progress(share)

    def step(self) -> dict[str, float]:
        """Take a training step; return 'loss' and its terms; RuntimeError without keyframes."""
        return self.trainer.step(self.measurements.grid())

    def render(self, camera: Camera, T_world_camera: Pose, rows: slice = ALL) -> View:
        """Return the View of a camera at a pose (4, 4), or of a slice of its rows."""
        pose = self.measurements.frame.localize(check_pose(T_world_camera))
        return views.render(self.trainer, self.measurements.grid(), camera, pose, rows)

    def psnr(self) -> float:
        """Return the PSNR [dB] of renderings of the held-out images; NaN without any."""
        return self.measurements.held_out.psnr(
            lambda rays: views.render_rays(self.trainer, self.measurements.grid(), rays)[0].cpu())

    def voxels(self) -> grids.VoxelGrid:
        """Return the voxels that are free, occupied or unknown by the votes of rays."""
        return grids.voxels(self.measurements.grid())

    def map(self) -> grids.MapGrid:
        """Return the map of the heights in which the robot moves, with the same three states."""
        measured = bool(self.keyframes.farthest.any()) or len(self.measurements.ranges) > 0
        return self._map_projection.project(self.measurements.grid(), self.config.map, measured)

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return centers (N, 3) [m, world] and colors (N, 3) RGB of the occupied voxels."""
        return grids.points(self.measurements.grid())

    def octree(self) -> Octree:
        """Return the voxels as an OctoMap."""
        start = [axis.start for axis in grids.dense_window(self.measurements.grid())]
        return octree.octree(self.voxels(), self.measurements.grid().world_first + start)

    def esdf(self, height: float) -> EsdfSlice:
        """Return the distances to voxels that are not free, at a height above the floor [m]."""
        return esdf.esdf_slice(self.voxels(), self.map().floor + height)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write map, points, mesh and model to a folder; see files.save."""
        files.save(self, folder)

    def rescue(self, folder: str | os.PathLike[str]) -> None:
        """Write only the keyframes, also after a failure of the backend; see files.rescue."""
        files.rescue(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], config: Config | None = None) -> Mapper:
        """Return the Mapper that was saved in a folder; see files.load."""
        return files.load(cls, folder, config)

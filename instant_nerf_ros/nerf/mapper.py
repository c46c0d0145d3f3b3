"""Mapper: the arrows between the nouns. Read this first.

::

    image + pose -> keyframes -> rays -> samples -> field -> composite -> loss    (step)
                                            ^         |
                                            occupancy <-> grids                   (map)
                                                      |
                                                      render                      (render)
"""
import numpy as np
import torch

from instant_nerf_ros.nerf.products import esdf, files, grids, octree
from instant_nerf_ros.nerf.occupancy import integration
from instant_nerf_ros.nerf.field import train_step, render
from instant_nerf_ros.nerf.capture import rays
from instant_nerf_ros.nerf.backends import select
from instant_nerf_ros.nerf.capture.batches import draw, take_in
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.occupancy.pose_correction import correct
from instant_nerf_ros.nerf.field.radiance_field import Field, geometry_settings
from instant_nerf_ros.nerf.held_out import HeldOut
from instant_nerf_ros.nerf.capture.keyframes import Keyframes, checked
from instant_nerf_ros.nerf.motion.structure_from_motion import Motion
from instant_nerf_ros.nerf.occupancy.occupancy_grid import Occupancy
from instant_nerf_ros.nerf.capture.ranges import Ranges
from instant_nerf_ros.nerf.schedule import Schedule

PROBE_EVERY = 4  # steps between looks at voxels that are skipped


class Mapper:
    """Learns a scene from posed images, step by step, and answers what is where.

    It knows no threads and no clocks, and one thread owns it. Images and results are numpy,
    positions in metres in the world frame, z up.
    """

    def __init__(self, config=Config()):
        self.config = config
        self.engine = select(config.device, geometry_settings(config.field))
        self.random = np.random.default_rng(config.seed)
        self.generator = torch.Generator(self.engine.DEVICE).manual_seed(config.seed)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.field = Field(config.field, self.engine)
        self.optimizer = self.engine.Adam(
            self.field.geometry, self.field.color, config.optimizer.beta1, config.optimizer.beta2,
            config.optimizer.epsilon, config.optimizer.weight_decay)
        self.keyframes, self.motion = Keyframes(config.keyframes), Motion(config.motion)
        self.ranges, self.held_out, self.schedule = Ranges(), HeldOut(), Schedule()
        self.occupancy = None  # exists from the first keyframe on, which is its centre
        self.floor = None  # its height where the robot is [m]; None: it is estimated
        self.steps = self.discarded = 0  # discarded are those that change nothing: loss not finite
        self._next = None  # rays of the next step, if they are drawn already

    @property
    def backend(self):
        """Return the name of the backend in use."""
        return self.engine.NAME

    @property
    def keyframe_count(self):
        """Return the number of keyframes in the store."""
        return len(self.keyframes)

    @property
    def settled(self):
        """Tell whether more steps are in vain: the last keyframe is long since learnt."""
        return self.schedule.settled

    def moved(self, T_world_camera):
        """Tell whether an image at a pose (4, 4) would be kept, to decode it only then."""
        return self.keyframes.moved(T_world_camera, self.held_out.T_world_camera)

    def add(self, image, camera, T_world_camera, depth=None):
        """Take a posed image, and tell whether it was kept: it is if the camera moved enough.

        Args: image (H, W, 3) uint8 RGB; camera; T_world_camera (4, 4); depth (H, W), metres along
        the optical axis, not finite or <= 0 where nothing was measured.
        Raises ValueError for anything malformed; nothing has changed then.
        """
        T_world_camera = checked(image, camera, T_world_camera, depth)
        if not self.moved(T_world_camera):
            return False
        self.keyframes.check(camera)
        self._include(T_world_camera[:3, 3])
        self.keyframes.add(image, camera, T_world_camera, depth)
        self.motion.see(self.keyframes, self.random)
        integration.tell_measured(self.keyframes, -1, self.occupancy, self.random)
        self.schedule.keyframe_came()
        self._next = None
        return True

    def glance(self, image, camera, T_world_camera, depth):
        """Let an image with depth vote, as `add` does, though it is not kept: one a second."""
        T_world_camera = checked(image, camera, T_world_camera, depth)
        self._include(T_world_camera[:3, 3])
        seen = rays.of_image(image, camera, T_world_camera, depth, integration.MEASURED, self.random)
        integration.tell_again(seen, self.occupancy, self.keyframes.take_number())

    def add_ranges(self, origins, points):
        """Take points (N, 3) that a range sensor at origins (3,) or (N, 3) saw; see Ranges.add."""
        scan = self.ranges.add(origins, points, self.random, self.keyframes.count)
        if len(scan):
            self._include(scan.origins[-1].numpy().astype(np.float64))
            integration.tell_scan(scan, self.occupancy, self.keyframes.take_number())
            self.schedule.keyframe_came()

    def correct(self, corrections):
        """Move keyframes and scans by {number: T_new_old (4, 4)}; maps are made anew.

        Raises ValueError if the voxels cannot go as far as they; nothing has changed then.
        """
        correct(self, corrections)
        self.schedule.keyframe_came()
        self._next = None

    def step(self):
        """Take a step, and return the terms of the loss and their sum; needs a keyframe."""
        self._known()
        batch, drawn = self._next or self._draw()
        self._next = None
        budget, count = self.schedule.budget(self.config.sampling, self.engine), len(batch)
        try:
            learnt = train_step.learn(
                self.field, batch, self.occupancy, self.config, self.engine, self._uniform(count),
                self._uniform(count, 3), self.schedule.stride, budget)
        except RuntimeError as error:  # for want of memory, of which tinycudann has no type
            self.schedule.make_room(budget, error)
            return self.step()
        self.schedule.step_taken(count, len(learnt.positions), learnt.loss, budget)
        if np.isfinite(learnt.loss):
            rate = self.schedule.learning_rate(self.config.optimizer.learning_rate)
            self.engine.together(
                lambda: self.optimizer.step(rate), lambda: self._note(batch, drawn, learnt))
            if self.steps % PROBE_EVERY == 0:
                self.occupancy.probe(
                    batch, self._uniform(count), learnt.medians, self.field.density)
            turn, later = divmod(self.steps, self.schedule.vote_every)
            if not later:
                integration.tell_rendered(
                    self.keyframes, turn, self.occupancy, self.random,
                    self.field, self.config.sampling, self.engine, self.schedule.stride)
        else:
            self.discarded += 1
        self.steps += 1
        return {'loss': learnt.loss, **learnt.terms}

    def render(self, camera, T_world_camera, rows=slice(None)):
        """Return the View of a camera at a pose (4, 4), or only some rows of it (slice)."""
        return render.render(
            self.field, self._known(), camera, np.asarray(T_world_camera, dtype=np.float64),
            self.config.sampling, self.engine, self.schedule.stride, rows)

    def voxels(self):
        """Return the VoxelGrid of what the rays say is there."""
        return grids.voxels(self._known())

    def map(self):
        """Return the MapGrid of the band of heights in which the robot moves."""
        return grids.project(self._known(), self.config.map, self.floor)

    def points(self):
        """Return centres (N, 3) float32 and colours (N, 3) uint8 of the occupied voxels."""
        return grids.points(self._known())

    def octree(self):
        """Return the Octree of what the rays say is there, as OctoMap has it."""
        start = [axis.start for axis in self._known().window()]
        return octree.octree(self.voxels(), self.occupancy.first + start)

    def distances(self, height):
        """Return the Distances to what is not free, at a height above the floor [m]."""
        return esdf.layer(self.voxels(), self.map().floor + height)

    def save(self, folder):
        """Write map, points, mesh and model to a folder; see files.save."""
        files.save(self, folder)

    def rescue(self, folder):
        """Write the keyframes alone, also if the engine has failed; `load` learns them anew."""
        files.rescue(self, folder)

    @classmethod
    def load(cls, folder, config=None):
        """Return the Mapper that was saved in a folder; see files.load."""
        return files.load(cls, folder, config)

    def _known(self):
        if self.occupancy is None:
            raise RuntimeError('there is no keyframe yet: add an image first')
        return self.occupancy

    def _include(self, position):
        """Let the voxels go as far as a sensor at a position (3,); ValueError if they cannot."""
        if self.occupancy is None:
            self.occupancy = Occupancy(self.config.occupancy, position, self.engine)
        self.occupancy.include(position)

    def _draw(self):
        return draw(self.keyframes, self.ranges, self.motion.ranges, self.engine,
                    self.schedule.rays, self.random, self.config.sampling.error_share)

    def _note(self, batch, drawn, learnt):
        """Take in what this step saw without asking the field, and draw the rays of the next."""
        self.occupancy.visit(learnt.positions, learnt.densities)
        take_in(self.keyframes, self.engine, drawn, batch.pixels, learnt.colors, learnt.opacities)
        self._next = self._draw()

    def _uniform(self, *shape):
        return torch.rand(shape, generator=self.generator, device=self.engine.DEVICE)

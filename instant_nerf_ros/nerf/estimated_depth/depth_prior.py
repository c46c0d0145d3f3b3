"""Depth prior: estimated depth of keyframes, from topics or a network, beside stereo."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from instant_nerf_ros.nerf.arrays import EstimatedDepth, Image, Pose
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.config import DepthPriorConfig
from instant_nerf_ros.nerf.estimated_depth.depth_fitter import DepthFitter
from instant_nerf_ros.nerf.estimated_depth.depth_network import DepthNetwork
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate
from instant_nerf_ros.nerf.motion.structure_from_motion import StructureFromMotion
from instant_nerf_ros.nerf.occupancy.estimate_votes import integrate_estimate
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

logger = logging.getLogger('instant_nerf_ros')


class DepthPrior:
    """Fits what a network says about keyframes to what stereo knows, and gives it to `motion`."""

    def __init__(
        self, config: DepthPriorConfig, motion: StructureFromMotion,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Keep the settings, and a clock in seconds that the rate of the network follows."""
        self.fitter = DepthFitter()
        self._config, self._motion, self._clock = config, motion, clock
        self._network: DepthNetwork | None = None
        self._failed = not config.model
        self._fitted: set[int] = set()  # keyframe ids
        self._due = -np.inf  # s, on the clock: when the network may run again

    def add(self, keyframe: int, depth: EstimatedDepth, T_world_camera: Pose) -> None:
        """Keep the estimated depth of a keyframe until its stereo is known."""
        if not self._motion.config.stereo:
            self.fitter.refuse("without stereo, nothing ties it to metres: set 'motion.stereo'")
            return
        self.fitter.add(keyframe, depth.values, T_world_camera)

    def update(self, estimate: DepthEstimate, keyframes: Keyframes) -> bool:
        """Improve the depth of a keyframe, known by stereo, and return whether that worked."""
        keyframe, ids = estimate.keyframe, keyframes.ids.tolist()
        poses = dict(zip(ids, keyframes.T_world_camera))
        camera, image, _ = keyframes.image(ids.index(keyframe))
        if not self.fitter.expects(keyframe):
            self._run_network(keyframe, image, poses[keyframe])
        fitted = self.fitter.fit(estimate, poses, self._motion.corrected_camera(camera))
        if fitted is None:
            return False
        self._motion.set_estimate(fitted)
        self._fitted.add(keyframe)
        return True

    def integrate(self, keyframe: int, keyframes: Keyframes, occupancy: OccupancyGrid) -> None:
        """Let the improved depth of a keyframe vote."""
        pose = keyframes.T_world_camera[keyframes.ids.tolist().index(keyframe)]
        integrate_estimate(self._motion.estimates[keyframe].rays(pose), occupancy, keyframe)

    def integrate_all(self, keyframes: Keyframes, occupancy: OccupancyGrid) -> None:
        """Let all improved depth vote in a new grid."""
        known = set(keyframes.ids.tolist()) & set(self._motion.estimates)
        for keyframe in sorted(self._fitted & known):
            self.integrate(keyframe, keyframes, occupancy)

    def _run_network(self, keyframe: int, image: Image, T_world_camera: Pose) -> None:
        """Run the network on an image, unless it has had its share of the time."""
        begin = self._clock()
        if self._failed or begin < self._due:
            return
        try:
            if self._network is None:
                self._network = DepthNetwork(
                    self._config.model, self._config.normalization, image)
                logger.info('depth is estimated by %s on %s', self._config.model,
                            self._network.provider)
                begin = self._clock()  # the first image says how long it takes, without loading
            values = self._network(image)
        except ValueError as error:
            self._failed = True
            logger.error("'depth_prior.model' is not used: %s; mapping goes on without", error)
            return
        self._due = begin + (self._clock() - begin) / self._config.share
        self.fitter.add(keyframe, values, T_world_camera)

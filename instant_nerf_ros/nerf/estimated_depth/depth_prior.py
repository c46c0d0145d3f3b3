"""Depth prior: estimated depth of keyframes, from stereo, improved by topics or a network."""
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

# Standard deviations before its end that a ray does not clear. Those of stereo are too small: the
# poses of neighboring images have errors that are alike, so that they agree better than is right.
MARGIN, STEREO_MARGIN = 2.0, 4.0


class DepthPrior:
    """Fits what a network says about keyframes to stereo, and lets the depth of keyframes vote."""

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

    def update(self, estimate: DepthEstimate, keyframes: Keyframes) -> None:
        """Improve the depth of a keyframe, known by stereo, if estimated depth fits to it."""
        keyframe, ids = estimate.keyframe, keyframes.ids.tolist()
        poses = dict(zip(ids, keyframes.T_world_camera))
        camera, image, _ = keyframes.image(ids.index(keyframe))
        if not self.fitter.expects(keyframe):
            self._run_network(keyframe, image, poses[keyframe])
        fitted = self.fitter.fit(estimate, poses, self._motion.corrected_camera(camera))
        if fitted is not None:
            self._motion.set_estimate(fitted)
            self._fitted.add(keyframe)

    def integrate(self, keyframe: int, keyframes: Keyframes, occupancy: OccupancyGrid) -> None:
        """Let the depth of a keyframe vote: where it was improved, or earlier images agree."""
        poses = dict(zip(keyframes.ids.tolist(), keyframes.T_world_camera))
        if keyframe in self._fitted:
            estimate, margin = self._motion.estimates[keyframe], MARGIN
        else:
            estimate, margin = self._motion.confirmed(keyframe, poses), STEREO_MARGIN
        integrate_estimate(estimate.rays(poses[keyframe]), occupancy, keyframe, margin)

    def integrate_all(self, keyframes: Keyframes, occupancy: OccupancyGrid) -> None:
        """Let all depth vote in a new grid."""
        for keyframe in sorted(set(keyframes.ids.tolist()) & set(self._motion.estimates)):
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

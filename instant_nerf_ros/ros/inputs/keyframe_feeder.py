"""Feeds the Mapper: images and scans from new viewpoints are decoded and added."""
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf import EstimatedDepth
from instant_nerf_ros.ros.inputs.blur_filter import BlurFilter
from instant_nerf_ros.ros.inputs.body_poses import PosedBody
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.inputs.loop_closures import CameraPath, LoopClosures
from instant_nerf_ros.ros.inputs.posed_images import PosedImage
from instant_nerf_ros.ros.inputs.range_scans import PosedScan
from instant_nerf_ros.ros.inputs.viewpoints import Viewpoints
from instant_nerf_ros.ros.params.live_parameters import LiveParameters
from instant_nerf_ros.ros.reporting.dropped_messages import BLURRED, DroppedMessages
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper
    from instant_nerf_ros.session.recorder import Recorder

MAX_DURATION = 0.03  # s after which no other input is taken before the next training step
MAX_WAITING = 3  # images, with which there is time for the stereo of each
STATIC_PERIOD_NS = 1_000_000_000  # between depth images of a static camera that are integrated


class KeyframeFeeder:
    """Moves inputs from a queue to a Mapper; belongs to the training thread.

    Images and scans from known viewpoints are not decoded.
    """

    def __init__(
        self, parameters: LiveParameters, queue: InputQueue, loop_closures: LoopClosures,
        path: CameraPath, statistics: TopicStatistics, dropped: DroppedMessages,
        now_ns: Callable[[], int], recorder: 'Recorder',
    ) -> None:  # fmt: skip
        """Add the poses of images to a path; now_ns() is the ROS time."""
        self._recorder = recorder
        self._parameters, self._queue, self._now_ns = parameters, queue, now_ns
        self._loop_closures, self._path = loop_closures, path
        self._statistics, self._dropped = statistics, dropped
        self.latest: PosedImage | None = None  # whether or not it was added
        self.reset(None)

    def reset(self, mapper: 'Mapper | None', stamp_ns: int = 0) -> None:
        """Start again with an empty map, or with the keyframes of another Mapper.

        stamp_ns is that of the newest of these keyframes. The queue stays as it is.
        """
        self.map_stamp_ns = stamp_ns  # stamp of the newest image in the map
        self.depths = 0  # number of images with depth that were added
        self.scans = 0  # number of scans that were added
        self._loop_closures.reset()
        self._viewpoints = Viewpoints()
        self._blur_filters: dict[object, BlurFilter] = {}  # by source
        self._integrated_ns: dict[object, int] = {}  # stamp of the last depth image, by source
        if mapper is None:
            self.latest = None
            return
        for T_map_camera in mapper.keyframe_poses():
            self._path.add(T_map_camera, stamp_ns)

    def resume(self, mapper: 'Mapper', stamps: Mapping[int, int]) -> None:
        """Continue with a Mapper of an earlier session; stamps [ns] of its inputs, by id.

        What is of its base has no stamp: no loop closure moves it, and no path was driven there.
        """
        for sensor_id, stamp_ns in stamps.items():
            self._loop_closures.note(sensor_id, stamp_ns)
        for image_id, T_map_camera in zip(
                mapper.keyframes.ids.tolist(), mapper.keyframe_poses()):
            if image_id in stamps:
                self._path.add(T_map_camera, stamps[image_id])
        now_ns = self._now_ns() if mapper.keyframe_count else 0
        self.map_stamp_ns = max(stamps.values(), default=now_ns)

    def wait(self, timeout: float) -> None:
        """Wait until the queue is not empty, at most timeout [s]."""
        self._queue.wait(timeout)

    def feed(self, mapper: 'Mapper', stop: threading.Event) -> None:
        """Add inputs from the queue until it is empty, stop is set, or MAX_DURATION has passed.

        The duration is bounded because inputs that arrive faster must not block training. While
        many of them wait, images are added without stereo.
        """
        if corrections := self._loop_closures.apply(mapper):
            self._recorder.add_corrections(corrections)
        deadline = time.monotonic() + MAX_DURATION
        while (time.monotonic() < deadline and not stop.is_set()
                and (posed := self._queue.pop()) is not None):
            try:
                if isinstance(posed, PosedScan):
                    self._feed_scan(mapper, posed)
                elif isinstance(posed, PosedBody):
                    self._feed_body(mapper, posed)
                else:
                    self.latest = posed
                    self._feed_image(mapper, posed)
            except ValueError as error:
                self._dropped.add('refused by the engine', str(error))

    def _feed_scan(self, mapper: 'Mapper', posed: PosedScan) -> None:
        if not self._viewpoints.is_new_viewpoint(
                posed.source, posed.T_map_sensor, self._parameters.engine.keyframes):
            return
        rays = posed.source.decode(posed)
        if rays is None:
            return
        T_new_old = self._loop_closures.T_new_old(posed.stamp_ns)
        origins, points = (
            positions @ T_new_old[:3, :3].T + T_new_old[:3, 3] for positions in rays)
        free_ends = posed.source.decode_free(posed)
        if free_ends is not None:
            free_ends = free_ends @ T_new_old[:3, :3].T + T_new_old[:3, 3]
        scan_id = mapper.add_ranges(origins, points, free_ends)
        self._viewpoints.add(posed.source, posed.T_map_sensor)
        if scan_id is not None:
            self._loop_closures.note(scan_id, posed.stamp_ns)
            self._recorder.add_scan(scan_id, posed.stamp_ns, origins, points, free_ends)
            self.scans += 1

    def _feed_body(self, mapper: 'Mapper', posed: PosedBody) -> None:
        pose_id = mapper.add_body_pose(
            self._loop_closures.T_new_old(posed.stamp_ns) @ posed.T_map_sensor)
        if pose_id is not None:
            self._loop_closures.note(pose_id, posed.stamp_ns)

    def _feed_image(self, mapper: 'Mapper', posed: PosedImage) -> None:
        if not mapper.is_new_viewpoint(self._corrected_pose(posed)):
            self._integrate_static(mapper, posed)
            return
        decoded = posed.source.decode(posed)
        if decoded is None:
            return
        blur_filter = self._blur_filters.setdefault(
            posed.source, BlurFilter(lambda blurred: self._dropped.count(BLURRED)))
        selected = blur_filter.select(decoded[0], posed.stamp_ns, (posed, *decoded))
        if selected is not None:
            self._add_image(mapper, *selected)

    def _integrate_static(self, mapper: 'Mapper', posed: PosedImage) -> None:
        """Update the occupancy grid by a camera that does not move, as objects may do."""
        elapsed_ns = posed.stamp_ns - self._integrated_ns.get(posed.source, -STATIC_PERIOD_NS)
        if posed.depth is None or 0 <= elapsed_ns < STATIC_PERIOD_NS:
            return
        decoded = posed.source.decode(posed)
        image, depth = decoded or (None, None)
        if image is None or depth is None or isinstance(depth, EstimatedDepth):
            return
        mapper.integrate_depth(image, posed.camera, self._corrected_pose(posed), depth)
        self.map_stamp_ns = posed.stamp_ns
        self._integrated_ns[posed.source] = posed.stamp_ns

    def _add_image(
        self, mapper: 'Mapper', posed: PosedImage, image: NDArray[np.uint8],
        depth: NDArray[np.float32] | EstimatedDepth | None,
    ) -> None:  # fmt: skip
        T_map_camera = self._corrected_pose(posed)
        hurry = len(self._queue) > MAX_WAITING
        image_id = mapper.add(image, posed.camera, T_map_camera, depth,
                              angular_velocity=posed.angular_velocity, hurry=hurry)
        if image_id is None:
            return
        self._loop_closures.note(image_id, posed.stamp_ns)
        self._recorder.add_image(
            image_id, posed.stamp_ns, image, posed.camera, T_map_camera,
            depth if isinstance(depth, np.ndarray) else None, mapper.is_held_out(image_id),
            angular_velocity=posed.angular_velocity)
        if mapper.is_held_out(image_id):
            return
        self._path.add(T_map_camera, posed.stamp_ns)
        self.map_stamp_ns = posed.stamp_ns
        self._statistics.delayed((self._now_ns() - posed.stamp_ns) * 1e-9)
        if depth is not None and not isinstance(depth, EstimatedDepth):
            self.depths += 1
            self._integrated_ns[posed.source] = posed.stamp_ns

    def _corrected_pose(self, posed: PosedImage) -> NDArray[np.float64]:
        """Return T_map_camera (4, 4) of an image after the latest loop closure."""
        return self._loop_closures.T_new_old(posed.stamp_ns) @ posed.T_map_camera

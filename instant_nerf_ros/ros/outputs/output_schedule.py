"""OutputSchedule: publishes the results of a Mapper, each kind at its rate."""
from typing import TYPE_CHECKING

from instant_nerf_ros.ros.inputs.posed_images import PosedImage
from instant_nerf_ros.ros.outputs.path_publisher import PathPublisher
from instant_nerf_ros.ros.outputs.publishers import Publishers
from instant_nerf_ros.ros.outputs.view_publisher import ViewPublisher
from instant_nerf_ros.ros.params.live_parameters import LiveParameters
from instant_nerf_ros.ros.periodic import Periodic

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


class OutputSchedule:
    """Publishes map, volumes, path and views when they are due; belongs to the training thread."""

    def __init__(
        self, parameters: LiveParameters, publishers: Publishers, path_publisher: PathPublisher,
        views: ViewPublisher,
    ) -> None:  # fmt: skip
        """Publish at the rates of the parameters."""
        self._parameters = parameters
        self._publishers, self._path_publisher = publishers, path_publisher
        self._views = views
        self._map = Periodic(lambda: parameters.node.map_rate)
        self._volumes = Periodic(lambda: parameters.node.points_rate)
        self._path = Periodic(lambda: parameters.node.keyframes_rate)
        self._view = Periodic(lambda: parameters.node.render_rate)

    def publish_due(
        self, mapper: 'Mapper', latest: PosedImage | None, stamp_ns: int, min_period: float,
    ) -> None:  # fmt: skip
        """Publish what is due, and answer a view request.

        stamp_ns is that of the newest image in the map. Views have the camera of the latest
        image, or of the newest keyframe. min_period [s] bounds the periods from below.
        """
        if self._map.due(min_period):
            self._publishers.publish_map(mapper, stamp_ns)
            self._map.done()
        if self._volumes.due(min_period):
            height = self._parameters.node.distance_height
            self._publishers.publish_volumes(mapper, height, stamp_ns)
            self._volumes.done()
        if self._path.due(min_period):
            self._path_publisher.publish(mapper.keyframe_poses(), stamp_ns)
            self._path.done()
        if latest and self._view.due(min_period):
            self._views.publish_latest(mapper, latest)
            self._view.done()
        # A loaded map may exist before the first image.
        camera = latest.camera if latest else mapper.keyframes.image(-1)[0]
        self._views.answer_next_request(mapper, camera)

    def invalidate(self) -> None:
        """Publish everything the next time, even if it has not changed."""
        self._publishers.invalidate()
        self._path_publisher.invalidate()

    def publish_unknown(self, stamp_ns: int) -> None:
        """Replace everything that was published by unknown space and an empty path."""
        self._publishers.publish_unknown(stamp_ns)
        self.start_path(stamp_ns)

    def start_path(self, stamp_ns: int) -> None:
        """Clear the path, and stop rendering the current view, as the map is another one."""
        self._views.cancel()
        self._path_publisher.clear(stamp_ns)

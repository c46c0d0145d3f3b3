"""ViewPublisher: rendered views from the pose of an image, of a TF frame, or of a request."""
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tf2_ros import Buffer

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.posed_images import PosedImage
from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, newest_pose
from instant_nerf_ros.ros.outputs.progressive_renderer import (
    ProgressiveRenderer,
    RenderedView,
    enlarged,
)
from instant_nerf_ros.ros.outputs.publishers import Publishers
from instant_nerf_ros.ros.outputs.view_requests import ViewRequests
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


PREVIEW_DEADLINE = 0.012  # s, maximum pause of training for a preview
PREVIEW_REST = 0.25  # s without another request, after which a coarse preview is refined
PREVIEW_PAUSE = 5.0  # between its pieces, in multiples of their time, in which training goes on
PREVIEW_KEEPS = 15.0  # s after a preview, in which its client sees no other views


class ViewPublisher:
    """Renders and publishes views, as long as their topics have a subscriber.

    A large view is rendered in pieces over several calls; a new request replaces it.
    """

    def __init__(
        self, buffer: Buffer | None, config: NodeConfig, requests: ViewRequests,
        publishers: Publishers, dropped: DroppedMessages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Keep a TF buffer, the settings, the queue of requests, and where to publish.

        clock() is in seconds.
        """
        self._config, self._clock = config, clock
        self._previewed_at = self._due = -math.inf  # the latter: when the next piece is rendered
        self._buffer, self._requests = buffer, requests
        self._publishers, self._dropped = publishers, dropped
        self._renderer = ProgressiveRenderer()
        # The pieces of the current view, its (camera, stamp_ns, frame_id), and its kind.
        self._pieces: Iterator[RenderedView | None] | None = None
        self._header: tuple[Camera, int, str] | None = None
        self._preview = False

    def set_config(self, config: NodeConfig) -> None:
        """Use other settings from now on."""
        self._config = config

    def publish_latest(self, mapper: 'Mapper', latest: PosedImage) -> None:
        """Render from render_frame if it is set, else from the pose of the latest image.

        Does nothing while another view is being rendered, or while previews are requested.
        """
        if (self._pieces or not self._publishers.has_view_subscribers()
                or self._clock() < self._previewed_at + PREVIEW_KEEPS):
            return
        T_map_camera, stamp_ns, frame_id = latest.T_map_camera, latest.stamp_ns, latest.frame_id
        if self._config.render_frame:
            frame_id = self._config.render_frame
            try:
                T_map_camera, stamp_ns = newest_pose(
                    self._buffer, self._config.map_frame, frame_id)
            except UnusableError as error:
                self._dropped.add(
                    'no TF for render_frame', f"{error}; check the parameter 'render_frame'")
                return
        self._start(mapper, latest.camera, T_map_camera, stamp_ns, frame_id)

    def answer_next_request(self, mapper: 'Mapper', camera: Camera) -> None:
        """Render the oldest request with a camera.

        Without a request, continues the view that is being rendered.
        """
        request = self._requests.take()
        if request is None:
            if self._clock() >= self._due:
                self._continue()
        elif self._publishers.has_view_subscribers():
            self._start(
                mapper, camera, request.T_map_camera, request.stamp_ns, request.frame_id,
                request.preview)
            self._previewed_at = self._clock() if request.preview else -math.inf
            self._due = self._previewed_at + PREVIEW_REST
        else:
            self._dropped.add(
                'unwanted view', 'a view was requested, but ~/render has no subscriber')

    def cancel(self) -> None:
        """Stop rendering the current view."""
        self._pieces = None

    def _start(
        self, mapper: 'Mapper', camera: Camera, T_map_camera: NDArray[np.float64],
        stamp_ns: int, frame_id: str, preview: bool = False,
    ) -> None:  # fmt: skip
        """Render a view, or its first piece, in place of the current one."""
        camera, deadline = virtual_camera(camera, self._config), self._config.render_deadline
        if preview:
            deadline = min(deadline, PREVIEW_DEADLINE)
        self._pieces = self._renderer.render(mapper, camera, T_map_camera, deadline)
        self._header, self._preview = (camera, stamp_ns, frame_id), preview
        self._continue()

    def _continue(self) -> None:
        """Render and publish the next piece, which takes its deadline at most."""
        if self._pieces is None or self._header is None:
            return
        begin = self._clock()
        try:
            view = next(self._pieces)
        except StopIteration:
            self._pieces = None
            return
        if view is not None:
            camera, stamp_ns, frame_id = self._header
            # Clients of previews enlarge them; others expect images of one size.
            shown = view if self._preview else enlarged(view, camera)
            self._publishers.publish_view(
                shown, shown.camera, stamp_ns, frame_id, self._config.render_quality)
        if self._preview:
            self._due = self._clock() + PREVIEW_PAUSE * (self._clock() - begin)


def virtual_camera(camera: Camera, config: NodeConfig) -> Camera:
    """Return the camera of rendered views: that of the images, changed by render_*."""
    width = config.render_width or camera.width
    scaled = camera.scaled(width, max(1, round(camera.height * width / camera.width)))
    height = config.render_height or scaled.height
    if config.render_fov:
        focal = width / 2 / math.tan(math.radians(config.render_fov) / 2)
        return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    # Another height crops or extends the image equally at the top and at the bottom.
    return Camera(
        width, height, scaled.fx, scaled.fy, scaled.cx, scaled.cy + (height - scaled.height) / 2,
        scaled.distortion_model, scaled.distortion)

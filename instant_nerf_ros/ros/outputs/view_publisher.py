"""Rendered views: from where, with which camera, and for whom."""
import math

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.outputs.progressive_renderer import Painter
from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, newest_pose


class Views:
    """Renders what somebody subscribes to; otherwise nothing."""

    def __init__(self, buffer, config, requests, products, drops):
        """Keep a tf2_ros Buffer, a NodeConfig, ViewRequests, Products and Drops."""
        self.config = config
        self._buffer, self._requests = buffer, requests
        self._products, self._drops = products, drops
        self._painter = Painter()
        self._unfinished = None  # what paints a view, and what it is published with

    def publish_latest(self, mapper, latest):
        """Render from render_frame, or else from the pose of the latest PosedImage.

        Not while another view is unfinished.
        """
        if self._unfinished or not self._products.views_wanted():
            return
        pose = latest.T_map_camera, latest.stamp_ns, latest.frame_id
        if frame := self.config.render_frame:
            try:
                pose = (*newest_pose(self._buffer, self.config.map_frame, frame), frame)
            except UnusableError as error:
                self._drops.add(
                    'no TF for render_frame', f"{error}; check the parameter 'render_frame'")
                return
        self._publish(mapper, latest.camera, *pose)

    def answer_one_request(self, mapper, latest):
        """Render from the oldest pose that was asked for, or go on with what is unfinished."""
        request = self._requests.take()
        if request is None:
            self._go_on()
            return
        if self._products.views_wanted():
            self._publish(mapper, latest.camera, request.T_map_camera, request.stamp_ns,
                          request.frame_id)
        else:
            self._drops.add(
                'unwanted view', 'a view was asked for, but nobody subscribes to ~/render')

    def abandon(self):
        """Leave unfinished what is."""
        self._unfinished = None

    def _publish(self, mapper, camera, T_map_camera, stamp_ns, frame_id):
        """Publish a view, coarse if it takes long; then it is unfinished, in place of another."""
        camera = virtual_camera(camera, self.config)
        self._unfinished = (
            self._painter.paint(mapper, camera, T_map_camera, self.config.render_deadline),
            (camera, stamp_ns, frame_id))
        self._go_on()

    def _go_on(self):
        """Render no longer than render_deadline."""
        if self._unfinished is None:
            return
        pictures, about = self._unfinished
        try:
            picture = next(pictures)
        except StopIteration:
            self._unfinished = None
            return
        if picture is not None:
            self._products.publish_view(picture, *about, self.config.render_quality)


def virtual_camera(camera, config):
    """Return the Camera of the views: that of the images, as the settings render_* change it."""
    width = config.render_width or camera.width
    scaled = camera.scaled(width, max(1, round(camera.height * width / camera.width)))
    height = config.render_height or scaled.height
    if config.render_fov:
        focal = width / 2 / math.tan(math.radians(config.render_fov) / 2)
        return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    # Above and below, the image is cut off or goes on.
    return Camera(
        width, height, scaled.fx, scaled.fy, scaled.cx, scaled.cy + (height - scaled.height) / 2,
        scaled.distortion_model, scaled.distortion)

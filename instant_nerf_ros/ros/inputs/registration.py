"""Registration: the depth image of another camera is projected into the color camera."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

MAX_FOOTPRINT = 4  # width, in pixels of the image, that one pixel of depth may cover
MIN_DISTANCE = 1e-3  # metres from the camera


def register(
    depth: NDArray[np.float32], depth_camera: Camera, T_camera_depth: NDArray[np.float64],
    camera: Camera,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the depth (H, W) [m] in the pixels of `camera`, NaN where nothing was measured.

    depth is (H', W') metres along the optical axis of depth_camera; T_camera_depth (4, 4) maps
    points of its frame to that of camera. A pixel of depth is drawn as large as it is in the
    image, and the nearest one wins, so that a surface hides those behind it.
    """
    depths = depth.ravel()
    measured = np.isfinite(depths) & (depths > 0)
    measured &= depth_camera.has_rays()
    rays = depth_camera.directions()[measured].astype(np.float64)
    # Beside and behind a fisheye camera, a depth is the distance along the ray.
    points = rays * (depths[measured] / np.where(rays[:, 2] > 0, rays[:, 2], 1.0))[:, None]
    points = points @ T_camera_depth[:3, :3].T + T_camera_depth[:3, 3]
    points = points[np.linalg.norm(points, axis=-1) > MIN_DISTANCE]
    pixels = camera.project(points)
    ahead = points[:, 2] > 0
    values = np.where(ahead, points[:, 2], np.linalg.norm(points, axis=-1)).astype(np.float32)
    registered = np.full(camera.height * camera.width, np.inf, np.float32)
    footprint = int(np.clip(np.ceil(camera.fx / depth_camera.fx), 1, MAX_FOOTPRINT))
    corner = np.floor(pixels - (footprint - 1) / 2 + 0.5)
    for row in range(footprint):
        for column in range(footprint):
            u, v = corner[:, 0] + column, corner[:, 1] + row
            inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
            index = v[inside].astype(np.int64) * camera.width + u[inside].astype(np.int64)
            np.minimum.at(registered, index, values[inside])
    registered[np.isinf(registered)] = np.nan
    return registered.reshape(camera.height, camera.width)

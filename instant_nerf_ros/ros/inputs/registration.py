"""Registration: the depth image of another camera is projected into the color camera."""
import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

MAX_FOOTPRINT = 4  # width, in pixels of the image, that one pixel of depth may cover
MARGIN = 0.02  # of the image plane at z = 1, around the field of view


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
    rays = depth_camera.directions()[measured].astype(np.float64)
    points = rays * (depths[measured] / rays[:, 2])[:, None]
    points = points @ T_camera_depth[:3, :3].T + T_camera_depth[:3, 3]
    points = points[points[:, 2] > 1e-3]
    pixels = project(points, camera)
    registered = np.full(camera.height * camera.width, np.inf, np.float32)
    footprint = int(np.clip(np.ceil(camera.fx / depth_camera.fx), 1, MAX_FOOTPRINT))
    corner = np.floor(pixels - (footprint - 1) / 2 + 0.5)
    for row in range(footprint):
        for column in range(footprint):
            u, v = corner[:, 0] + column, corner[:, 1] + row
            inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
            index = v[inside].astype(np.int64) * camera.width + u[inside].astype(np.int64)
            np.minimum.at(registered, index, points[inside, 2].astype(np.float32))
    registered[np.isinf(registered)] = np.nan
    return registered.reshape(camera.height, camera.width)


def project(points: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Return the pixels (N, 2) of points (N, 3) in the frame of a Camera, z > 0.

    For a camera with distortion, points outside its field of view become NaN: the distortion
    model does not hold there.
    """
    image_plane = points[:, :2] / points[:, 2:]
    matrix = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    if camera.distortion_model == 'none' or not len(points):
        return image_plane * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    zero, coefficients = np.zeros(3), np.array(camera.distortion)
    if camera.distortion_model == 'equidistant':
        pixels, _ = cv2.fisheye.projectPoints(
            points[:, None], zero, zero, matrix, coefficients)
    else:
        pixels, _ = cv2.projectPoints(points[:, None], zero, zero, matrix, coefficients)
    # Far outside the image, the polynomials of the models return to it.
    visible = camera.directions().astype(np.float64)
    visible = visible[:, :2] / visible[:, 2:]
    inside = ((image_plane >= visible.min(axis=0) - MARGIN)
              & (image_plane <= visible.max(axis=0) + MARGIN)).all(axis=1)
    return np.where(inside[:, None], pixels[:, 0], np.nan)

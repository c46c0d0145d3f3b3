"""Depth images of another camera, as the camera of the colour image would have measured them."""
import cv2
import numpy as np

LARGEST_FOOTPRINT = 4  # pixels of the image across that one pixel of depth may cover


def register(depth, depth_camera, T_camera_depth, camera):
    """Return the depth (H, W) float32 of another Camera, NaN where nothing was measured.

    depth is (H', W') metres along the optical axis of depth_camera; T_camera_depth (4, 4) maps
    points of its frame to that of camera. A pixel covers as many pixels of the image as it is
    large, and the nearest one wins, so that nothing shines through what stands before it.
    """
    depths = depth.ravel()
    measured = np.isfinite(depths) & (depths > 0)
    rays = depth_camera.directions()[measured].astype(np.float64)
    points = rays * (depths[measured] / rays[:, 2])[:, None]
    points = points @ T_camera_depth[:3, :3].T + T_camera_depth[:3, 3]
    points = points[points[:, 2] > 1e-3]
    pixels = project(points, camera)
    registered = np.full(camera.height * camera.width, np.inf, np.float32)
    footprint = int(np.clip(np.ceil(camera.fx / depth_camera.fx), 1, LARGEST_FOOTPRINT))
    corner = np.floor(pixels - (footprint - 1) / 2 + 0.5)
    for row in range(footprint):
        for column in range(footprint):
            u, v = corner[:, 0] + column, corner[:, 1] + row
            inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
            index = v[inside].astype(np.int64) * camera.width + u[inside].astype(np.int64)
            np.minimum.at(registered, index, points[inside, 2].astype(np.float32))
    registered[np.isinf(registered)] = np.nan
    return registered.reshape(camera.height, camera.width)


def project(points, camera):
    """Return the pixels (N, 2) float64 at which a Camera sees points (N, 3) of its frame, z > 0.

    NaN for points beside its field of view, where the distortion says nothing.
    """
    image_plane = points[:, :2] / points[:, 2:]
    matrix = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    if camera.distortion_model == 'none' or not len(points):
        return image_plane * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    still, coefficients = np.zeros(3), np.array(camera.distortion)
    if camera.distortion_model == 'equidistant':
        pixels, _ = cv2.fisheye.projectPoints(
            points[:, None], still, still, matrix, coefficients)
    else:
        pixels, _ = cv2.projectPoints(points[:, None], still, still, matrix, coefficients)
    # The polynomials of the models turn back to the image far outside.
    seen = camera.directions().astype(np.float64)
    seen = seen[:, :2] / seen[:, 2:]
    margin = 0.02
    inside = ((image_plane >= seen.min(axis=0) - margin)
              & (image_plane <= seen.max(axis=0) + margin)).all(axis=1)
    return np.where(inside[:, None], pixels[:, 0], np.nan)

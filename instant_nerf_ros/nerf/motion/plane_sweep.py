"""Motion stereo: distances from images of one moving camera, before any field has learnt them.

A plane is swept through space (Collins 1996, "A space-sweep approach to true multi-image
matching"): wherever it is, other images fall on it, and look like the image itself where it is
right. That needs no common rows, so the camera may move ahead as well as aside. Smoothness decides
where images tell little (semi-global matching, Hirschmueller 2008).
"""
import dataclasses

import cv2
import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels import stereo

NEAREST, FARTHEST = 0.5, 6.0  # metres, of the planes
PLANES = 64  # evenly spaced in inverse depth
WINDOW = 7  # pixels, over which images are made equally bright and contrasty
CONTRAST = 4.0  # grey levels: less is noise
GAIN = 40.0  # of the normalised images, whose differences the costs of planes are
FINER = 2  # times as many pixels of the other images, of which the nearest is taken
STEP, JUMP, EDGE = 8.0, 100.0, 10.0  # see reference_stereo.smooth
PARALLAX = 6.0  # pixels by which a place must move in another image: 0.3 of them are 5 % of it
MARGIN = 0.2  # by which the best plane must be better than any elsewhere
ALIKE = 0.2  # share by which two images may differ in a distance
BASELINES = 0.1, 0.2, 0.3  # metres, wanted on either side
SHORTEST, LONGEST = 0.04, 0.6  # metres
LARGEST_ANGLE = 25.0  # degrees between two views


@dataclasses.dataclass(frozen=True)
class Plain:
    """An image as a camera without distortion would have taken it, and what is compared of it."""

    gray: np.ndarray  # (H, W) uint8
    normal: np.ndarray  # (H, W) float32, the same brightness and contrast everywhere
    finer: np.ndarray  # the same with more pixels
    matrix: np.ndarray  # (3, 3), to pixels

    def pixels(self):
        """Return the homogeneous pixels (H, W, 3)."""
        row, column = np.mgrid[: self.gray.shape[0], : self.gray.shape[1]]
        return np.stack([column, row, np.ones_like(row)], axis=-1)


def plain(gray, camera):
    """Return the Plain of an image (H, W) uint8 of a camera."""
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
    if camera.distortion:
        make = (cv2.fisheye.initUndistortRectifyMap if camera.distortion_model == 'equidistant'
                else cv2.initUndistortRectifyMap)
        maps = make(matrix, np.array(camera.distortion), np.eye(3), matrix, gray.shape[::-1],
                    cv2.CV_32FC1)
        # Black outside of the image would be an edge where there is none.
        gray = cv2.remap(gray, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light = gray.astype(np.float32)
    mean = cv2.blur(light, (WINDOW, WINDOW))
    spread = np.sqrt((cv2.blur(light * light, (WINDOW, WINDOW)) - mean * mean).clip(min=0))
    normal = GAIN * (light - mean) / (spread + CONTRAST)
    return Plain(gray, normal, cv2.resize(normal, None, fx=FINER, fy=FINER), matrix)


def partners(T_world_camera, T_world_others):
    """Return which of other poses (N, 4, 4) see the same from a good distance, up to three."""
    T_camera_others = np.linalg.inv(T_world_camera) @ T_world_others
    baselines = np.linalg.norm(T_camera_others[:, :3, 3], axis=-1)
    cosines = (np.trace(T_camera_others[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    good = ((baselines >= SHORTEST) & (baselines <= LONGEST)
            & (cosines > np.cos(np.radians(LARGEST_ANGLE))))
    chosen = []
    for wanted in BASELINES:
        if good.any():
            chosen.append(int(np.where(good, abs(baselines - wanted), np.inf).argmin()))
            good[chosen[-1]] = False
    return chosen


def depth(image, T_world_camera, earlier, later):
    """Return the depth (H, W) of a Plain, metres along the optical axis, NaN where it is unsure.

    earlier, later: (Plain, T_world_camera) of images from before and after, on two sides of it.
    """
    others = [*earlier, *later]
    if not others:
        return np.full(image.gray.shape, np.nan, np.float32)
    affine, shift = [], []
    finer = np.diag([FINER, FINER, 1.0])
    finer[:2, 2] = (FINER - 1) / 2  # the corner of an image stays where it is
    for other, T_world_other in others:
        T_other_camera = np.linalg.inv(T_world_other) @ T_world_camera
        affine.append(finer @ other.matrix @ T_other_camera[:3, :3] @ np.linalg.inv(image.matrix))
        shift.append(finer @ other.matrix @ T_other_camera[:3, 3])
    affine, shift = np.array(affine, np.float32), np.array(shift, np.float32)
    inverse = np.linspace(1 / FARTHEST, 1 / NEAREST, PLANES, dtype=np.float32)
    costs = stereo.costs(
        image.normal, np.stack([other.finer for other, _ in others]),
        affine, shift, inverse, len(earlier))
    place, margin = stereo.best(stereo.smooth(costs, image.gray, STEP, JUMP, EDGE))
    found = inverse[0] + place * (inverse[1] - inverse[0])
    sure = (margin > MARGIN) & (_parallax(image.pixels(), found, affine, shift) > PARALLAX * FINER)
    return np.where(sure, 1 / found, np.nan).astype(np.float32)


def _parallax(pixels, inverse, affine, shift):
    """Return how far (H, W) pixels at inverse depths are, in any image, from those without end."""
    moved = np.zeros(inverse.shape, np.float32)
    for A, a in zip(affine, shift):
        endless = pixels.astype(np.float32) @ A.T
        here = endless + inverse[..., None] * a
        with np.errstate(divide='ignore', invalid='ignore'):
            way = here[..., :2] / here[..., 2:] - endless[..., :2] / endless[..., 2:]
        moved = np.fmax(moved, np.hypot(*np.moveaxis(way, -1, 0)))
    return moved


def points(image, T_world_camera, depth):
    """Return the points (N, 3), world, that a Plain shows at the depths (H, W) that are known."""
    known = np.isfinite(depth)
    at = image.pixels()[known] @ np.linalg.inv(image.matrix).T * depth[known][:, None]
    return at @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]


def agreed(image, T_world_camera, depth, points):
    """Return which of points (N, 3), world, are where the depth (H, W) of a Plain says."""
    pixels = (points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3] @ image.matrix.T
    with np.errstate(divide='ignore', invalid='ignore'):
        column, row = np.round(pixels[:, :2] / pixels[:, 2:]).T
    inside = ((pixels[:, 2] > 0) & (column >= 0) & (row >= 0)
              & (column < depth.shape[1]) & (row < depth.shape[0]))
    column, row = (np.where(inside, place, 0).astype(int) for place in (column, row))
    return inside & (abs(pixels[:, 2] - depth[row, column]) < ALIKE * depth[row, column])

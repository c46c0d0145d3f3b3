"""Plane sweep: multi-view stereo from the images of one moving camera.

A plane is swept through space (Collins 1996, "A space-sweep approach to true multi-image
matching"): at the right distance, other images projected onto it look like the image itself. That
needs no common image rows, so the camera may move ahead as well as aside. Semi-global matching
(Hirschmueller 2008) smooths the result where images have little texture.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.camera import Camera

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend


NEAREST, FARTHEST = 0.5, 6.0  # metres, of the planes
PLANES = 64  # evenly spaced in inverse depth
WINDOW = 7  # pixels, over which images are made equally bright and contrasty
CONTRAST = 4.0  # grey levels: less is noise
GAIN = 40.0  # of the normalised images, whose differences the costs of planes are
FINER = 2  # times as many pixels of the other images, of which the nearest is taken
STEP, JUMP, EDGE = 8.0, 100.0, 10.0  # see reference.smooth_costs
PARALLAX = 6.0  # pixels by which a place must move in another image: 0.3 of them are 5 % of it
MARGIN = 0.2  # by which the best plane must be better than any elsewhere
ALIKE = 0.2  # share by which two images may differ in a distance
BASELINES = 0.1, 0.2, 0.3  # metres, wanted on either side
SHORTEST, LONGEST = 0.04, 0.6  # metres
LARGEST_ANGLE = 25.0  # degrees between two views


@dataclasses.dataclass(frozen=True)
class UndistortedImage:
    """An image as a camera without distortion would have taken it, prepared for matching."""

    gray: NDArray[np.uint8]  # (H, W)
    normal: NDArray[np.float32]  # (H, W) with the same brightness and contrast everywhere
    finer: NDArray[np.float32]  # the same with FINER times as many pixels a side
    matrix: NDArray[np.float64]  # (3, 3) intrinsics

    def pixels(self) -> NDArray[np.int64]:
        """Return the homogeneous pixels (H, W, 3)."""
        row, column = np.mgrid[: self.gray.shape[0], : self.gray.shape[1]]
        return np.stack([column, row, np.ones_like(row)], axis=-1)


PosedView = tuple[UndistortedImage, Pose]  # with T_world_camera


def undistort(gray: NDArray[np.uint8], camera: Camera) -> UndistortedImage:
    """Return an image (H, W) of a camera without its distortion."""
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
    return UndistortedImage(gray, normal, cv2.resize(normal, None, fx=FINER, fy=FINER), matrix)


def stereo_partners(T_world_camera: Pose, others: Sequence[PosedView]) -> list[PosedView]:
    """Return up to three of other views that show the same from a good distance."""
    if not others:
        return []
    T_world_others = np.stack([pose for _, pose in others])
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
    return [others[k] for k in chosen]


def depth(
    image: UndistortedImage, T_world_camera: Pose, earlier: Sequence[PosedView],
    later: Sequence[PosedView], backend: Backend,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the depth (H, W) of an image, metres along the optical axis, NaN where uncertain.

    earlier, later: views from before and after the image, from two sides of it.
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
    costs = backend.plane_costs(
        image.normal, np.stack([other.finer for other, _ in others]),
        affine, shift, inverse, len(earlier))
    place, margin = backend.best_planes(
        backend.smooth_costs(costs, image.gray, STEP, JUMP, EDGE))
    found = inverse[0] + place * (inverse[1] - inverse[0])
    certain = (margin > MARGIN) & (_parallax(image.pixels(), found, affine, shift) > PARALLAX * FINER)
    return np.where(certain, 1 / found, np.nan).astype(np.float32)


def _parallax(
    pixels: NDArray[np.int64], inverse: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the largest distance (H, W) between a point at inverse depth and one at infinity.

    In pixels of the other images, of which affine (P, 3, 3) and shift (P, 3) are; see plane_costs.
    """
    moved = np.zeros(inverse.shape, np.float32)
    for A, a in zip(affine, shift):
        endless = pixels.astype(np.float32) @ A.T
        here = endless + inverse[..., None] * a
        with np.errstate(divide='ignore', invalid='ignore'):
            way = here[..., :2] / here[..., 2:] - endless[..., :2] / endless[..., 2:]
        moved = np.fmax(moved, np.hypot(*np.moveaxis(way, -1, 0)))
    return moved


def points(
    image: UndistortedImage, T_world_camera: Pose, depth: NDArray[np.float32],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the points (N, 3) [m, world] of an image at the finite values of depth (H, W)."""
    known = np.isfinite(depth)
    at = image.pixels()[known] @ np.linalg.inv(image.matrix).T * depth[known][:, None]
    return at @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]


def agrees(
    image: UndistortedImage, T_world_camera: Pose, depth: NDArray[np.float32],
    points: NDArray[np.float64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Return which points (N, 3) [m, world] lie at the depth (H, W) of an image."""
    pixels = (points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3] @ image.matrix.T
    with np.errstate(divide='ignore', invalid='ignore'):
        column, row = np.round(pixels[:, :2] / pixels[:, 2:]).T
    inside = ((pixels[:, 2] > 0) & (column >= 0) & (row >= 0)
              & (column < depth.shape[1]) & (row < depth.shape[0]))
    column, row = (np.where(inside, place, 0).astype(int) for place in (column, row))
    return inside & (abs(pixels[:, 2] - depth[row, column]) < ALIKE * depth[row, column])

"""Plane sweep: multi-view stereo from the images of one moving camera.

A plane is swept through space (Collins 1996, "A space-sweep approach to true multi-image
matching"). At the right distance, other images that are projected onto it look like the image
itself. The images need no common rows, so the camera may move forward as well as sideways.
Semi-global matching (Hirschmueller 2008) smooths the result where images have little texture.
"""
from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.distortion import distort

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

MIN_DEPTH, MAX_DEPTH = 0.5, 6.0  # metres, of the planes
PLANES = 64  # evenly spaced in inverse depth
WINDOW = 7  # pixels, in which brightness and contrast are normalized
NOISE = 4.0  # gray levels, a contrast that is not amplified
GAIN = 40.0  # standard deviation of normalized images, the scale of the costs of planes
UPSAMPLING = 2  # of the other images, whose nearest pixel is compared
STEP, JUMP, EDGE = 8.0, 100.0, 10.0  # penalties, see backends.reference.stereo.smooth_costs
MIN_PARALLAX = 6.0  # pixels, between a point and infinity; an error of 0.3 pixels is then 5 %
MIN_MARGIN = 0.2  # share by which the cost of any other plane must be larger
SMOOTHING = 5  # pixels, of the enlarged depth
BASELINES = 0.1, 0.2, 0.3, 0.4  # metres, of the partners on each side
SWEPT = 3  # of them in the plane sweep, which needs no more
MIN_BASELINE, MAX_BASELINE = 0.04, 1.5  # metres
MAX_ANGLE = 50.0  # degrees between two views


@dataclasses.dataclass(frozen=True)
class UndistortedImage:
    """An image without lens distortion, prepared for matching."""

    gray: NDArray[np.uint8]  # (H, W)
    normalized: NDArray[np.float32]  # (H, W) with the same brightness and contrast everywhere
    upsampled: NDArray[np.float32]  # the same with UPSAMPLING times as many rows and columns
    matrix: NDArray[np.float64]  # (3, 3) intrinsics

    def pixels(self) -> NDArray[np.int64]:
        """Return the homogeneous pixels (H, W, 3)."""
        row, column = np.mgrid[: self.gray.shape[0], : self.gray.shape[1]]
        return np.stack([column, row, np.ones_like(row)], axis=-1)


PosedView = tuple[UndistortedImage, Pose]  # with T_world_camera
View = TypeVar('View')


def undistort(
    gray: NDArray[np.uint8], camera: Camera, window: int = WINDOW,
) -> UndistortedImage:  # fmt: skip
    """Return an image (H, W) of a camera without its distortion, normalized in a window."""
    if camera.distortion:
        # Where the model does not hold, the corner pixel is taken, which matches nothing. A black
        # border would be an edge that is not in the scene.
        gray = np.asarray(cv2.remap(
            gray, *_sources(camera), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            dtype=np.uint8)
    image = gray.astype(np.float32)
    mean = cv2.blur(image, (window, window))
    variance = (cv2.blur(image * image, (window, window)) - mean * mean).clip(min=0)
    normalized = np.asarray(GAIN * (image - mean) / (np.sqrt(variance) + NOISE), np.float32)
    upsampled = cv2.resize(normalized, None, fx=UPSAMPLING, fy=UPSAMPLING)
    return UndistortedImage(
        gray, normalized, np.asarray(upsampled, np.float32), camera.matrix())


@functools.lru_cache(maxsize=8)
def _sources(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return columns and rows (H, W) in the image of a camera of pixels without distortion."""
    if _only_grows(camera):
        columns, rows = cv2.initUndistortRectifyMap(
            camera.matrix(), np.array(camera.distortion), None, camera.matrix(),
            (camera.width, camera.height), cv2.CV_32FC1)
        return np.asarray(columns, np.float32), np.asarray(rows, np.float32)
    row, column = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([column.ravel(), row.ravel(), np.ones(row.size)], axis=-1)
    sources = camera.project(pixels @ np.linalg.inv(camera.matrix()).T)
    columns, rows = np.nan_to_num(sources, nan=-1.0).astype(np.float32).T.reshape(
        2, camera.height, camera.width)
    return columns, rows


def _only_grows(camera: Camera) -> bool:
    """Return whether the polynomials of a lens do not turn back within the image.

    Where they do, only the slower Camera.project finds what is outside the field of view.
    """
    if camera.distortion_model not in ('plumb_bob', 'rational_polynomial'):
        return False
    corners = np.array([[u, v] for u in (0, camera.width - 1) for v in (0, camera.height - 1)])
    rays = (corners - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    along = np.linspace(0, 1.05, 32)[:, None, None] * rays
    pixels = distort(along.reshape(-1, 2), camera.matrix(), camera.distortion)
    radii = np.linalg.norm(pixels - (camera.cx, camera.cy), axis=-1).reshape(along.shape[:2])
    return bool((np.diff(radii, axis=0) > 0).all())


def stereo_partners(
    T_world_camera: Pose, others: Sequence[tuple[View, Pose]],
) -> list[tuple[View, Pose]]:  # fmt: skip
    """Return up to four of other views that show the same scene from a suitable distance."""
    if not others:
        return []
    T_world_others = np.stack([pose for _, pose in others])
    T_camera_others = np.linalg.inv(T_world_camera) @ T_world_others
    baselines = np.linalg.norm(T_camera_others[:, :3, 3], axis=-1)
    cosines = (np.trace(T_camera_others[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    suitable = ((baselines >= MIN_BASELINE) & (baselines <= MAX_BASELINE)
                & (cosines > np.cos(np.radians(MAX_ANGLE))))
    chosen: list[int] = []
    for baseline in BASELINES:
        if suitable.any():
            chosen.append(int(np.where(suitable, abs(baselines - baseline), np.inf).argmin()))
            suitable[chosen[-1]] = False
    return [others[k] for k in chosen]


def depth(
    image: UndistortedImage, T_world_camera: Pose, earlier: Sequence[PosedView],
    later: Sequence[PosedView], backend: Backend,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the depth (H, W) of an image, metres along the optical axis, NaN where uncertain.

    earlier, later: the stereo partners from before and after the image, on its two sides.
    """
    earlier, later = earlier[:SWEPT], later[:SWEPT]
    others = [*earlier, *later]
    if not others:
        return np.full(image.gray.shape, np.nan, np.float32)
    affine, shift = projections(image, T_world_camera, others, UPSAMPLING)
    inverse_depths = np.linspace(1 / MAX_DEPTH, 1 / MIN_DEPTH, PLANES, dtype=np.float32)
    costs = backend.plane_costs(
        image.normalized, np.stack([other.upsampled for other, _ in others]), affine, shift,
        inverse_depths, len(earlier))
    plane, margin = backend.best_planes(
        backend.smooth_costs(costs, image.gray, STEP, JUMP, EDGE))
    inverse_depth = inverse_depths[0] + plane * (inverse_depths[1] - inverse_depths[0])
    parallax = _parallax(image.pixels(), inverse_depth, affine, shift)
    certain = (margin > MIN_MARGIN) & (parallax > MIN_PARALLAX * UPSAMPLING)
    return np.where(certain, 1 / inverse_depth, np.nan).astype(np.float32)


def projections(
    image: UndistortedImage, T_world_camera: Pose, others: Sequence[PosedView], factor: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return affine (P, 3, 3) and shift (P, 3) to the images of P other views.

    These are upsampled by a factor. They project homogeneous pixels at inverse depths; see
    backends.reference.stereo.plane_costs.
    """
    upsampling = np.diag([factor, factor, 1.0])
    upsampling[:2, 2] = (factor - 1) / 2  # the corner of the image is fixed
    affine, shift = [], []
    for other, T_world_other in others:
        T_other_camera = np.linalg.inv(T_world_other) @ T_world_camera
        matrix = upsampling @ other.matrix
        affine.append(matrix @ T_other_camera[:3, :3] @ np.linalg.inv(image.matrix))
        shift.append(matrix @ T_other_camera[:3, 3])
    return np.array(affine, np.float32), np.array(shift, np.float32)


def _parallax(
    pixels: NDArray[np.int64], inverse_depth: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the distance (H, W) between a point at inverse depth and the point at infinity.

    The largest of those in the other images, in their pixels; see _projections.
    """
    largest = np.zeros(inverse_depth.shape, np.float32)
    for A, a in zip(affine, shift):
        at_infinity = pixels.astype(np.float32) @ A.T
        point = at_infinity + inverse_depth[..., None] * a
        with np.errstate(divide='ignore', invalid='ignore'):
            offset = point[..., :2] / point[..., 2:]
            offset = offset - at_infinity[..., :2] / at_infinity[..., 2:]
        largest = np.fmax(largest, np.hypot(offset[..., 0], offset[..., 1]))
    return largest


def enlarged(depth: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return smooth inverse depth (height, width) [1/m] of depth (H, W) [m], NaN where unknown."""
    known = np.isfinite(depth)
    inverse = np.where(known, 1 / np.where(known, depth, 1), 0).astype(np.float32)
    weights, sums = (
        cv2.blur(cv2.resize(part, (width, height)), (SMOOTHING, SMOOTHING))
        for part in (known.astype(np.float32), inverse))
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(weights > 0.5, sums / weights, np.nan).astype(np.float32)


def box_sums(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the sums of values (H, W) in windows of a size around each pixel."""
    return np.asarray(cv2.boxFilter(values, -1, (size, size), normalize=False), np.float32)

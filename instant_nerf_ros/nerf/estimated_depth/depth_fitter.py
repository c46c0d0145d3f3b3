"""Depth fitter: keeps estimated depth until stereo knows points in it, and fits it to them."""
from __future__ import annotations

import collections
import logging

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.estimated_depth import local_correction
from instant_nerf_ros.nerf.estimated_depth.anchors import Anchors, RawDepth, anchors_of
from instant_nerf_ros.nerf.estimated_depth.global_fit import CORRELATED, FORMS, GlobalFit, fit_form
from instant_nerf_ros.nerf.estimated_depth.local_correction import Residuals
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate, robust_deviation

KEPT = 32  # images, the latest
WIDTH = 320  # pixels, to which estimated depth is scaled
MIN_ANCHORS = 50
MAX_FITTED = 2000  # of them that the fit of the whole image uses
MAX_DEVIATION = 0.15  # of log depth, of the fit of the whole image
MAX_UNEXPLAINED = 0.8  # share of the spread of log depth that it may leave,
FLAT = 0.08  # or so much of it, where all is about equally far away
MAX_RESIDUAL = 0.05  # of log depth beyond that of the anchors, after the local correction
OUTLIER = 2.5  # standard deviations of an anchor that the local correction leaves out
ANCHOR_ERROR = 0.02  # least relative error of an anchor
SOURCE_ERROR = 0.03  # relative error that all points of one image of stereo share, by its poses
SHARED_ERROR = 0.025  # and what is left of it in the mean of neighbors, as their poses are related
COMPLEXITY = 1.15  # factor by which the residuals of a form with a shift must be less
MEMORY = 0.9  # of the residuals of the forms, from image to image
FROZEN_DISTANCE = 0.1  # metres, after which the same depth image again means that the topic stands

logger = logging.getLogger('instant_nerf_ros')


class DepthFitter:
    """Turns the depth that a network estimates into metres with standard deviations.

    Each image is fitted for itself: first a few numbers for all of it, in the form that fits the
    images best so far, then a correction from place to place. The known points are those of stereo
    of the image and of its neighbors, so that the result is smooth from image to image.
    """

    def __init__(self) -> None:
        self.refusals: collections.Counter[str] = collections.Counter()  # by reason
        self.fitted = 0  # images
        self._images: dict[int, NDArray[np.float32]] = {}  # by keyframe id
        self._stereo: dict[int, DepthEstimate] = {}  # before it was fitted
        self._newest: tuple[NDArray[np.float32], Pose] | None = None
        self._deviations = np.zeros(len(FORMS))  # logarithms, means of the images so far
        self._generator = np.random.default_rng(0)

    def add(self, keyframe: int, values: NDArray[np.floating], T_world_camera: Pose) -> None:
        """Keep what a network says (H, W) about the image of a keyframe, of any size and unit.

        Values that are not finite or <= 0 are unknown.
        """
        values = _reduced(values)
        if self._newest is not None and np.array_equal(self._newest[0], values, equal_nan=True):
            distance = np.linalg.norm(self._newest[1][:3, 3] - T_world_camera[:3, 3])
            if distance > FROZEN_DISTANCE:
                self.refuse('it has been the same image while the camera has moved: does the '
                             'node that estimates it still run?')
            return
        self._newest = values, T_world_camera.copy()
        self._images[keyframe] = values
        self._images = dict(list(self._images.items())[-KEPT:])

    def expects(self, keyframe: int) -> bool:
        """Return whether there is estimated depth of a keyframe that has not been fitted."""
        return keyframe in self._images

    def fit(self, estimate: DepthEstimate, poses: Poses, camera: Camera) -> DepthEstimate | None:
        """Return the depth of a keyframe by its estimated depth and stereo; None if that fails.

        poses: T_world_camera by keyframe id; camera: that of the image, in any size.
        """
        self._stereo[estimate.keyframe] = estimate
        self._stereo = dict(list(self._stereo.items())[-KEPT:])
        values = self._images.pop(estimate.keyframe, None)
        if values is None:
            return None
        raw = RawDepth(estimate.keyframe, estimate.matrix, _resampled(
            values, camera, estimate.matrix, estimate.depth.shape))
        return self._fit(raw, anchors_of(raw, self._stereo, poses))

    def _fit(self, raw: RawDepth, anchors: list[Anchors]) -> DepthEstimate | None:
        """Return the depth that the anchors leave of estimated depth; None if nothing fits."""
        fitted = self._global_fit(raw.values.ravel(), anchors)
        if fitted is None:
            return None
        metres, of_fit = fitted.depth(raw.values)
        parts = [_residuals(each, metres.ravel(), fitted.deviation) for each in anchors]
        correction, deviation = local_correction.correct(
            raw.values.shape, parts, fitted.deviation, SOURCE_ERROR, CORRELATED)
        excess = _excess(parts, correction)
        if excess > MAX_RESIDUAL:
            self.refuse('it differs from the points that stereo knows also when it is corrected '
                         f'from place to place, by more than {100 * MAX_RESIDUAL:.0f} %')
            return None
        self.fitted += 1
        metres = metres * np.exp(correction)
        relative = np.sqrt(deviation**2 + of_fit**2 + SHARED_ERROR**2 + excess**2)
        return DepthEstimate(raw.keyframe, raw.matrix, metres.astype(np.float32),
                             (relative * metres).astype(np.float32))

    def _global_fit(
        self, values: NDArray[np.float32], anchors: list[Anchors],
    ) -> GlobalFit | None:  # fmt: skip
        """Return the fit of a whole image, with the form of the least residuals so far."""
        pixels = np.concatenate([np.empty(0, np.int64), *(each.pixels for each in anchors)])
        usable = np.flatnonzero(np.isfinite(values[pixels]))
        if len(usable) < MIN_ANCHORS:
            self.refuse(f'stereo knows fewer than {MIN_ANCHORS} of its pixels')
            return None
        usable = usable[:: -(-len(usable) // MAX_FITTED)]
        depth, sigma = (np.concatenate(parts)[usable] for parts in (
            [each.depth for each in anchors], [each.sigma for each in anchors]))
        weights = 1 / ((sigma / depth) ** 2 + ANCHOR_ERROR**2)
        fits = [fit_form(form, values[pixels[usable]], depth, weights, self._generator)
                for form in FORMS]
        self._deviations = MEMORY * self._deviations + [
            np.log(each.deviation * (COMPLEXITY if each.form.shifted else 1.0)) if each else 0.0
            for each in fits]
        best = fits[int(np.argmin(self._deviations))]
        if best is None or best.deviation > MAX_DEVIATION or not _explains(
                best, values[pixels[usable]], depth):
            self.refuse('no scale and shift brings it to the points that stereo knows')
            return None
        return best

    def refuse(self, reason: str) -> None:
        """Count an image that is not used, and log the first one of a reason."""
        if not self.refusals[reason]:
            logger.warning('an image of estimated depth is not used: %s', reason)
        self.refusals[reason] += 1


def _explains(
    fitted: GlobalFit, values: NDArray[np.float32], depth: NDArray[np.float64],
) -> bool:  # fmt: skip
    """Return whether a fit explains why depth differs, which a constant does not."""
    with np.errstate(invalid='ignore'):
        residuals = np.nan_to_num(np.log(depth / fitted.depth(values)[0]), nan=1.0)
    left, spread = np.std(residuals.clip(-1, 1)), np.std(np.log(depth))
    return bool(left <= max(MAX_UNEXPLAINED * spread, FLAT))


def _residuals(
    anchors: Anchors, metres: NDArray[np.float64], deviation: float,
) -> Residuals:  # fmt: skip
    """Return the residuals of log depth of the anchors that fit."""
    with np.errstate(invalid='ignore'):
        residuals = np.log(anchors.depth / metres[anchors.pixels])
        near = abs(residuals) < OUTLIER * deviation
    sigma = np.hypot(anchors.sigma / anchors.depth, ANCHOR_ERROR)
    return Residuals(anchors.pixels[near], residuals[near], sigma[near])


def _excess(parts: list[Residuals], correction: NDArray[np.float64]) -> float:
    """Return the robust deviation of the corrected residuals beyond that of the anchors."""
    left = np.concatenate([part.values - correction.ravel()[part.pixels] for part in parts])
    sigmas = np.concatenate([part.sigmas for part in parts])
    deviation = robust_deviation(left)
    return float(np.sqrt(max(deviation**2 - np.median(sigmas) ** 2 - SOURCE_ERROR**2, 0.0)))


def _reduced(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return every so many rows and columns of estimated depth; unknown values are NaN."""
    step = -(-values.shape[1] // WIDTH)
    small = np.asarray(values[step // 2 :: step, step // 2 :: step], np.float32)
    with np.errstate(invalid='ignore'):
        return np.where(np.isfinite(small) & (small > 0), small, np.float32(np.nan))


def _resampled(
    values: NDArray[np.float32], camera: Camera, matrix: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the nearest values (H, W) of the pixels of an image without distortion."""
    camera = camera.scaled(values.shape[1], values.shape[0])
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)], axis=-1)
    at = camera.project(pixels @ np.linalg.inv(matrix).T)
    column, row = np.nan_to_num(at, nan=-1.0).round().astype(np.int64).T
    inside = ((column >= 0) & (column < values.shape[1]) & (row >= 0) & (row < values.shape[0]))
    result = np.full(rows.size, np.nan, np.float32)
    result[inside] = values[row[inside], column[inside]]
    return result.reshape(shape)

"""Global fit: the few numbers that turn the values of a network into metres, for a whole image.

Networks say metres, relative inverse depth, or either of them normalized to [0, 1], and not always
which. So several forms are fitted, and the residuals tell.
"""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.motion.depth_estimate import robust_deviation

Array = NDArray[np.float64]

PAIRS = 200  # of anchors that a first fit is tried with
ITERATIONS = 10  # of least squares with weights
CUT = 2.5  # standard deviations from which a residual weighs little (Cauchy)
MIN_INVERSE, MAX_INVERSE = 0.01, 20.0  # 1/m, of fitted depths; others are unknown
CORRELATED = 25.0  # anchors that err together: windows of stereo overlap


@dataclasses.dataclass(frozen=True)
class Form:
    """Depth or inverse depth is scale * x + shift, where x is what a network says, or 1 / that."""

    name: str
    of_inverse: bool  # x is 1 / value
    to_inverse: bool  # the result is inverse depth
    shifted: bool  # the shift is not 0

    def regressor(self, values: NDArray[np.floating]) -> Array:
        """Return x of values, NaN where it does not exist."""
        x = np.asarray(values, dtype=np.float64)
        if not self.of_inverse:
            return x
        with np.errstate(divide='ignore', invalid='ignore'):
            return np.where(x > 0, 1 / x, np.nan)


FORMS = (
    Form('depth up to scale', True, True, False),
    Form('depth up to scale and shift', False, False, True),
    Form('depth up to scale and shift of its inverse', True, True, True),
    Form('inverse depth up to scale and shift', False, True, True),
)


@dataclasses.dataclass(frozen=True)
class GlobalFit:
    """A form with its numbers."""

    form: Form
    coefficients: Array  # (2,): scale and shift
    covariance: Array  # (2, 2) of the coefficients
    deviation: float  # robust standard deviation of log(fitted / known depth) of the anchors

    def depth(self, values: NDArray[np.floating]) -> tuple[Array, Array]:
        """Return depths of values of a network [m], and relative standard deviations of the fit.

        Both are NaN where the values say nothing.
        """
        x = self.form.regressor(values)
        x = np.stack([x, np.ones_like(x)], axis=-1)
        fitted = x @ self.coefficients
        inverse = fitted if self.form.to_inverse else 1 / np.where(fitted == 0, np.nan, fitted)
        with np.errstate(invalid='ignore'):
            known = (inverse > MIN_INVERSE) & (inverse < MAX_INVERSE)
            relative = np.sqrt(np.einsum('...i,ij,...j', x, self.covariance, x)) / abs(fitted)
        return np.where(known, 1 / np.where(known, inverse, 1), np.nan), np.where(
            known, relative, np.nan)


def fit_form(
    form: Form, values: NDArray[np.floating], depths: Array, weights: Array,
    generator: np.random.Generator,
) -> GlobalFit | None:  # fmt: skip
    """Fit a form to values (N,) of a network at known depths (N,) [m] with weights (N,).

    Least median of squares over pairs (Rousseeuw 1984), then iteratively reweighted least squares
    of relative residuals. Returns None if the form fits no pair.
    """
    x, y = form.regressor(values), 1 / depths if form.to_inverse else depths
    usable = np.isfinite(x)
    x, y, weights = x[usable], y[usable], weights[usable]
    if len(x) < 2:
        return None
    coefficients = _least_median(form, x, y, generator)
    if coefficients is None:
        return None
    rows = np.stack([x, np.ones_like(x)], axis=-1)[:, : 1 + form.shifted] / y[:, None]
    for _ in range(ITERATIONS):
        residuals = rows @ coefficients[: rows.shape[1]] - 1
        deviation = max(robust_deviation(residuals), 1e-6)
        robust = weights / (1 + (residuals / (CUT * deviation)) ** 2)
        normal = rows.T @ (robust[:, None] * rows)
        try:
            inverse = np.linalg.inv(normal)
        except np.linalg.LinAlgError:
            return None
        coefficients = np.zeros(2)
        coefficients[: rows.shape[1]] = inverse @ (rows.T @ robust)
    covariance = np.zeros((2, 2))
    covariance[: rows.shape[1], : rows.shape[1]] = (
        inverse * deviation**2 * np.mean(robust) * CORRELATED)
    return GlobalFit(form, coefficients, covariance, deviation)


def _least_median(
    form: Form, x: Array, y: Array, generator: np.random.Generator,
) -> Array | None:  # fmt: skip
    """Return the coefficients (2,) through two points whose median residual is least."""
    one, other = generator.integers(0, len(x), (2, PAIRS if form.shifted else PAIRS // 4))
    with np.errstate(divide='ignore', invalid='ignore'):
        if form.shifted:
            scale = (y[one] - y[other]) / (x[one] - x[other])
            shift = y[one] - scale * x[one]
        else:
            scale, shift = y[one] / x[one], np.zeros(len(one))
        some = np.linspace(0, len(x) - 1, min(len(x), 500)).astype(int)
        residuals = (scale[:, None] * x[some] + shift[:, None]) / y[some] - 1
    medians = np.nan_to_num(np.median(abs(residuals), axis=1), nan=np.inf)
    best = int(np.argmin(medians))
    return np.array([scale[best], shift[best]]) if np.isfinite(medians[best]) else None

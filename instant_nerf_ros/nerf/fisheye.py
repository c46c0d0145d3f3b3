"""The equidistant fisheye model of Kannala and Brandt (2006), as in OpenCV's cv2.fisheye.

A ray at an angle a from the optical axis is at the radius a * (1 + k1 a^2 + k2 a^4 + k3 a^6 +
k4 a^8) in the image of focal length 1. The angle may exceed 90 degrees, where OpenCV's own
functions mirror the ray. The model ends at the angle from which on its radius decreases.
"""
import numpy as np
from numpy.typing import NDArray

ENTRIES = 2049  # of a table of radii over angles from 0 to 180 degrees
NEWTON_STEPS = 4  # from an error below a thousandth of a radian


def radii(angles: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the radii (N,) of angles (N,) [rad]; NaN beyond the end of the model."""
    limit, _, _ = _table(coefficients)
    return np.where(angles <= limit, _radius(angles, coefficients), np.nan)


def angles(radii: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the angles (N,) [rad] of radii (N,); NaN beyond the end of the model."""
    limit, known_angles, known_radii = _table(coefficients)
    found = np.interp(radii, known_radii, known_angles)
    for _ in range(NEWTON_STEPS):
        slope = np.maximum(_slope(found, coefficients), 1e-6)
        found = np.clip(found - (_radius(found, coefficients) - radii) / slope, 0.0, limit)
    return np.where(radii <= known_radii[-1], found, np.nan)


def _table(
    coefficients: tuple[float, ...],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return the last angle of the model, and a table of angles and their increasing radii."""
    table = np.linspace(0.0, np.pi, ENTRIES)
    with np.errstate(over='ignore', invalid='ignore'):
        ends = ~(_slope(table, coefficients) > 0)
        count = int(ends.argmax()) if ends.any() else ENTRIES
        return float(table[count - 1]), table[:count], _radius(table[:count], coefficients)


def _radius(angles: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    k1, k2, k3, k4 = coefficients
    squares = angles * angles
    with np.errstate(over='ignore', invalid='ignore'):
        return np.asarray(
            angles * (1 + squares * (k1 + squares * (k2 + squares * (k3 + squares * k4)))))


def _slope(angles: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    k1, k2, k3, k4 = coefficients
    squares = angles * angles
    with np.errstate(over='ignore', invalid='ignore'):
        return np.asarray(1 + squares * (
            3 * k1 + squares * (5 * k2 + squares * (7 * k3 + squares * 9 * k4))))

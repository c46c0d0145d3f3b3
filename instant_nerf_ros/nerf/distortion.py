"""The polynomial distortion models of OpenCV: plumb_bob and rational_polynomial."""
import cv2
import numpy as np
from numpy.typing import NDArray

ITERATIONS = 5  # each divides the error by ten or more
MAX_ERROR = 0.5  # pixels; a larger reprojection error means that the model does not reach there


def distort(
    image_plane: NDArray[np.float64], matrix: NDArray[np.float64], coefficients: tuple[float, ...],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the pixels (N, 2) of normalized image coordinates (N, 2); matrix (3, 3)."""
    points = np.column_stack([image_plane, np.ones(len(image_plane))])[:, None]
    pixels, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), matrix, np.array(coefficients))
    return np.asarray(pixels, np.float64)[:, 0]


def undistort(
    pixels: NDArray[np.float64], matrix: NDArray[np.float64], coefficients: tuple[float, ...],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the normalized image coordinates (N, 2) of pixels (N, 2); NaN where none is found."""
    # OpenCV stops after five iterations, with errors of up to two pixels in the corners. So the
    # reprojection error is added to its input.
    corrected = pixels
    with np.errstate(over='ignore', invalid='ignore'):
        for _ in range(ITERATIONS):
            image_plane = np.asarray(cv2.undistortPoints(
                corrected[:, None], matrix, np.array(coefficients)), np.float64)[:, 0]
            error = pixels - distort(image_plane, matrix, coefficients)
            corrected = corrected + error
        found = np.abs(error).max(axis=-1) < MAX_ERROR
    return np.where(found[:, None], image_plane, np.nan)

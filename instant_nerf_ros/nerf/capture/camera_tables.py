"""The directions of the pixels of all cameras that have a keyframe, in one array."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera


def with_camera(
    camera: Camera, cameras: dict[Camera, int], directions: NDArray[np.float32],
    first_direction: NDArray[np.int64],
) -> tuple[dict[Camera, int], NDArray[np.float32], NDArray[np.int64]]:  # fmt: skip
    """Return cameras, directions and first_direction of Keyframes with another camera.

    Cameras without a keyframe are left out, because the calibration of a camera with autofocus
    changes with every image. Rows of the others move.
    """
    used = [known for known, row in cameras.items() if (first_direction == row).any()]
    tables = [directions[(row := cameras[known]):row + known.width * known.height]
              for known in used]
    tables.append(camera.directions())
    rows = [0, *np.cumsum([len(table) for table in tables]).tolist()]
    moved = {cameras[known]: row for known, row in zip(used, rows)}
    return (
        dict(zip([*used, camera], rows)), np.concatenate(tables),
        np.array([moved[row] for row in first_direction.tolist()], np.int64))

"""Selection of keyframes by their poses: which images are kept."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.config import KeyframeConfig


def is_far(pose: Pose, others: NDArray[np.float64], config: KeyframeConfig) -> bool:
    """Return whether a pose is beyond the thresholds from all others (K, 4, 4)."""
    translation, angle = pose_distances(others, pose)
    return bool((
        (translation >= config.min_translation)
        | (np.degrees(angle) >= config.min_rotation)).all())


def pose_distances(
    T_world_cameras: NDArray[np.float64], T_world_camera: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return distances (K,) [m] and angles (K,) [rad] between poses (K, 4, 4) and a pose."""
    translation = np.linalg.norm(T_world_cameras[:, :3, 3] - T_world_camera[:3, 3], axis=-1)
    rotations = T_world_cameras[:, :3, :3]
    trace = np.einsum('kij,ij->k', rotations, T_world_camera[:3, :3])
    return translation, np.arccos(np.clip((trace - 1) / 2, -1, 1))


def first_gap(
    first: NDArray[np.int64], counts: NDArray[np.int64], capacity: int, count: int,
) -> int | None:  # fmt: skip
    """Return the first place in a pool with room for count pixels, or None.

    first (K,) and counts (K,) are where the images begin that are in it, and their pixels.
    """
    place = 0
    for k in np.argsort(first):
        if first[k] - place >= count:
            return place
        place = int(first[k] + counts[k])
    return place if capacity - place >= count else None

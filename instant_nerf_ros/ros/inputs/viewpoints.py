"""Whether a range sensor has moved far enough for its next scan to be added."""
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.config import KeyframeConfig


def pose_distance(
    T_map_before: NDArray[np.float64], T_map_after: NDArray[np.float64],
) -> tuple[float, float]:  # fmt: skip
    """Return the distance [m] and the rotation angle [degree] between two poses (4, 4)."""
    translation = np.linalg.norm(T_map_after[:3, 3] - T_map_before[:3, 3])
    trace = np.sum(T_map_after[:3, :3] * T_map_before[:3, :3])
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return float(translation), float(angle)


def exceeds(distance: tuple[float, float], config: 'KeyframeConfig') -> bool:
    """Return whether a pose_distance reaches one of the thresholds of a KeyframeConfig."""
    translation, angle = distance
    return translation >= config.min_translation or angle >= config.min_rotation


class Viewpoints:
    """The pose of the last scan that was added, for each sensor."""

    def __init__(self) -> None:
        """Start without scans."""
        self._latest: dict[object, NDArray[np.float64]] = {}  # T_map_sensor by source

    def is_new_viewpoint(
        self, source: object, T_map_sensor: NDArray[np.float64], config: 'KeyframeConfig',
    ) -> bool:  # fmt: skip
        """Return whether a pose (4, 4) is far enough from that of the last scan of its source."""
        latest = self._latest.get(source)
        return latest is None or exceeds(pose_distance(latest, T_map_sensor), config)

    def add(self, source: object, T_map_sensor: NDArray[np.float64]) -> None:
        """Remember the pose (4, 4) of a scan that was added."""
        self._latest[source] = T_map_sensor

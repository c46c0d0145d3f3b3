"""Whether a range sensor has moved enough for another scan."""
import numpy as np


class Motion:
    """Remembers where each sensor took the scan that was kept last."""

    def __init__(self):
        """Start with no scan kept."""
        self._latest = {}  # source: T_map_sensor

    def moved(self, source, T_map_sensor, config):
        """Tell whether a pose (4, 4) of a source lies beyond the thresholds of KeyframeConfig."""
        latest = self._latest.get(source)
        if latest is None:
            return True
        translation = np.linalg.norm(T_map_sensor[:3, 3] - latest[:3, 3])
        trace = np.sum(T_map_sensor[:3, :3] * latest[:3, :3])
        rotation = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
        return bool(translation >= config.min_translation or rotation >= config.min_rotation)

    def keep(self, source, T_map_sensor):
        """Note that a scan was kept."""
        self._latest[source] = T_map_sensor

"""Whether a sensor has moved enough for another image or scan."""
import numpy as np


def motion(T_map_before, T_map_after):
    """Return the distance [m] and the angle [degree] between two poses (4, 4)."""
    translation = np.linalg.norm(T_map_after[:3, 3] - T_map_before[:3, 3])
    trace = np.sum(T_map_after[:3, :3] * T_map_before[:3, :3])
    return translation, np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def beyond(motion, config):
    """Tell whether a distance and an angle lie beyond the thresholds of KeyframeConfig."""
    translation, rotation = motion
    return bool(translation >= config.min_translation or rotation >= config.min_rotation)


class Motion:
    """Remembers where each sensor took the scan that was kept last."""

    def __init__(self):
        """Start with no scan kept."""
        self._latest = {}  # source: T_map_sensor

    def moved(self, source, T_map_sensor, config):
        """Tell whether a pose (4, 4) of a source lies beyond the thresholds of KeyframeConfig."""
        latest = self._latest.get(source)
        return latest is None or beyond(motion(latest, T_map_sensor), config)

    def keep(self, source, T_map_sensor):
        """Note that a scan was kept."""
        self._latest[source] = T_map_sensor

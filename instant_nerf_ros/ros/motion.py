"""Whether a camera has moved enough for another keyframe."""
import numpy as np


class Motion:
    """Remembers where each camera took the image that was kept last.

    The engine compares with the latest image of all cameras; of two that look different ways,
    it would keep every image, even while the robot stands.
    """

    def __init__(self):
        """Start with no image kept."""
        self._latest = {}  # source: T_map_camera

    def moved(self, source, T_map_camera, config):
        """Tell whether a pose (4, 4) of a source lies beyond the thresholds of KeyframeConfig."""
        latest = self._latest.get(source)
        if latest is None:
            return True
        translation = np.linalg.norm(T_map_camera[:3, 3] - latest[:3, 3])
        trace = np.sum(T_map_camera[:3, :3] * latest[:3, :3])
        rotation = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
        return bool(translation >= config.min_translation or rotation >= config.min_rotation)

    def keep(self, source, T_map_camera):
        """Note that an image was kept."""
        self._latest[source] = T_map_camera

    def clear(self):
        """Forget all images, as when the map is forgotten."""
        self._latest.clear()

"""The height of the floor, where a frame of the robot stands on it."""
from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, newest_pose


class FloorHeight:
    """Tells how high the frame base_frame is, if there is such a setting and TF knows it."""

    def __init__(self, buffer, settings, warn):
        """Keep a tf2_ros Buffer, the Settings, and where to warn(sentence)."""
        self._buffer, self._settings, self._warn = buffer, settings, warn
        self._told = False  # that TF does not know it

    def __call__(self):
        """Return the height [m] in the map frame; None: the floor is to be estimated."""
        config = self._settings.node
        if not config.base_frame:
            return None
        try:
            T_map_base, _ = newest_pose(self._buffer, config.map_frame, config.base_frame)
        except UnusableError as error:
            if not self._told:
                self._warn(
                    f"the floor is estimated: {error}; check the parameter 'base_frame'")
            self._told = True
            return None
        self._told = False
        return float(T_map_base[2, 3])

"""FloorHeight: the height of the floor from the pose of a frame of the robot that stands on it."""
from collections.abc import Callable

from tf2_ros import Buffer

from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, newest_pose
from instant_nerf_ros.ros.params.live_parameters import LiveParameters


class FloorHeight:
    """Looks up the height of base_frame, if that parameter is set and TF knows the frame."""

    def __init__(
        self, buffer: Buffer, settings: LiveParameters, warn: Callable[[str], object],
    ) -> None:  # fmt: skip
        """Keep a TF buffer, the parameters, and warn(sentence)."""
        self._buffer, self._settings, self._warn = buffer, settings, warn
        self._warned = False  # since TF last knew the frame

    def __call__(self) -> float | None:
        """Return the height [m, map frame], None if the floor has to be estimated."""
        config = self._settings.node
        if not config.base_frame:
            return None
        try:
            T_map_base, _ = newest_pose(self._buffer, config.map_frame, config.base_frame)
        except UnusableError as error:
            if not self._warned:
                self._warn(f"the floor is estimated: {error}; check the parameter 'base_frame'")
            self._warned = True
            return None
        self._warned = False
        return float(T_map_base[2, 3])

"""Keyframes: which images are kept, and their pixels within a byte budget."""
from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Alpha, Depth, Image, Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.camera_tables import with_camera
from instant_nerf_ros.nerf.capture.error_map import ErrorMap
from instant_nerf_ros.nerf.capture.exposure import Exposure
from instant_nerf_ros.nerf.capture.places import Places
from instant_nerf_ros.nerf.capture.selection import first_gap
from instant_nerf_ros.nerf.capture.validation import to_millimetres
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.nerf.constants import MASKED_ALPHA, SAMPLING_POWER, SAMPLING_PRIOR

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.rays import RaySources

BYTES_PER_PIXEL = 5  # three of color, two of depth
OPAQUE = 0.95  # opacity from which the color of a ray is that of a surface
PER_KEYFRAME = (
    'first', 'first_direction', 'widths', 'heights', 'farthest', 'with_alpha', 'ray_counts', 'ids')

State = TypeVar('State')


class Keyframes:
    """A bounded store of posed images, their pixels in one pool, addressed flat.

    Pixel p of keyframe k is row first[k] + p of ``colors`` (uint8, RGB), ``depths`` (uint16,
    millimetres along the optical axis, 0 = none) and, if with_alpha, ``alphas`` (uint8), and row
    first_direction[k] + p of ``directions``. Places says which keyframe makes room.
    """

    def __init__(self, config: KeyframeConfig) -> None:
        self.config = config
        capacity = config.budget_mb * 2**20 // BYTES_PER_PIXEL
        self.colors = np.empty((capacity, 3), dtype=np.uint8)  # unwritten pages take no memory
        self.depths = np.zeros(capacity, dtype=np.uint16)
        self.alphas = np.empty(capacity, dtype=np.uint8)
        self.directions = np.empty((0, 3), dtype=np.float32)
        self.cameras: dict[Camera, int] = {}  # and its first row in directions
        self.T_world_camera, self.ray_counts = np.empty((0, 4, 4)), np.empty(0)  # see count_rays
        self.first, self.first_direction, self.widths, self.heights = np.empty((4, 0), np.int64)
        self.farthest, self.ids = np.empty((2, 0), np.int64)  # the largest depth [mm], 0: none
        self.with_alpha = np.empty(0, dtype=bool)  # keyframes that are transparent somewhere
        self.revision = 0  # changes with every keyframe and pose
        self.next_id = self._first_own_id = 1  # so that an id is true
        self.error_map, self._places = ErrorMap(), Places()
        self.exposure = Exposure(config.adapt_exposure == 'always')
        self._backend_state: object = None

    def __len__(self) -> int:
        """Return the number of keyframes."""
        return len(self.first)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Return the number of pixels (K,) of each keyframe."""
        return self.widths * self.heights

    @property
    def stored_bytes(self) -> int:
        """Return the bytes of their pixels."""
        return int((BYTES_PER_PIXEL + self.with_alpha) @ self.pixels)

    def set_config(self, config: KeyframeConfig) -> None:
        """Use other thresholds from now on; the budget does not change."""
        self.config = config

    def is_own(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Return which ids (N,) of keyframes or scans are not frozen."""
        return np.asarray(ids) >= self._first_own_id

    def freeze(self) -> None:
        """Let what has an id be frozen: it is trained on as if it was new, but votes no more."""
        self._first_own_id = self.next_id
        self.ray_counts[:] = 0

    def check(self, camera: Camera) -> None:
        """Raise ValueError if an image of a camera can never fit into the budget."""
        if camera.width * camera.height > len(self.depths):
            raise ValueError(
                f'an image of {camera.width} x {camera.height} does not fit into '
                f'keyframes.budget_mb = {self.config.budget_mb}')

    def add(
        self, image: Image, camera: Camera, T_world_camera: Pose, depth: Depth | None = None,
        alpha: Alpha | None = None,
    ) -> int:  # fmt: skip
        """Keep an image and return its id; see Mapper.add. Raises ValueError if it cannot fit."""
        self.check(camera)
        count = camera.width * camera.height
        while (first := first_gap(self.first, self.pixels, len(self.depths), count)) is None:
            self._remove(self._places.merge_nearest())
        self.colors[first : first + count] = image.reshape(-1, 3)
        self.depths[first : first + count] = 0 if depth is None else to_millimetres(depth).ravel()
        if alpha is not None:
            self.alphas[first : first + count] = alpha.ravel()
            self.depths[first : first + count][alpha.ravel() == MASKED_ALPHA] = 0
        if camera not in self.cameras:
            self.cameras, self.directions, self.first_direction = with_camera(
                camera, self.cameras, self.directions, self.first_direction)
        self.T_world_camera = np.concatenate([self.T_world_camera, T_world_camera[None]])
        self._places.add(T_world_camera)
        values = (first, self.cameras[camera], camera.width, camera.height,
                  self.depths[first : first + count].max(), alpha is not None, 0.0, self.new_id())
        for name, value in zip(PER_KEYFRAME, values):
            setattr(self, name, np.append(getattr(self, name), value))
        self.error_map.append()
        self.exposure.append()
        self.revision += 1
        return int(self.ids[-1])

    def new_id(self) -> int:
        """Return the next id, for a keyframe, a held-out image or a scan."""
        self.next_id += 1
        return self.next_id - 1

    def continue_ids(self, next_id: int) -> None:
        """Let the next id be a certain one, as when images of an earlier session are added."""
        self.next_id = next_id

    def correct_poses(self, corrections: Poses) -> None:
        """Move keyframes by {id: T_new_old (4, 4)}, and sample all of them as if they were new."""
        self.set_poses(self.corrected_poses(corrections))
        self.ray_counts[:] = 0

    def set_poses(self, poses: Poses) -> None:
        """Replace T_world_camera by {id: pose (4, 4)}; ids of removed keyframes are ignored."""
        for k, keyframe in enumerate(self.ids.tolist()):
            if keyframe in poses:
                self._places.move(k, poses[keyframe] @ np.linalg.inv(self.T_world_camera[k]))
                self.T_world_camera[k] = poses[keyframe]
        self.revision += 1

    def corrected_poses(self, corrections: Poses) -> Poses:
        """Return {id: T_world_camera} of all keyframes after corrections {id: T_new_old}."""
        return {
            keyframe: corrections.get(keyframe, np.eye(4)) @ pose
            for keyframe, pose in zip(self.ids.tolist(), self.T_world_camera)}

    def image(self, k: int) -> tuple[Camera, Image, NDArray[np.uint16]]:
        """Return camera, image (H, W, 3) and depth (H, W) [mm] of keyframe k."""
        [camera] = (c for c, row in self.cameras.items() if row == self.first_direction[k])
        place = slice(self.first[k], self.first[k] + self.pixels[k])
        size = camera.height, camera.width
        return camera, self.colors[place].reshape(*size, 3), self.depths[place].reshape(size)

    def sampling_weights(self) -> NDArray[np.float64]:
        """Return the probability (K,) of sampling a ray from each keyframe.

        New keyframes are trained first, and in the end all have had the same number of rays.
        """
        weights = (self.ray_counts + SAMPLING_PRIOR) ** -SAMPLING_POWER
        return weights / weights.sum()

    def count_rays(self, counts: NDArray[np.floating] | NDArray[np.integer]) -> None:
        """Add the numbers (K,) of rays that were sampled from each keyframe."""
        self.ray_counts += counts

    def restore(self, k: int, ray_count: float, exposure_sums: NDArray[np.float64]) -> None:
        """Set what was learned with keyframe k before it was saved; see Exposure.sums."""
        self.ray_counts[k] = ray_count
        self.exposure.restore(k, exposure_sums)

    def update_error_map(
        self, sources: RaySources, pixels: NDArray[np.uint8], colors: NDArray[np.float32],
        opacities: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Update error map and exposure with R rendered rays.

        pixels (R, 3), equalized; colors (R, 3) in [0, 1], over black; opacities (R,).
        """
        errors = np.abs(colors - pixels / np.float32(255)).mean(-1)
        chosen = np.asarray(sources.keyframes)
        self.error_map.update(chosen, np.asarray(sources.tiles), errors)
        if self.config.adapt_exposure != 'never':
            self.update_exposure(chosen, np.asarray(sources.pixels), colors, opacities)

    def update_exposure(
        self, keyframes: NDArray[np.integer], pixels: NDArray[np.uint8],
        colors: NDArray[np.float32], opacities: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Update the exposure of keyframes (R,) with recorded pixels (R, 3) and renderings."""
        opaque = opacities > OPAQUE
        self.exposure.update(keyframes[opaque], pixels[opaque], colors[opaque])

    def backend_state(self, make: type[State]) -> State:
        """Return make(self), which a backend keeps beside the keyframes; made at first use."""
        if not isinstance(self._backend_state, make):
            self._backend_state = make(self)  # type: ignore[call-arg]
        return self._backend_state

    def keep(self, ids: ArrayLike) -> None:
        """Remove all keyframes but those with ids (N,)."""
        for k in np.flatnonzero(~np.isin(self.ids, ids))[::-1].tolist():
            self._remove(k)
        self.revision += 1

    def _remove(self, k: int) -> None:
        self._places.remove(k)
        for name in ('T_world_camera', *PER_KEYFRAME):
            setattr(self, name, np.delete(getattr(self, name), k, axis=0))
        self.error_map.remove(k)
        self.exposure.remove(k)

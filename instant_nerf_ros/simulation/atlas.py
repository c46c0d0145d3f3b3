"""The atlas of a scene: all textures and their mipmaps in one image, for one lookup per pixel."""
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.simulation.boxes import TANGENTS, Face

MIP_LEVELS = 6  # each level has half the resolution of the one before
ATLAS_WIDTH = 2048  # texels


class TextureAtlas:
    """The textures of faces, packed into one image."""

    def __init__(self, faces: Sequence[Face], textures: list[NDArray[np.uint8]]) -> None:
        """Pack the textures (rows, columns, 3) of faces, in rows of similar heights."""
        levels: list[NDArray[np.uint8]] = []
        for texture in textures:
            levels.append(texture)
            for _ in range(MIP_LEVELS - 1):
                size = [max(length // 2, 2) for length in levels[-1].shape[1::-1]]
                half = cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA)
                levels.append(half.astype(np.uint8))
        corners, left, top, bottom = [(0, 0)] * len(levels), 0, 0, 0
        for number in sorted(range(len(levels)), key=lambda n: -levels[n].shape[0]):
            height, width = levels[number].shape[:2]
            if left + width > ATLAS_WIDTH:
                left, top = 0, bottom
            corners[number] = left, top
            left, bottom = left + width, max(bottom, top + height)
        self._texels = np.zeros((bottom, ATLAS_WIDTH, 3), np.uint8)
        for (left, top), level in zip(corners, levels):
            self._texels[top:top + level.shape[0], left:left + level.shape[1]] = level
        self._axis = np.array([face.axis for face in faces], np.int8)
        self._texel_size = np.array([face.texel_size for face in faces], np.float32)
        # Tables (2, entries) for u and v, where entry = MIP_LEVELS * face + level:
        # atlas column = offset + u * scale, limited to first..last; rows alike with v.
        pixels = np.array([level.shape[1::-1] for level in levels]).T
        low, size = (np.repeat([getattr(face, name)[list(TANGENTS[face.axis])]
                                for face in faces], MIP_LEVELS, axis=0).T
                     for name in ('low', 'size'))
        first = np.array(corners).T
        scale = pixels / size
        self._first, self._last, self._scale, self._offset = (
            table.astype(np.float32) for table in (
                first, first + pixels - 1, scale, first - 0.5 - low * scale))

    def sample(
        self, index: NDArray[np.int32], distance: NDArray[np.float32],
        directions: NDArray[np.float32], origin: NDArray[np.float32], pixel_angle: float,
    ) -> NDArray[np.uint8]:  # fmt: skip
        """Return the image (H, W, 3) of points on faces, by their index (H, W).

        The points are at distances (H, W) along directions (3, H, W) from an origin (3,) [m];
        pixel_angle [rad] chooses the mipmap. It is undefined where the index is negative.
        """
        index = np.maximum(index, 0)
        distance = np.where(np.isfinite(distance), distance, 0.0)
        axis = self._axis[index]
        along_x, along_z = axis == 0, axis == 2
        u = np.where(along_x, origin[1] + distance * directions[1],
                     origin[0] + distance * directions[0])
        v = np.where(along_z, origin[1] + distance * directions[1],
                     origin[2] + distance * directions[2])
        cosine = np.abs(np.where(along_x, directions[0],
                                 np.where(along_z, directions[2], directions[1])))
        # Texels in a pixel: the geometric mean of its footprint across the face and along it.
        footprint = pixel_angle * distance / (self._texel_size[index] * np.sqrt(cosine))
        level = np.log2(np.clip(1.2 * footprint, 1.0, 2.0 ** (MIP_LEVELS - 1))).astype(np.int32)
        entry = index * MIP_LEVELS + level
        column, row = (
            np.clip(self._offset[i][entry] + value * self._scale[i][entry],
                    self._first[i][entry], self._last[i][entry])
            for i, value in enumerate((u, v)))
        return cv2.remap(self._texels, column, row, cv2.INTER_LINEAR).astype(np.uint8)

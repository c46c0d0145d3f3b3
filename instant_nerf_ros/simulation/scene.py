"""A scene of textured, lit boxes, ray-cast on the CPU in a few milliseconds per image.

The texture of a face is its albedo times its lightmap. All textures and their mipmaps are packed
into one atlas, so that an image takes one visibility pass and one lookup per pixel.
"""
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.boxes import TANGENTS, Box, Surface, face_of
from instant_nerf_ros.simulation.lighting import lightmaps

MIP_LEVELS = 6  # each level has half the resolution of the one before
ATLAS_WIDTH = 2048  # texels
NEAR = 1e-2  # metres, distance of the clipping plane
EDGES = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3],
                  [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]])

Pose = NDArray[np.float64]  # (4, 4)
Window = tuple[slice, slice]  # rows and columns of an image


class Scene:
    """Boxes and lamps, seen from inside the box `interior`."""

    def __init__(
        self, boxes: Sequence[Box], interior: tuple[ArrayLike, ArrayLike], lamps: ArrayLike,
    ) -> None:  # fmt: skip
        """Compute the textures of all faces that are visible from the interior.

        interior: lowest and highest corner (3,) [m]; lamps: positions (L, 3) [m].
        """
        low, high = (np.asarray(corner, np.float64) for corner in interior)
        self.faces, albedos = [], []
        for index, box in enumerate(boxes):
            for axis in range(3):
                for side in (-1, 1):
                    face = face_of(box, axis, side)
                    plane = face.low[axis]
                    if plane <= low[axis] if side < 0 else plane >= high[axis]:
                        continue  # faces away from the interior
                    u, v = TANGENTS[axis]
                    width, height = (max(round(face.size[i] / box.texel_size), 2) for i in (u, v))
                    rng = np.random.default_rng([index, axis, side + 1])
                    albedos.append(box.texture(Surface(height, width, box.texel_size, rng)))
                    self.faces.append(face)
        self._corners = np.array([
            [[(face.low, face.high)[bit >> axis & 1][axis] for axis in range(3)]
             for bit in range(8)] for face in self.faces])
        self._build_atlas([
            np.clip(255 * albedo * cv2.resize(light, albedo.shape[1::-1])[..., None], 0, 255)
            .astype(np.uint8)
            for albedo, light in zip(albedos, lightmaps(self.faces, boxes, lamps))])

    def _build_atlas(self, textures: list[NDArray[np.uint8]]) -> None:
        """Pack all textures and their mipmaps into one image, in rows of similar heights."""
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
        self._atlas = np.zeros((bottom, ATLAS_WIDTH, 3), np.uint8)
        for (left, top), level in zip(corners, levels):
            self._atlas[top:top + level.shape[0], left:left + level.shape[1]] = level
        self._axis = np.array([face.axis for face in self.faces], np.int8)
        self._texel_size = np.array([face.texel_size for face in self.faces], np.float32)
        # Tables (2, entries) for u and v, where entry = MIP_LEVELS * face + level:
        # atlas column = offset + u * scale, limited to first..last; rows alike with v.
        pixels = np.array([level.shape[1::-1] for level in levels]).T
        low, size = (np.repeat([getattr(face, name)[list(TANGENTS[face.axis])]
                                for face in self.faces], MIP_LEVELS, axis=0).T
                     for name in ('low', 'size'))
        first = np.array(corners).T
        scale = pixels / size
        self._first, self._last, self._scale, self._offset = (
            table.astype(np.float32) for table in (
                first, first + pixels - 1, scale, first - 0.5 - low * scale))

    def render(
        self, camera: Camera, T_world_camera: Pose,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
        """Return the image (H, W, 3) RGB and the depth (H, W) of a camera at a pose (4, 4).

        Depth is exact at the pixel centers, along the optical axis [m], and along the ray behind
        a fisheye camera. Where a ray hits nothing,
        the image is black and the depth NaN.
        """
        x, y, z = camera.directions().T
        directions = np.empty((3, camera.height, camera.width), np.float32)
        for axis, (a, b, c) in enumerate(T_world_camera[:3, :3].astype(np.float32)):
            directions[axis] = (a * x + b * y + c * z).reshape(directions.shape[1:])
        directions[np.abs(directions) < 1e-9] = 1e-9
        distance, index = self._cast_rays(camera, T_world_camera, directions)
        missed = index < 0
        image = self._sample_textures(
            index, distance, directions, T_world_camera[:3, 3].astype(np.float32),
            1.0 / camera.fx)
        image[missed] = 0
        depth = distance * np.where(z > 0, z, 1).reshape(distance.shape)
        depth[missed] = np.nan
        return image, depth

    def _cast_rays(
        self, camera: Camera, T_world_camera: Pose, directions: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
        """Return the distance along each ray (inf: none) and the index of the face (-1: none)."""
        origin = T_world_camera[:3, 3]
        inverse = 1.0 / directions
        distance = np.full(directions.shape[1:], np.inf, np.float32)
        index = np.full(directions.shape[1:], -1, np.int32)
        for number, window in self._visible_faces(camera, T_world_camera):
            face = self.faces[number]
            u, v = TANGENTS[face.axis]
            low, high = (face.low - origin) - 1e-4, (face.high - origin) + 1e-4
            t = np.float32(face.low[face.axis] - origin[face.axis]) * inverse[face.axis][window]
            along_u, along_v = t * directions[u][window], t * directions[v][window]
            hit = (t > 0) & (t < distance[window])
            hit &= (along_u > low[u]) & (along_u < high[u])
            hit &= (along_v > low[v]) & (along_v < high[v])
            np.copyto(distance[window], t, where=hit)
            np.copyto(index[window], number, where=hit)
        return distance, index

    def _visible_faces(
        self, camera: Camera, T_world_camera: Pose,
    ) -> Iterator[tuple[int, Window]]:  # fmt: skip
        """Yield the number of each front-facing face in view and the image window around it."""
        T_camera_world = np.linalg.inv(T_world_camera)
        corners = self._corners @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        # Clip the edges at the near plane, then project their ends.
        start, end = corners[:, EDGES[:, 0]], corners[:, EDGES[:, 1]]
        with np.errstate(divide='ignore', invalid='ignore'):
            cut = np.clip((NEAR - start[..., 2]) / (end[..., 2] - start[..., 2]), 0, 1)[..., None]
        crossing = start + np.nan_to_num(cut) * (end - start)
        ends = np.concatenate([start, end, crossing], axis=1)
        front = ends[..., 2] >= NEAR * (1 - 1e-9)
        depth = np.where(front, ends[..., 2], 1.0)
        limits = []
        for axis, focal, center, size in ((0, camera.fx, camera.cx, camera.width),
                                          (1, camera.fy, camera.cy, camera.height)):
            pixel = focal * ends[..., axis] / depth + center
            low = np.where(front, pixel, np.inf).min(axis=1)
            high = np.where(front, pixel, -np.inf).max(axis=1)
            if camera.distortion_model != 'none':
                low, high = np.zeros(len(low)), np.full(len(high), size)
            limits.append((np.clip(low - 1, 0, size).astype(int),
                           np.clip(high + 2, 0, size).astype(int)))
        (left, right), (top, bottom) = limits
        origin = T_world_camera[:3, 3]
        for number, face in enumerate(self.faces):
            front_facing = (origin[face.axis] - face.low[face.axis]) * face.side > 0
            if front_facing and left[number] < right[number] and top[number] < bottom[number]:
                yield number, (slice(top[number], bottom[number]),
                               slice(left[number], right[number]))

    def _sample_textures(
        self, index: NDArray[np.int32], distance: NDArray[np.float32],
        directions: NDArray[np.float32], origin: NDArray[np.float32], pixel_angle: float,
    ) -> NDArray[np.uint8]:  # fmt: skip
        """Return the image (H, W, 3) of the hit points; undefined where there is none."""
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
        return cv2.remap(self._atlas, column, row, cv2.INTER_LINEAR).astype(np.uint8)

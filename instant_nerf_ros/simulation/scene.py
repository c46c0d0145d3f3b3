"""A scene of textured, lit boxes, ray-cast on the CPU in a few milliseconds per image.

The texture of a face is its albedo times its lightmap. An image takes one visibility pass and one
lookup per pixel in the atlas of all textures.
"""
import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.atlas import TextureAtlas
from instant_nerf_ros.simulation.boxes import TANGENTS, Box, Surface, face_of
from instant_nerf_ros.simulation.lighting import LAMP_INTENSITY, lightmaps

NEAR = 1e-2  # metres, distance of the clipping plane
EDGES = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3],
                  [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]])

Pose = NDArray[np.float64]  # (4, 4)
Window = tuple[slice, slice]  # rows and columns of an image


@dataclasses.dataclass(frozen=True)
class Rendering:
    """What a camera would see without any imperfection."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    depth: NDArray[np.float32]  # (H, W) m along the optical axis, NaN where there is nothing
    boxes: NDArray[np.int32]  # (H, W) index of the box, -1 where there is none


class Scene:
    """Boxes and lamps, seen from inside the box `interior`."""

    def __init__(
        self, boxes: Sequence[Box], interior: tuple[ArrayLike, ArrayLike], lamps: ArrayLike,
        intensity: float = LAMP_INTENSITY,
    ) -> None:  # fmt: skip
        """Compute the textures of all faces that are visible from the interior.

        interior: lowest and highest corner (3,) [m]; lamps: positions (L, 3) [m], and the
        intensity of all together.
        """
        low, high = (np.asarray(corner, np.float64) for corner in interior)
        self.faces, albedos, owners = [], [], []
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
                    owners.append(index)
        self._owners = np.array([*owners, -1], np.int32)  # box of each face; of none (-1): none
        self._low, self._high = (
            np.array([getattr(face, name) for face in self.faces]) for name in ('low', 'high'))
        self._axis = np.array([face.axis for face in self.faces])
        self._side = np.array([face.side for face in self.faces])
        self._corners = np.array([
            [[(face.low, face.high)[bit >> axis & 1][axis] for axis in range(3)]
             for bit in range(8)] for face in self.faces])
        self._atlas = TextureAtlas(self.faces, [
            np.clip(255 * albedo * cv2.resize(light, albedo.shape[1::-1])[..., None], 0, 255)
            .astype(np.uint8)
            for albedo, light in zip(albedos, lightmaps(self.faces, boxes, lamps, intensity))])

    def render(
        self, camera: Camera, T_world_camera: Pose,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
        """Return image and depth of a camera at a pose (4, 4); see `view`."""
        rendering = self.view(camera, T_world_camera)
        return rendering.image, rendering.depth

    def view(self, camera: Camera, T_world_camera: Pose) -> Rendering:
        """Return the Rendering of a camera at a pose (4, 4).

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
        image = self._atlas.sample(
            index, distance, directions, T_world_camera[:3, 3].astype(np.float32),
            1.0 / camera.fx)
        image[missed] = 0
        depth = distance * np.where(z > 0, z, 1).reshape(distance.shape)
        depth[missed] = np.nan
        return Rendering(image, depth, self._owners[index])

    def _cast_rays(
        self, camera: Camera, T_world_camera: Pose, directions: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
        """Return the distance along each ray (inf: none) and the index of the face (-1: none)."""
        origin = T_world_camera[:3, 3]
        inverse = 1.0 / directions
        distance = np.full(directions.shape[1:], np.inf, np.float32)
        index = np.full(directions.shape[1:], -1, np.int32)
        for number, window, nearest in self._visible_faces(camera, T_world_camera):
            if distance[window].max() < nearest:
                continue  # hidden, as most faces of other rooms are
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
    ) -> Iterator[tuple[int, Window, float]]:  # fmt: skip
        """Yield the front-facing faces in view, the nearest first.

        They are given by their number, the image window around them, and their distance [m].
        """
        origin, T_camera_world = T_world_camera[:3, 3], np.linalg.inv(T_world_camera)
        numbers = np.flatnonzero(
            (origin[self._axis] - self._low[np.arange(len(self.faces)), self._axis])
            * self._side > 0)
        low, high = self._low[numbers], self._high[numbers]
        distances = np.linalg.norm(np.clip(origin, low, high) - origin, axis=1)
        corners = self._corners[numbers] @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
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
            if camera.distortion_model == 'equidistant':
                low, high = np.zeros(len(low)), np.full(len(high), size)
            elif camera.distortion_model != 'none':
                # How far the lens moves the pixels of this image along the axis.
                rays = camera.directions()
                shift = (np.indices((camera.height, camera.width))[1 - axis].ravel()
                         - focal * rays[:, axis] / rays[:, 2] - center)
                low, high = low + shift.min(), high + shift.max()
            limits.append((np.clip(low - 1, 0, size).astype(int),
                           np.clip(high + 2, 0, size).astype(int)))
        (left, right), (top, bottom) = limits
        for index in np.argsort(distances, kind='stable'):
            if left[index] < right[index] and top[index] < bottom[index]:
                yield numbers[index], (
                    slice(top[index], bottom[index]), slice(left[index], right[index])
                ), distances[index]

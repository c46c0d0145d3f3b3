"""A scene of boxes: painted and lit once, then ray-cast in a few milliseconds.

Every face carries one picture, paint times light, at a texel size of its own and in ever coarser
copies, so that an image costs one visibility pass and one lookup per pixel.
"""
import cv2
import numpy as np

from instant_nerf_ros.simulation.boxes import TANGENTS, face_of
from instant_nerf_ros.simulation.lighting import light_on

LEVELS = 6  # copies of a face's picture, each half as fine as the one before
ATLAS_WIDTH = 2048  # texels
EDGES = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3],
                  [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]])


class Scene:
    """Boxes under lamps, seen from inside the box `interior` (low, high)."""

    def __init__(self, boxes, interior, lamps):
        """Paint and light every face that can be seen from the interior."""
        self.faces, albedos = [], []
        for index, box in enumerate(boxes):
            for axis in range(3):
                for side in (-1, 1):
                    face = face_of(box, axis, side)
                    plane = face.low[axis]
                    if (plane <= interior[0][axis] if side < 0 else plane >= interior[1][axis]):
                        continue  # looks away from the interior
                    u, v = TANGENTS[axis]
                    width, height = (
                        max(round(face.span[i] / box.texel), 2) for i in (u, v))
                    rng = np.random.default_rng([index, axis, side + 1])
                    albedos.append(box.paint(height, width, box.texel, rng))
                    self.faces.append(face)
        self._corners = np.array([
            [[(face.low, face.high)[bit >> axis & 1][axis] for axis in range(3)]
             for bit in range(8)] for face in self.faces])
        self._store([
            np.clip(255 * albedo * cv2.resize(light, albedo.shape[1::-1])[..., None], 0, 255)
            .astype(np.uint8)
            for albedo, light in zip(albedos, light_on(self.faces, boxes, lamps))])

    def _store(self, pictures):
        """Pack all pictures and their coarser copies, row by row of similar heights, into one."""
        copies = []
        for picture in pictures:
            copies.append(picture)
            for _ in range(LEVELS - 1):
                size = [max(length // 2, 2) for length in copies[-1].shape[1::-1]]
                copies.append(cv2.resize(copies[-1], size, interpolation=cv2.INTER_AREA))
        corner, left, top, bottom = [None] * len(copies), 0, 0, 0
        for number in sorted(range(len(copies)), key=lambda n: -copies[n].shape[0]):
            height, width = copies[number].shape[:2]
            if left + width > ATLAS_WIDTH:
                left, top = 0, bottom
            corner[number] = left, top
            left, bottom = left + width, max(bottom, top + height)
        self._atlas = np.zeros((bottom, ATLAS_WIDTH, 3), np.uint8)
        for (left, top), picture in zip(corner, copies):
            self._atlas[top:top + picture.shape[0], left:left + picture.shape[1]] = picture
        self._axis = np.array([face.axis for face in self.faces], np.int8)
        self._texel = np.array([face.texel for face in self.faces], np.float32)
        # By entry = LEVELS * face + level, along u and v: column = first + (u - low) * scale,
        # at most last.
        size = np.array([copy.shape[1::-1] for copy in copies]).T
        low, span = (np.repeat([getattr(face, name)[list(TANGENTS[face.axis])]
                                for face in self.faces], LEVELS, axis=0).T
                     for name in ('low', 'span'))
        first = np.array(corner).T
        scale = size / span
        self._first, self._last, self._scale, self._offset = (
            np.float32(table) for table in (
                first, first + size - 1, scale, first - 0.5 - low * scale))

    def render(self, camera, T_world_camera):
        """Return the image (H, W, 3) uint8 and the depth (H, W) float32 along the optical axis.

        Depth is exact at the pixel centres [m]; NaN where the ray hits nothing (and black).
        """
        x, y, z = camera.directions().T
        directions = np.empty((3, camera.height, camera.width), np.float32)
        for axis, (a, b, c) in enumerate(T_world_camera[:3, :3].astype(np.float32)):
            directions[axis] = (a * x + b * y + c * z).reshape(directions.shape[1:])
        directions[np.abs(directions) < 1e-9] = 1e-9
        distance, index = self._cast(camera, T_world_camera, directions)
        missed = index < 0
        image = self._look_up(
            index, distance, directions, np.float32(T_world_camera[:3, 3]), 1.0 / camera.fx)
        image[missed] = 0
        depth = distance * z.reshape(distance.shape)
        depth[missed] = np.nan
        return image, depth

    def _cast(self, camera, T_world_camera, directions):
        """Return the distance along each ray (inf: none) and the index of the face (-1: none)."""
        origin = T_world_camera[:3, 3]
        inverse = 1.0 / directions
        distance = np.full(directions.shape[1:], np.inf, np.float32)
        index = np.full(directions.shape[1:], -1, np.int32)
        for number, window in self._in_view(camera, T_world_camera):
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

    def _in_view(self, camera, T_world_camera):
        """Yield (face number, window of the image that covers it) for faces turned to us."""
        T_camera_world = np.linalg.inv(T_world_camera)
        corners = self._corners @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        # Clip the edges to the half space in front of the camera, then project their ends.
        start, end = corners[:, EDGES[:, 0]], corners[:, EDGES[:, 1]]
        near = 1e-2
        with np.errstate(divide='ignore', invalid='ignore'):
            cut = np.clip((near - start[..., 2]) / (end[..., 2] - start[..., 2]), 0, 1)[..., None]
        crossing = start + np.nan_to_num(cut) * (end - start)
        ends = np.concatenate([start, end, crossing], axis=1)
        front = ends[..., 2] >= near * (1 - 1e-9)
        depth = np.where(front, ends[..., 2], 1.0)
        limits = []
        for axis, focal, centre, size in ((0, camera.fx, camera.cx, camera.width),
                                          (1, camera.fy, camera.cy, camera.height)):
            pixel = focal * ends[..., axis] / depth + centre
            low = np.where(front, pixel, np.inf).min(axis=1)
            high = np.where(front, pixel, -np.inf).max(axis=1)
            if camera.distortion_model != 'none':
                low, high = np.zeros(len(low)), np.full(len(high), size)
            limits.append((np.clip(low - 1, 0, size).astype(int),
                           np.clip(high + 2, 0, size).astype(int)))
        (left, right), (top, bottom) = limits
        origin = T_world_camera[:3, 3]
        for number, face in enumerate(self.faces):
            turned = (origin[face.axis] - face.low[face.axis]) * face.side > 0
            if turned and left[number] < right[number] and top[number] < bottom[number]:
                yield number, (slice(top[number], bottom[number]),
                               slice(left[number], right[number]))

    def _look_up(self, index, distance, directions, origin, pixel_angle):
        """Return the image (H, W, 3) uint8 of hits; anything where there is none."""
        index = np.maximum(index, 0)
        distance = np.where(np.isfinite(distance), distance, 0.0)
        axis = self._axis[index]
        along_x, along_z = axis == 0, axis == 2
        u = np.where(along_x, origin[1] + distance * directions[1],
                     origin[0] + distance * directions[0])
        v = np.where(along_z, origin[1] + distance * directions[1],
                     origin[2] + distance * directions[2])
        slope = np.abs(np.where(along_x, directions[0],
                                np.where(along_z, directions[2], directions[1])))
        # A pixel covers this many texels: between across (1) and along (1 / slope) the face.
        footprint = pixel_angle * distance / (self._texel[index] * np.sqrt(slope))
        level = np.log2(np.clip(1.2 * footprint, 1.0, 2.0 ** (LEVELS - 1))).astype(np.int32)
        entry = index * LEVELS + level
        column, row = (
            np.clip(self._offset[i][entry] + value * self._scale[i][entry],
                    self._first[i][entry], self._last[i][entry])
            for i, value in enumerate((u, v)))
        return cv2.remap(self._atlas, column, row, cv2.INTER_LINEAR)

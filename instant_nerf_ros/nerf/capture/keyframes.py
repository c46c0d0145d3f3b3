"""Keyframes: which images are kept, and their pixels within a byte budget."""
import numpy as np

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.error_map import ErrorMap
from instant_nerf_ros.nerf.capture.exposure import Exposure

MILLIMETRE = 0.001  # unit of the stored depths
BYTES_PER_PIXEL = 5  # three of colour, two of depth
OPAQUE = 0.95  # opacity from which the colour of a ray is that of a surface
NO_POSES = np.empty((0, 4, 4))
DRAW_PRIOR = 2000  # draws that a new keyframe counts as having had, see `draw_weights`


class Keyframes:
    """A bounded store of posed images, their pixels in one pool, addressed flat.

    Pixel p of keyframe k is ``colors[first[k] + p]`` (uint8, RGB), ``depths[first[k] + p]``
    (uint16, millimetres along the optical axis, 0 = none) and, of its camera,
    ``directions[first_direction[k] + p]``. When the pool is full, the keyframe that is nearest to
    another one makes room.
    """

    def __init__(self, config):
        self.config = config
        capacity = config.budget_mb * 2**20 // BYTES_PER_PIXEL
        # Untouched memory of these costs nothing: the system provides pages as they are written.
        self.colors = np.empty((capacity, 3), dtype=np.uint8)
        self.depths = np.zeros(capacity, dtype=np.uint16)
        self.directions = np.empty((0, 3), dtype=np.float32)
        self.cameras = {}  # Camera -> first row in directions
        self.T_world_camera = NO_POSES
        self.first = np.empty(0, dtype=np.int64)
        self.first_direction = np.empty(0, dtype=np.int64)
        self.widths, self.heights = np.empty((2, 0), dtype=np.int64)  # of each keyframe
        self.draws = np.empty(0)  # rays drawn from each keyframe
        self.numbers = np.empty(0, dtype=np.int64)  # how many came before each, gone ones too
        self.count = 0  # of all that ever came, scans too
        self.error_map, self.exposure = ErrorMap(), Exposure()
        self.mirror = None  # what a backend keeps of them

    def __len__(self):
        """Return the number of keyframes."""
        return len(self.first)

    @property
    def pixels(self):
        """Return the number of pixels (K,) of each keyframe."""
        return self.widths * self.heights

    @property
    def stored(self):
        """Return the bytes of their pixels."""
        return BYTES_PER_PIXEL * int(self.pixels.sum())

    def moved(self, T_world_camera, others=NO_POSES):
        """Tell whether a pose is far enough from those of all keyframes, and others (N, 4, 4)."""
        known = np.concatenate([self.T_world_camera, others])
        translation, angle = _motion(known, T_world_camera)
        return bool((
            (translation >= self.config.min_translation)
            | (np.degrees(angle) >= self.config.min_rotation)).all())

    def check(self, camera):
        """Raise ValueError if an image of a camera can never fit."""
        if camera.width * camera.height > len(self.depths):
            raise ValueError(
                f'an image of {camera.width} x {camera.height} does not fit into '
                f'keyframes.budget_mb = {self.config.budget_mb}')

    def add(self, image, camera, T_world_camera, depth=None):
        """Keep an image; see Mapper.add for the arguments. Raises ValueError if it cannot fit."""
        self.check(camera)
        count = camera.width * camera.height
        first = self._free(count)
        while first is None:
            self._remove(self._most_redundant())
            first = self._free(count)
        self.colors[first : first + count] = image.reshape(-1, 3)
        self.depths[first : first + count] = 0 if depth is None else _millimetres(depth).ravel()
        if camera not in self.cameras:
            self.cameras[camera] = len(self.directions)
            self.directions = np.concatenate([self.directions, camera.directions()])
        self.T_world_camera = np.concatenate([self.T_world_camera, T_world_camera[None]])
        self.first = np.append(self.first, first)
        self.first_direction = np.append(self.first_direction, self.cameras[camera])
        self.widths = np.append(self.widths, camera.width)
        self.heights = np.append(self.heights, camera.height)
        self.draws = np.append(self.draws, 0.0)
        self.numbers = np.append(self.numbers, self.take_number())
        self.error_map.append()
        self.exposure.append()

    def correct(self, poses):
        """Replace poses {number: T_world_camera} of keyframes, as far as they are still there."""
        for k, number in enumerate(self.numbers):
            self.T_world_camera[k] = poses.get(number, self.T_world_camera[k])
        self.numbers = self.numbers.copy()  # for a mirror, which sees that something is new

    def take_number(self):
        """Return the next number, of a keyframe or a scan."""
        self.count += 1
        return self.count - 1

    def image(self, k):
        """Return Camera, image (H, W, 3) uint8, depth (H, W) uint16 [mm] of a keyframe."""
        [camera] = (c for c, row in self.cameras.items() if row == self.first_direction[k])
        place = slice(self.first[k], self.first[k] + self.pixels[k])
        size = camera.height, camera.width
        return camera, self.colors[place].reshape(*size, 3), self.depths[place].reshape(size)

    def draw_weights(self):
        """Return the probability (K,) of drawing a ray from each keyframe.

        Inverse to the rays drawn so far: a new image is learnt at once, and all have the same
        share in the end.
        """
        weights = 1 / (self.draws + DRAW_PRIOR)
        return weights / weights.sum()

    def learn(self, drawn, pixels, colors, opacities):
        """Take in what the field showed of rays that were Drawn.

        pixels (R, 3) uint8, as corrected; colors (R, 3) in [0, 1], over black; opacities (R,).
        """
        errors = np.abs(colors - pixels / np.float32(255)).mean(-1)
        self.error_map.learn(drawn.keyframes, drawn.tiles, errors)
        if self.config.adapt_exposure:
            self.learn_exposure(drawn.keyframes, drawn.pixels, colors, opacities)

    def learn_exposure(self, keyframes, pixels, colors, opacities):
        """Take in what the field showed of pixels (R, 3) uint8, as recorded, of keyframes (R,)."""
        whole = opacities > OPAQUE
        self.exposure.learn(keyframes[whole], pixels[whole], colors[whole])

    def _free(self, count):
        """Return the first place in the pool with room for count pixels, or None."""
        place = 0
        for k in np.argsort(self.first):
            if self.first[k] - place >= count:
                return place
            place = self.first[k] + self.pixels[k]
        return place if len(self.depths) - place >= count else None

    def _most_redundant(self):
        """Return the keyframe whose nearest neighbour in pose is nearest, the older of the two."""
        nearest = np.full(len(self), np.inf)
        for k, T_world_camera in enumerate(self.T_world_camera):
            translation, angle = _motion(self.T_world_camera, T_world_camera)
            distance = translation + angle  # one radian weighs as much as one metre
            distance[k] = np.inf
            nearest[k] = distance.min()
        return int(np.argmin(nearest))

    def _remove(self, k):
        for name in (
                'T_world_camera', 'first', 'first_direction', 'widths', 'heights', 'draws',
                'numbers'):
            setattr(self, name, np.delete(getattr(self, name), k, axis=0))
        self.error_map.remove(k)
        self.exposure.remove(k)


def _motion(T_world_cameras, T_world_camera):
    """Return distances (K,) in metres and angles (K,) in radians between poses and a pose."""
    translation = np.linalg.norm(T_world_cameras[:, :3, 3] - T_world_camera[:3, 3], axis=-1)
    rotations = T_world_cameras[:, :3, :3]
    trace = np.einsum('kij,ij->k', rotations, T_world_camera[:3, :3])
    return translation, np.arccos(np.clip((trace - 1) / 2, -1, 1))


def _millimetres(depth):
    """Return uint16 millimetres of depths in metres; what is no measurement becomes 0."""
    # In place: fresh memory costs more than what is done with it.
    scaled = np.asarray(depth, dtype=np.float32) / np.float32(MILLIMETRE)
    scaled[~((scaled >= 1) & (scaled < 65535))] = 0  # what is not a number, too
    scaled += 0.5
    return scaled.astype(np.uint16)


def checked(image, camera, T_world_camera, depth):
    """Return the pose as float64; raise ValueError if anything is not what it must be."""
    if not isinstance(camera, Camera):
        raise ValueError(f'camera must be a Camera, is {type(camera).__name__}')
    size = camera.height, camera.width
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(f'the image must be {(*size, 3)} uint8 as the camera says, '
                         f'is {image.shape} {image.dtype}')
    depth = np.zeros(size) if depth is None else np.asarray(depth)
    if depth.shape != size or depth.dtype.kind != 'f':  # integers would be millimetres
        raise ValueError(f'the depth must be {size} as the camera says, in metres as floats, '
                         f'is {depth.shape} {depth.dtype}')
    T_world_camera = np.array(T_world_camera, dtype=np.float64)
    if T_world_camera.shape != (4, 4) or not np.isfinite(T_world_camera).all():
        raise ValueError(f'the pose must be a finite 4 x 4 matrix, is {T_world_camera}')
    rotation = T_world_camera[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > 1e-3 or np.linalg.det(rotation) < 0 or (T_world_camera[3] != (0, 0, 0, 1)).any():
        raise ValueError(f'the pose must be a rotation and a translation, is {T_world_camera}')
    return T_world_camera

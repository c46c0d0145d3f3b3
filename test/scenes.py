"""A scene in closed form: a painted room with a red ball, seen by exact cameras."""
import numpy as np

from instant_nerf_ros.nerf.camera import Camera

LOW, HIGH = np.array([-2.0, -1.5, 0.0]), np.array([2.0, 1.5, 2.4])  # metres, the walls
BALL, RADIUS = np.array([0.6, 0.2, 0.8]), 0.4  # metres
CAMERA = Camera(64, 48, 48.0, 48.0, 31.5, 23.5)


def look_at(position, target):
    """Return T_world_camera (4, 4) of a camera at a position that sees the target, upright."""
    forward = np.subtract(target, position) / np.linalg.norm(np.subtract(target, position))
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=-1)
    pose[:3, 3] = position
    return pose


def distances(origins, directions):
    """Return the distances (N,) along unit directions (N, 3) from inside the room."""
    with np.errstate(divide='ignore'):
        wall = np.maximum((LOW - origins) / directions, (HIGH - origins) / directions).min(-1)
    offset = origins - BALL
    middle = -(offset * directions).sum(-1)
    root = middle**2 - (offset**2).sum(-1) + RADIUS**2
    ball = middle - np.sqrt(np.maximum(root, 0))
    return np.where((root > 0) & (ball > 0), np.minimum(wall, ball), wall)


def paint(points):
    """Return the colours (N, 3) in [0, 1] of points (N, 3) on the surfaces."""
    x, y, z = points.T
    walls = np.stack([np.sin(3 * x + z), np.sin(3 * y - x), np.sin(4 * z + y)], axis=-1)
    on_ball = np.linalg.norm(points - BALL, axis=-1) < RADIUS * 1.01
    return np.where(on_ball[:, None], [0.9, 0.1, 0.1], 0.5 + 0.4 * walls)


def view(camera, T_world_camera):
    """Return the image (H, W, 3) uint8 and the depth (H, W) float32 along the optical axis."""
    in_camera = camera.directions().astype(np.float64)
    directions = in_camera @ T_world_camera[:3, :3].T
    origins = np.broadcast_to(T_world_camera[:3, 3], directions.shape)
    along = distances(origins, directions)
    size = camera.height, camera.width
    image = paint(origins + along[:, None] * directions).reshape(*size, 3)
    return (image * 255 + 0.5).astype(np.uint8), (along * in_camera[:, 2]).reshape(
        size).astype(np.float32)


def poses(count):
    """Return poses on a loop through the room, with viewing directions all around."""
    angles = np.arange(count) * 2 * np.pi / count
    return [
        look_at([-0.5 + 0.5 * np.cos(angle), 0.5 * np.sin(angle), 1.2 + 0.2 * np.sin(3 * angle)],
                [2 * np.cos(2 * angle), 1.5 * np.sin(2 * angle), 1.0])
        for angle in angles
    ]  # fmt: skip

"""The shutter of a moving camera: motion blur, and rows that are exposed one after the other."""
import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

SAMPLES = 4  # of the exposure
Twist = NDArray[np.float64]  # (6,) linear [m/s] and angular [rad/s] velocity in the camera frame


def twist(before: NDArray[np.float64], after: NDArray[np.float64], duration: float) -> Twist:
    """Return the velocity between two poses T_world_camera (4, 4) that are a short time apart."""
    change = np.linalg.inv(before) @ after
    rotation = change[:3, :3] - change[:3, :3].T
    angular = np.array([rotation[2, 1], rotation[0, 2], rotation[1, 0]]) / 2
    return np.concatenate([change[:3, 3], angular]) / duration


def pixel_velocity(
    camera: Camera, depth: NDArray[np.float32], velocity: Twist,
) -> NDArray[np.float32]:  # fmt: skip
    """Return how fast the image of what is still moves, (H, W, 2) [pixels/s].

    This is the interaction matrix of visual servoing (Chaumette and Hutchinson 2006, "Visual
    servo control, part I", eq. 11). Where depth is not finite, only the rotation counts.
    """
    rays = camera.directions().reshape(camera.height, camera.width, 3)
    x, y = rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]
    near = np.where(np.isfinite(depth) & (depth > 0), 1 / np.where(depth > 0, depth, 1), 0)
    (vx, vy, vz), (wx, wy, wz) = velocity[:3], velocity[3:]
    along_x = near * (x * vz - vx) + x * y * wx - (1 + x * x) * wy + y * wz
    along_y = near * (y * vz - vy) + (1 + y * y) * wx - x * y * wy - x * wz
    return np.stack([camera.fx * along_x, camera.fy * along_y], axis=-1).astype(np.float32)


def exposed(
    image: NDArray[np.uint8], velocity: NDArray[np.float32], exposure: float, readout: float,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return an image (H, W, 3) as a shutter exposes it whose middle is at the image's time.

    velocity (H, W, 2) [pixels/s]; exposure: the time during which a row collects light [s];
    readout: the time from the first to the last row [s].
    """
    if not exposure and not readout:
        return image
    height, width = image.shape[:2]
    delays = readout * ((np.arange(height, dtype=np.float32) + 0.5) / height - 0.5)[:, None]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32),
                                np.arange(height, dtype=np.float32))
    count = SAMPLES if exposure else 1
    total = np.zeros(image.shape, np.float32)
    for number in range(count):
        time = delays + np.float32(exposure * ((number + 0.5) / count - 0.5))
        total += cv2.remap(
            image, columns - velocity[..., 0] * time, rows - velocity[..., 1] * time,
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.round(total / count).astype(np.uint8)

"""Pictures of exports by the textbook: Gaussians by splatting, triangles by a depth buffer."""
import numba
import numpy as np
from scipy.spatial.transform import Rotation

DILATION = 0.3  # pixels^2, of every Gaussian on the image (Kerbl et al. 2023)


@numba.njit
def _blend(order, centers, inverses, radii, colors, opacities, height, width):
    image, through = np.zeros((height, width, 3)), np.ones((height, width))
    for n in order:
        u, v, r = centers[n, 0], centers[n, 1], radii[n]
        for y in range(max(0, int(v - r)), min(height, int(v + r) + 2)):
            for x in range(max(0, int(u - r)), min(width, int(u + r) + 2)):
                if through[y, x] < 1e-4:
                    continue
                dx, dy = x - u, y - v
                power = -0.5 * (inverses[n, 0] * dx * dx + inverses[n, 2] * dy * dy) \
                    - inverses[n, 1] * dx * dy
                alpha = min(0.99, opacities[n] * np.exp(power))
                if alpha < 1 / 255:
                    continue
                for c in range(3):
                    image[y, x, c] += through[y, x] * alpha * colors[n, c]
                through[y, x] *= 1 - alpha
    return image, 1 - through


def splat(gaussians, camera, T_world_camera):
    """Return the image (H, W, 3) in [0, 1] over black and the opacity (H, W) of Gaussians.

    Covariances are projected by the Jacobian of a pinhole camera (Zwicker et al. 2001), and
    blended from front to back, as by the reference implementation of Kerbl et al. 2023.
    """
    turn = T_world_camera[:3, :3].T
    local = (gaussians.positions - T_world_camera[:3, 3]) @ turn.T
    kept = np.flatnonzero(local[:, 2] > 0.05)
    x, y, z = local[kept].T
    axes = turn @ Rotation.from_quat(gaussians.rotations[kept]).as_matrix()
    factors = axes * gaussians.scales[kept, None]
    zero = np.zeros_like(z)
    limit = 1.3 * np.array([camera.width / 2 / camera.fx, camera.height / 2 / camera.fy])
    tx, ty = np.clip(x / z, -limit[0], limit[0]), np.clip(y / z, -limit[1], limit[1])
    jacobian = np.stack([
        np.stack([camera.fx / z, zero, -camera.fx * tx / z], -1),
        np.stack([zero, camera.fy / z, -camera.fy * ty / z], -1)], 1)
    roots = jacobian @ factors
    covariance = roots @ roots.transpose(0, 2, 1) + DILATION * np.eye(2)
    inverse = np.linalg.inv(covariance)
    centers = np.column_stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
    radii = 3 * np.sqrt(np.linalg.eigvalsh(covariance)[:, 1])
    return _blend(
        np.argsort(z), centers, inverse.reshape(-1, 4)[:, [0, 1, 3]].copy(), radii,
        gaussians.colors[kept], gaussians.opacities[kept], camera.height, camera.width)


@numba.njit
def _fill(corners, colors, height, width):
    image, nearest = np.zeros((height, width, 3)), np.full((height, width), np.inf)
    for m in range(len(corners)):
        a, b, c = corners[m, 0], corners[m, 1], corners[m, 2]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0 or min(a[2], b[2], c[2]) <= 0:
            continue
        for y in range(max(0, int(np.ceil(min(a[1], b[1], c[1])))),
                       min(height, int(max(a[1], b[1], c[1])) + 1)):
            for x in range(max(0, int(np.ceil(min(a[0], b[0], c[0])))),
                           min(width, int(max(a[0], b[0], c[0])) + 1)):
                p = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
                q = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
                r = 1 - p - q
                if p < -1e-9 or q < -1e-9 or r < -1e-9:
                    continue
                inverse = p / a[2] + q / b[2] + r / c[2]  # linear on the image
                if 1 / inverse < nearest[y, x]:
                    nearest[y, x] = 1 / inverse
                    for k in range(3):
                        image[y, x, k] = (
                            p * colors[m, 0, k] / a[2] + q * colors[m, 1, k] / b[2]
                            + r * colors[m, 2, k] / c[2]) / inverse
    return image, nearest


def rasterize(positions, faces, colors, camera, T_world_camera):
    """Return the image (H, W, 3) and depth (H, W), inf elsewhere, of a mesh with vertex colors."""
    local = (positions - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]
    z = local[:, 2]
    with np.errstate(divide='ignore', invalid='ignore'):
        pixels = np.column_stack([
            camera.fx * local[:, 0] / z + camera.cx, camera.fy * local[:, 1] / z + camera.cy, z])
    return _fill(pixels[faces], np.asarray(colors, np.float64)[faces], camera.height, camera.width)

"""A still life in the layout of NeRF synthetic: exact poses, alpha, views to train on and to test.

Usage: object_scene.py FOLDER. Spheres, boxes and thin rods with textures, shadows and highlights
are cast with several rays a pixel. The cameras are those of NeRF synthetic: 4.03 away, 40 degrees
wide, somewhere on the upper hemisphere. All of it follows from seeds.
"""
import json
import math
import sys
from pathlib import Path

import cv2
import numba
import numpy as np

SIZE, RAYS = 400, 3  # pixels of an edge; rays along each axis of a pixel
DISTANCE, ANGLE = 4.03, 0.6911112070183618  # of NeRF synthetic
SPLITS = {'train': 100, 'test': 25}
SPHERE, BOX, ROD = range(3)
LIGHT = np.array([0.4, -0.35, 0.847])
FAR = 1e9
jit = numba.njit(cache=True, fastmath=True)


def still_life():
    """Return the parts (N, 16): kind, center, size, yaw, two colors, frequency, gloss."""
    random = np.random.default_rng(7)

    def part(kind, center, size, yaw=0.0, frequency=8.0, gloss=0.0, color=None):
        first = random.uniform(0.1, 0.9, 3) if color is None else np.array(color)
        second = first * random.uniform(0.35, 0.7)
        return [kind, *center, *size, yaw, *first, *second, frequency, gloss]

    parts = [
        part(BOX, (0, 0, -0.55), (0.95, 0.75, 0.05), 0.0, 5, 0.1, (0.6, 0.45, 0.3)),
        part(BOX, (-0.35, 0.1, -0.2), (0.3, 0.25, 0.3), 0.4, 9, 0.2, (0.85, 0.7, 0.15)),
        part(BOX, (0.45, -0.3, -0.3), (0.22, 0.26, 0.2), -0.5, 12),
        part(SPHERE, (0.45, 0.35, -0.22), (0.28,) * 3, 0, 7, 0.5, (0.75, 0.15, 0.1)),
        part(SPHERE, (-0.35, 0.1, 0.29), (0.19,) * 3, 0, 12, 0.3, (0.15, 0.5, 0.3)),
        part(BOX, (-0.72, -0.45, -0.25), (0.11, 0.11, 0.25), 0.1, 14)]
    for k in range(8):  # a table on eight thin legs, with balls on it
        x, y = 0.45 + 0.19 * math.cos(k * math.pi / 4), -0.3 + 0.19 * math.sin(k * math.pi / 4)
        parts.append(part(ROD, (x, y, 0.1), (0.018, 0.018, 0.22), 0, 20))
        parts.append(part(SPHERE, (x, y, 0.39), (0.055,) * 3, 0, 15, 0.3))
    parts.append(part(BOX, (0.45, -0.3, 0.32), (0.27, 0.27, 0.02), 0.2, 10, 0.3))
    for k in range(6):  # a fence, and studs along an edge
        parts.append(part(BOX, (-0.8 + 0.12 * k, 0.62, -0.4 + 0.03 * k),
                          (0.03, 0.03, 0.1 + 0.03 * k), 0.3 * k, 12))
        parts.append(part(SPHERE, (-0.8 + 0.3 * k, -0.68, -0.48), (0.045,) * 3, 0, 10, 0.2))
    return np.array(parts)


@jit
def _noise(x, y, z):
    """Return smooth noise in [0, 1]: random numbers of the corners of unit cells, blended."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for corner in range(8):
        a, b, c = corner & 1, corner >> 1 & 1, corner >> 2
        number = (int(i) + a) * 73856093 ^ (int(j) + b) * 19349663 ^ (int(k) + c) * 83492791
        number = (number ^ number >> 13) * 1274126177
        value = ((number ^ number >> 16) & 0xffff) / 65535
        total += value * (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
    return total


@jit
def _hit(part, origin, direction, normal, local):
    """Return the distance to a part, FAR if it is missed; write normal and local position."""
    cosine, sine = math.cos(part[7]), math.sin(part[7])
    x, y, z = origin[0] - part[1], origin[1] - part[2], origin[2] - part[3]
    x, y = cosine * x + sine * y, cosine * y - sine * x
    dx, dy = (cosine * direction[0] + sine * direction[1],
              cosine * direction[1] - sine * direction[0])
    dz, found, radius = direction[2], FAR, part[4]
    if part[0] == BOX:
        start, end, face, sign = -FAR, FAR, 0, 1.0
        for axis in range(3):
            o = x if axis == 0 else y if axis == 1 else z
            d = dx if axis == 0 else dy if axis == 1 else dz
            d = d if abs(d) > 1e-12 else 1e-12
            near, far = (-part[4 + axis] - o) / d, (part[4 + axis] - o) / d
            if min(near, far) > start:
                start, face, sign = min(near, far), axis, (-1.0 if d > 0 else 1.0)
            end = min(end, max(near, far))
        if 0 < start < end:
            found = start
            nx, ny, nz = (sign if face == 0 else 0.0, sign if face == 1 else 0.0,
                          sign if face == 2 else 0.0)
    else:
        upright = 0.0 if part[0] == ROD else 1.0
        a = dx * dx + dy * dy + upright * dz * dz
        b = x * dx + y * dy + upright * z * dz
        root = b * b - a * (x * x + y * y + upright * z * z - radius * radius)
        if root > 0 and a > 1e-12:
            t = (-b - math.sqrt(root)) / a
            if t > 0 and (upright or abs(z + t * dz) < part[6]):
                found = t
                nx, ny, nz = ((x + t * dx) / radius, (y + t * dy) / radius,
                              upright * (z + t * dz) / radius)
    if found < FAR:
        normal[0], normal[1], normal[2] = cosine * nx - sine * ny, sine * nx + cosine * ny, nz
        local[0], local[1], local[2] = x + found * dx, y + found * dy, z + found * dz
    return found


@jit
def _passes(part, origin, direction):
    """Return whether a ray passes the sphere around a part."""
    x, y, z = part[1] - origin[0], part[2] - origin[1], part[3] - origin[2]
    along = x * direction[0] + y * direction[1] + z * direction[2]
    radius2 = part[4] ** 2 + part[5] ** 2 + part[6] ** 2
    return x * x + y * y + z * z - along * along > radius2


@jit
def _first_hit(parts, origin, direction, normal, local):
    """Return the index of the first part that a ray hits, or -1, and the distance."""
    best, index = FAR, -1
    trial_normal, trial_local = np.zeros(3), np.zeros(3)
    for i in range(len(parts)):
        if _passes(parts[i], origin, direction):
            continue
        distance = _hit(parts[i], origin, direction, trial_normal, trial_local)
        if distance < best:
            best, index = distance, i
            normal[:], local[:] = trial_normal, trial_local
    return index, best


@jit
def _cast(parts, origin, direction, color):
    """Write the color (4,) of a ray: RGB and opacity."""
    normal, local, ignored = np.zeros(3), np.zeros(3), np.zeros(3)
    index, distance = _first_hit(parts, origin, direction, normal, local)
    color[:] = 0
    if index < 0:
        return
    part = parts[index]
    x, y, z = local * part[14]
    share = 0.65 * _noise(x, y, z) + 0.35 * _noise(2.7 * x, 2.7 * y, 2.7 * z)
    share = min(max(2.2 * (share - 0.5) + 0.5, 0.0), 1.0)
    towards = normal[0] * LIGHT[0] + normal[1] * LIGHT[1] + normal[2] * LIGHT[2]
    lit, highlight = 0.0, 0.0
    if towards > 0:
        above = origin + distance * direction + 1e-4 * normal
        if _first_hit(parts, above, LIGHT, ignored, np.zeros(3))[0] < 0:
            mirrored = 2 * towards * normal - LIGHT
            lit = towards
            highlight = part[15] * max(-np.sum(mirrored * direction), 0.0) ** 20
    brightness = 0.35 + 0.15 * normal[2] + 0.6 * lit
    for c in range(3):
        mixed = part[8 + c] * share + part[11 + c] * (1 - share)
        color[c] = min(mixed * brightness + highlight, 1.0)
    color[3] = 1


@numba.njit(cache=True, fastmath=True, parallel=True)
def render(parts, pose, size, rays):
    """Return the view (size, size, 4) of a camera of OpenGL, premultiplied by alpha."""
    image, focal = np.zeros((size, size, 4)), size / 2 / math.tan(ANGLE / 2)
    for v in numba.prange(size):
        direction, color = np.zeros(3), np.zeros(4)
        for u in range(size):
            for n in range(rays * rays):
                x = (u + (n % rays + 0.5) / rays - size / 2) / focal
                y = (v + (n // rays + 0.5) / rays - size / 2) / focal
                length = math.sqrt(x * x + y * y + 1)
                for c in range(3):
                    direction[c] = (pose[c, 0] * x - pose[c, 1] * y - pose[c, 2]) / length
                _cast(parts, pose[:3, 3].copy(), direction, color)
                image[v, u] += color / (rays * rays)
    return image


def _pose(height, turn):
    """Return the pose (4, 4) of a camera of OpenGL that looks at the middle."""
    radius = math.sqrt(1 - height * height)
    z = np.array([radius * math.cos(turn), radius * math.sin(turn), height])
    x = np.array([-math.sin(turn), math.cos(turn), 0.0])
    pose = np.eye(4)
    pose[:3] = np.stack([x, np.cross(z, x), z, DISTANCE * z], axis=1)
    return pose


def write(folder):
    """Write all images and their poses to a folder."""
    parts, random = still_life(), np.random.default_rng(0)
    for split, count in SPLITS.items():
        (Path(folder) / split).mkdir(parents=True)
        frames = []
        for k in range(count):
            height, turn = ((random.uniform(0.02, 0.98), random.uniform(0, 2 * math.pi))
                            if split == 'train' else (0.5, 2 * math.pi * k / count))
            pose = _pose(height, turn)
            image = render(parts, pose, SIZE, RAYS)
            image[..., :3] /= np.maximum(image[..., 3:], 1e-9)
            name = f'{split}/r_{k}'
            cv2.imwrite(str(Path(folder) / f'{name}.png'),
                        (image[..., [2, 1, 0, 3]] * 255 + 0.5).astype(np.uint8))
            frames.append({'file_path': name, 'transform_matrix': pose.tolist()})
        (Path(folder) / f'transforms_{split}.json').write_text(
            json.dumps({'camera_angle_x': ANGLE, 'frames': frames}))


if __name__ == '__main__':
    write(sys.argv[1])

"""Reprojection: where points appear in other images, and how that changes as cameras move.

A point lies on the ray of a feature in one image, its anchor, at an inverse depth: unlike a depth
it is nearly linear in what is seen, and zero is as good as any (Civera et al. 2008, "Inverse depth
parametrization for monocular SLAM"). Each of M observations is of a point in another image, whose
camera sees it at a place: T_camera_anchor (M, 4, 4); starts in the anchor and places in that image
(M, 3), both on the planes z = 1; focal (M, 1) [pixels].
"""
import numpy as np

from instant_nerf_ros.nerf.motion.epipolar import cross

AHEAD = 0.1  # least depth in the camera, in units of that in the anchor
TINY = 1e-12  # instead of zero, to divide by


def inverse_depths(T_camera_anchor, starts, focal, places, tracks):
    """Return the inverse depths (T,) [1/m] that bring points nearest to where they are seen.

    And parallaxes (T,): by how many pixels all their images together tell them from points at
    infinity. tracks (M,): which of T points each is. Linear (Hartley and Zisserman 2004, 12.2).
    """
    far, shifts = _turned(T_camera_anchor, starts), T_camera_anchor[:, :3, 3]
    off = focal * (far[:, :2] - far[:, 2:] * places[:, :2])
    jacobians = focal * (shifts[:, :2] - shifts[:, 2:] * places[:, :2])
    down = np.bincount(tracks, (off * jacobians).sum(-1))
    steep = np.bincount(tracks, (jacobians**2).sum(-1)).clip(min=TINY)
    return -down / steep, abs(down) / np.sqrt(steep)


def errors(T_camera_anchor, starts, focal, inverse, places):
    """Return by how many pixels (M, 2) points at inverse depths (M,) are off their places."""
    seen = _seen(T_camera_anchor, starts, inverse)
    return focal * (seen[:, :2] / seen[:, 2:].clip(min=AHEAD) - places[:, :2])


def jacobians(T_camera_anchor, starts, focal, inverse):
    """Return how errors change: with anchor, with camera (M, 2, 6), and inverse depth (M, 2).

    Anchor and camera move as `epipolar.moved` says.
    """
    seen = _seen(T_camera_anchor, starts, inverse)
    depth = seen[:, 2:].clip(min=AHEAD)
    by_seen = np.zeros((len(seen), 2, 3))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = (focal / depth)[:, 0]
    by_seen[:, :, 2] = -focal * seen[:, :2] / depth**2
    by_start = by_seen @ T_camera_anchor[:, :3, :3]
    along = inverse[:, None, None]
    by_anchor = np.concatenate([-by_start @ cross(starts), along * by_start], axis=-1)
    by_camera = np.concatenate([by_seen @ cross(seen), -along * by_seen], axis=-1)
    return by_anchor, by_camera, (by_seen @ T_camera_anchor[:, :3, 3:])[..., 0]


def schur_complement(by_anchor, by_camera, by_depth, errors, anchors, cameras, tracks, poses, first):
    """Return normal matrix (P, 6, P, 6) and gradient (P, 6), with inverse depths as they follow.

    errors (M, 2) change by by_anchor and by_camera (M, 2, 6) with two of so many poses, which
    anchors and cameras (M,) tell, and by by_depth (M, 2) with the inverse depth of a track:
    tracks (M,), in order, each with one anchor and another camera every time. The Schur
    complement of a diagonal matrix (Triggs et al. 2000, "Bundle adjustment - a modern
    synthesis", 6.1); poses are coupled by pairs, so whole rows are never multiplied.
    """
    both = np.concatenate([by_anchor, by_camera], axis=-1)
    squares, down = np.zeros((poses, poses, 12, 12)), np.zeros((poses, poses, 12))
    for some in _alike(anchors * poses + cameras):
        rows, pair = both[some].reshape(-1, 12), (anchors[some[0]], cameras[some[0]])
        squares[pair], down[pair] = rows.T @ rows, errors[some].ravel() @ rows
    normal = squares[:, :, :6, 6:].swapaxes(1, 2)
    normal = normal + normal.transpose(2, 3, 0, 1)
    each = np.arange(poses)
    normal[each, :, each] += squares[:, :, :6, :6].sum(1) + squares[:, :, 6:, 6:].sum(0)
    gradient = down[:, :, :6].sum(1) + down[:, :, 6:].sum(0)

    begins = np.flatnonzero(np.diff(tracks, prepend=-1))
    along = (by_depth[:, None] @ both)[:, 0]
    coupled = np.zeros((len(begins), poses, 6))
    coupled[tracks, cameras] = along[:, 6:]
    coupled[tracks[begins], anchors[begins]] = np.add.reduceat(along[:, :6], begins)
    steep = np.add.reduceat((by_depth**2).sum(-1), begins).clip(min=TINY)
    slope = np.add.reduceat((by_depth * errors).sum(-1), begins)
    coupled = coupled[:, first:].reshape(-1, 6 * (poses - first))
    scaled = coupled / steep[:, None]
    normal, gradient = normal[first:, :, first:], gradient[first:]
    return (normal - (coupled.T @ scaled).reshape(normal.shape),
            gradient - (slope @ scaled).reshape(gradient.shape))


def _alike(index):
    """Return for each value in index (M,) where it is, (N,)."""
    order = np.argsort(index, kind='stable')
    return np.split(order, np.flatnonzero(np.diff(index[order])) + 1) if len(order) else []


def _turned(T_camera_anchor, starts):
    return (T_camera_anchor[:, :3, :3] @ starts[..., None])[..., 0]


def _seen(T_camera_anchor, starts, inverse):
    """Return points (M, 3) in the camera, in units of their depths in the anchor."""
    return _turned(T_camera_anchor, starts) + inverse[:, None] * T_camera_anchor[:, :3, 3]

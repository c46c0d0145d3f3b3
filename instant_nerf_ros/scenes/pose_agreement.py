"""Pose agreement: whether the poses of a COLMAP model explain the matches that were verified.

Each pair of images has matches that agree on a two-view geometry, which knows nothing of the other
images. Poses that are right explain them; global mapping may return poses that do not.
"""
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.motion.epipolar import sampson_distance

MAX_ERROR = 4.0  # pixels, of COLMAP's verification of matches
MIN_MATCHES = 15  # of a pair that counts, as in COLMAP's mappers
MIN_SHARE = 0.5  # of the matches of a pair, that its poses explain
MIN_PAIRS = 0.7  # share of pairs that are explained: some are verified wrongly, by repetition


def agrees(model: Any, database: Path) -> bool:
    """Return whether the poses of a pycolmap.Reconstruction explain enough pairs of a database.

    Of all pairs, and of those of each image.
    """
    pairs, shares = explained_shares(model, database)
    if not len(pairs):
        return False
    good = shares >= MIN_SHARE
    images = np.unique(pairs)
    return bool(good.mean() >= MIN_PAIRS and all(
        good[(pairs == image).any(-1)].mean() >= MIN_SHARE for image in images))


def explained_shares(
    model: Any, database: Path,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # fmt: skip
    """Return the ids of pairs (P, 2) with enough matches, and the share (P,) that is explained."""
    import pycolmap
    pairs, shares = [], []
    with pycolmap.Database.open(database) as opened:
        for pair, geometry in zip(*opened.read_two_view_geometries()):
            ids, matches = pycolmap.pair_id_to_image_pair(pair), geometry.inlier_matches
            images = [model.images[each] for each in ids
                      if each in model.images and model.images[each].has_pose]
            if len(matches) < MIN_MATCHES or len(images) < 2:
                continue
            first, second = images
            rays = [
                np.column_stack([image.camera.cam_from_img(
                    opened.read_keypoints(image.image_id)[index][:, :2]), np.ones(len(matches))])
                for image, index in zip(images, matches.T)]
            T_second_first = np.eye(4)
            T_second_first[:3] = (
                second.cam_from_world() * first.cam_from_world().inverse()).matrix()
            errors = abs(sampson_distance(T_second_first, *rays))
            pairs.append(ids)
            shares.append(np.mean(errors * first.camera.mean_focal_length() < MAX_ERROR))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), np.array(shares)

"""Transients: what only one image has measured, and a later one has no return from."""
import numpy as np
import pytest
from scenes import look_at
from test_integration import CONFIG

from instant_nerf_ros.nerf import Camera, Mapper, replace
from instant_nerf_ros.nerf.constants import MASKED_ALPHA, OCCUPIED, OPAQUE_ALPHA, UNKNOWN

CAMERA = Camera(160, 120, 100.0, 100.0, 79.5, 59.5)
IMAGE = np.full((120, 160, 3), 90, np.uint8)
PERSON = 1.55, (-0.3, 0.3), (-0.5, 0.5)  # x, and the ends in y and z [m]: it faces the camera
POST = 2.45, (0.95, 1.25), (-0.6, 0.6)  # farther: the sensor reaches the person
STEP = 0.95, (0.4, 0.6), (-0.6, -0.3)  # nearer: it is not too near for the sensor
BESIDE = (1.55, (-1.0, -0.3), (-0.5, 0.5)), (1.55, (0.3, 0.9), (-0.5, 0.5))  # walls
SCREEN = 0.9, (-0.5, 0.5), (-0.6, 0.6)
HERE, THERE = (look_at([0.0, y, 0.03], [2.0, y + 0.2, 0.03]) for y in (0.02, 0.12))


def depth(pose, *rectangles):
    """Return the depth (H, W) [m] of rectangles in planes across x, 0 beside them."""
    rays = CAMERA.directions() / CAMERA.directions()[:, 2:]
    rays, nearest = rays @ pose[:3, :3].T, np.full(len(rays), np.inf)
    for x, *ends in rectangles:
        depths = (x - pose[0, 3]) / np.where(rays[:, 0] == 0, np.nan, rays[:, 0])
        points = pose[:3, 3] + depths[:, None] * rays
        hit = depths > 0
        for axis, (low, high) in enumerate(ends, start=1):
            hit &= (points[:, axis] > low) & (points[:, axis] < high)
        nearest = np.where(hit, np.fmin(depths, nearest), nearest)
    return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32).reshape(IMAGE.shape[:2])


AWAY_POSE = look_at([0.0, 0.0, 0.03], [-1.0, 0.0, 0.03])
AWAY = AWAY_POSE, np.full(IMAGE.shape[:2], 1.0, np.float32)


def person(*looks, before=AWAY, alpha=None):
    """Return the states of the voxels in the middle of the person after (pose, depth) looks.

    before: another look, from elsewhere; alpha: of the last image.
    """
    mapper = Mapper(replace(CONFIG, {'keyframes.min_translation': 0.0}))
    for pose, measured in (before, *looks[:-1]):
        mapper.add(IMAGE, CAMERA, pose, measured)
    mapper.add(IMAGE, CAMERA, looks[-1][0], looks[-1][1], alpha)
    grid = mapper.voxels()
    low, high = (np.floor(([PERSON[0], *corner] - grid.origin) / grid.voxel_size).astype(int)
                 for corner in ((-0.15, -0.35), (0.15, 0.35)))
    return grid.states[low[0], low[1] : high[1] + 1, low[2] : high[2] + 1]


SEEN, GONE = (HERE, depth(HERE, PERSON, POST)), (THERE, depth(THERE, POST, STEP))


def test_a_person_that_one_image_saw_is_unknown_after_one_without_a_return():
    assert (person(SEEN) == OCCUPIED).all()
    assert (person(SEEN, GONE) == UNKNOWN).all()


@pytest.mark.parametrize('looks', [
    (SEEN, (THERE, depth(THERE, PERSON, POST)), GONE),  # two images have measured it
    ((HERE, depth(HERE, *BESIDE)), (THERE, depth(THERE, *BESIDE)), SEEN, GONE),
    (SEEN, (THERE, depth(THERE, STEP))),  # the sensor may not reach it
    (SEEN, (THERE, depth(THERE, POST))),  # it may be too near
    (SEEN, (THERE, depth(THERE, SCREEN, POST, STEP))),  # hidden
    (SEEN, (THERE, np.zeros_like(SEEN[1]))),
], ids=['measured twice', 'touches walls', 'only near', 'only far', 'hidden', 'blind'])
def test_it_stays_if_there_is_any_doubt(looks):
    assert (person(*looks) == OCCUPIED).all()


def test_it_stays_if_it_is_seen_at_a_grazing_angle():
    beside = look_at([1.45, -1.5, 0.03], [1.55, 0.0, 0.03])
    behind = depth(beside, POST, STEP)
    behind[:, :20], behind[:, 20:40] = 3.0, 0.5  # what lies beside it, so that the range suffices
    assert (person(SEEN, (beside, behind)) == OCCUPIED).all()


def test_what_is_measured_again_is_there_again():
    again = look_at([0.0, -0.1, 0.03], [2.0, 0.0, 0.03])
    assert (person(SEEN, GONE, (again, depth(again, PERSON, POST))) == OCCUPIED).all()


def test_pixels_that_never_have_a_return_tell_nothing():
    border = AWAY[1].copy()
    border[:, 50:110] = 0  # where the person is seen
    around = look_at([0.0, 0.3, 0.03], [2.0, -0.7, 0.03])  # the person is on the left from here
    seen = around, depth(around, PERSON, POST)
    assert (person(seen, GONE) == UNKNOWN).all()
    assert (person(seen, GONE, before=(AWAY[0], border)) == OCCUPIED).all()


def test_masked_pixels_tell_nothing():
    masked = np.full(IMAGE.shape[:2], OPAQUE_ALPHA, np.uint8)
    masked[:, 50:110] = MASKED_ALPHA
    assert (person(SEEN, GONE, alpha=masked) == OCCUPIED).all()

"""Body path: voxels that the robot's body has filled are free."""
import numpy as np
import pytest
from test_mapper import CONFIG

from instant_nerf_ros.nerf import Camera, Mapper, replace
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN

CAMERA = Camera(8, 6, 8.0, 8.0, 3.5, 2.5)
RADIUS, HEIGHT = 0.2, 0.6


def at(x, y, z=0.0):
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


@pytest.fixture
def mapper():
    mapper = Mapper(replace(CONFIG, {
        'motion.align': False, 'motion.stereo': False, 'occupancy.voxel_size': 0.05,
        'body.radius': RADIUS, 'body.height': HEIGHT}))
    mapper.add(np.zeros((6, 8, 3), np.uint8), CAMERA, at(0.0, 0.0, 0.5))
    return mapper


def states_at(mapper, points):
    grid = mapper.voxels()
    index = np.floor((np.asarray(points) - grid.origin) / grid.voxel_size).astype(int)
    inside = ((index >= 0) & (index < grid.states.shape)).all(-1)
    states = np.full(len(index), UNKNOWN)
    states[inside] = grid.states[tuple(index[inside].T)]
    return states


def test_exactly_the_voxels_that_lie_in_the_body_are_free(mapper):
    base = at(0.3, 0.1)
    assert mapper.add_body_pose(base) is not None
    voxels = mapper.voxels()
    centers = voxels.origin + (np.argwhere(voxels.states == FREE) + 0.5) * voxels.voxel_size
    corners = centers[:, None] + 0.025 * (2 * np.indices((2, 2, 2)).reshape(3, -1).T - 1)
    offsets = corners - base[:3, 3]
    assert (np.linalg.norm(offsets[..., :2], axis=-1) < RADIUS + 1e-6).all()
    assert (offsets[..., 2] > 0.05 - 1e-6).all() and (offsets[..., 2] < HEIGHT + 1e-6).all()
    # A disc of this radius holds so many squares of 0.05 m. Voxels begin at odd multiples of
    # 0.025 m, so that the layers from 0.075 to 0.575 m are above the first one in the body.
    x, y = np.meshgrid(np.arange(-5, 5), np.arange(-5, 5))
    farthest = np.hypot(np.maximum(abs(x), abs(x + 1)), np.maximum(abs(y), abs(y + 1))) * 0.05
    assert len(centers) == (farthest < RADIUS + 1e-6).sum() * 10
    assert (voxels.states != OCCUPIED).all()


def test_what_is_measured_later_wins(mapper):
    mapper.add_body_pose(at(0.0, 0.0))
    ends = np.array([[0.02, 0.02, 0.32]])
    assert states_at(mapper, ends) == [FREE]
    for _ in range(3):
        mapper.add_ranges([1.0, 1.0, 0.32], ends)
    assert states_at(mapper, ends) == [OCCUPIED]


def test_the_body_wins_over_one_wrong_distance(mapper):
    ends = np.array([[0.02, 0.02, 0.32]])
    mapper.add_ranges([1.0, 1.0, 0.32], ends)
    for x in np.arange(-0.2, 0.2, 0.05):
        mapper.add_body_pose(at(x, 0.0))
    assert states_at(mapper, ends) == [FREE]


def test_it_moves_with_corrections(mapper):
    pose_id = mapper.add_body_pose(at(0.0, 0.0))
    mapper.correct_poses({pose_id: at(1.0, 0.0)})
    assert states_at(mapper, [(0.02, 0.02, 0.32), (1.02, 0.02, 0.32)]).tolist() == [UNKNOWN, FREE]


def test_a_robot_that_stands_votes_once(mapper):
    assert mapper.add_body_pose(at(0.0, 0.0)) is not None
    assert mapper.add_body_pose(at(0.01, 0.0)) is None
    assert mapper.add_body_pose(at(0.06, 0.0)) is not None


def test_it_is_off_without_a_radius_and_before_the_first_image():
    off = Mapper(CONFIG)
    assert off.add_body_pose(at(0.0, 0.0)) is None
    off.add(np.zeros((6, 8, 3), np.uint8), CAMERA, at(0.0, 0.0, 0.5))
    assert off.add_body_pose(at(0.0, 0.0)) is None
    assert Mapper(replace(CONFIG, {'body.radius': 0.2})).add_body_pose(at(0.0, 0.0)) is None


def test_a_robot_that_lies_on_its_side_is_refused(mapper):
    lying = at(0.0, 0.0)
    lying[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    with pytest.raises(ValueError, match='tilted by 90 degrees'):
        mapper.add_body_pose(lying)

"""The trajectory of SLAM: what it says of old poses, and what is no use."""
import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from randomness import generator
from scipy.spatial.transform import Rotation

from instant_nerf_ros.ros.conversions import header_message, pose_message
from instant_nerf_ros.ros.reporting.dropped_messages import Drops
from instant_nerf_ros.ros.inputs.trajectory import CALM, Correction, Poses, Trajectory

pytestmark = pytest.mark.ros
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # a time of today: floats of seconds since 1970 have no nanoseconds


def some_poses(random, count):
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, random_state=random.integers(2**31)).as_matrix()
    poses[:, :3, 3] = random.normal(size=(count, 3))
    return poses


def stamps(count):
    return START + SECOND * np.arange(count, dtype=np.int64)


def shifted(x, turned=0.0):
    """Return a pose (4, 4) that is x metres ahead, turned by an angle [rad]."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler('z', turned).as_matrix()
    pose[0, 3] = x
    return pose


def path(poses, of=None, frame='map'):
    """Return a Path of poses at stamps, one a second if not given."""
    of = stamps(len(poses)) if of is None else of
    return Path(header=header_message(START, frame), poses=[
        PoseStamped(header=header_message(stamp, frame), pose=pose_message(pose))
        for stamp, pose in zip(of, poses)])


def test_what_has_moved_as_a_whole_is_moved_exactly_at_any_time():
    random = generator()
    before, [T_new_old] = some_poses(random, 6), some_poses(random, 1)
    correction = Correction(Poses(stamps(6), before), Poses(stamps(6), T_new_old @ before), 0)
    times = START + random.integers(-2 * SECOND, 8 * SECOND, 50)  # some before and after, too
    np.testing.assert_allclose(
        correction.at(times), np.tile(T_new_old, (50, 1, 1)), atol=1e-9)
    distances = np.linalg.norm((T_new_old @ before - before)[:, :3, 3], axis=-1)
    angle = Rotation.from_matrix(T_new_old[:3, :3]).magnitude()
    assert correction.largest() == pytest.approx((distances.max(), angle))


def test_between_two_poses_it_changes_evenly_and_beyond_them_not_at_all():
    before = np.array([shifted(x) for x in (0.0, 1.0, 2.0)])
    after = np.array([shifted(x) for x in (0.0, 1.0, 2.4)])
    correction = Correction(Poses(stamps(3), before), Poses(stamps(3), after), 0)
    seconds = np.array([-5.0, 0.5, 1.0, 1.25, 1.5, 2.0, 9.0])
    moved = correction.at(START + (seconds * SECOND).astype(np.int64))[:, 0, 3]
    np.testing.assert_allclose(moved, [0, 0, 0, 0.1, 0.2, 0.4, 0.4], atol=1e-9)
    alone = Correction(Poses(stamps(1), before[:1]), Poses(stamps(1), after[2:]), 0)
    np.testing.assert_allclose(alone.at([START, START + 1])[:, 0, 3], [2.4, 2.4])


class Rig:
    """A Trajectory, what it complains of, and its clocks."""

    def __init__(self):
        self.said, self.time = [], 0.0
        self.drops = Drops(self.said.append)
        self.trajectory = Trajectory(
            'map', self.drops, lambda: START + int(self.time * SECOND), lambda: self.time)

    def take(self, message):
        """Return what comes of a message."""
        self.trajectory.add(message)
        return self.trajectory.take()


def test_small_changes_add_up_to_one_correction_from_what_was_told_first():
    rig = Rig()
    assert rig.take(path([shifted(0.0), shifted(1.0)])) is None
    assert rig.take(path([shifted(0.0), shifted(1.03), shifted(2.03)])) is None
    rig.time = 7.0
    correction = rig.take(path([shifted(0.0), shifted(1.06), shifted(2.07)]))
    np.testing.assert_allclose(correction.at(stamps(3))[:, 0, 3], [0.0, 0.06, 0.04], atol=1e-9)
    assert correction.until_ns == START + 7 * SECOND
    assert rig.trajectory.take() is None  # once is enough
    rig.time += CALM
    assert rig.take(path([shifted(0.0), shifted(1.06), shifted(2.07)])) is None
    assert rig.take(path([shifted(0.0, 0.1), shifted(1.06), shifted(2.07)])).largest() == (
        pytest.approx((0.0, 0.1)))


def test_after_a_correction_it_is_calm_and_then_the_latest_counts():
    rig = Rig()
    rig.take(path([shifted(0.0)]))
    assert rig.take(path([shifted(1.0)]))
    assert rig.take(path([shifted(2.0)])) is None
    assert rig.take(path([shifted(3.0)])) is None
    rig.time += CALM
    np.testing.assert_allclose(rig.trajectory.take().at([START])[0, 0, 3], 2.0)


def test_a_path_may_lose_poses_and_begin_anew():
    rig = Rig()
    poses = [shifted(float(x)) for x in range(5)]
    rig.take(path(poses))
    correction = rig.take(path([shifted(0.2), shifted(4.2)], stamps(5)[[0, 4]]))
    np.testing.assert_allclose(correction.at(stamps(5))[:, 0, 3], 0.2)
    rig.time += CALM
    assert rig.take(path([shifted(9.0)], [START + 100 * SECOND])) is None  # another session
    rig.trajectory.forget()
    assert rig.take(path(poses)) is None and not rig.said


@pytest.mark.parametrize('message, words', [
    (path([shifted(1.0)], frame='odom'), "it is in 'odom'"),
    (path([shifted(1.0), shifted(2.0)], [0, 0]), 'no stamps'),
    (path([shifted(1.0), shifted(2.0)], [START, START]), 'all have one stamp'),
    (path([shifted(np.nan)]), 'not a pose'),
])
def test_what_is_no_use_is_told_and_nothing_moves(message, words):
    rig = Rig()
    rig.take(path([shifted(0.0)]))
    assert rig.take(message) is None
    assert rig.drops.counts() == {'unusable trajectory': 1} and words in rig.said[0]
    assert rig.take(path([])) is None and len(rig.said) == 1  # SLAM has just begun
    assert rig.take(path([shifted(0.5)])) is not None

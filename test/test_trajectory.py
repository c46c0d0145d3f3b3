"""The trajectory of a SLAM: loop closures that are found in it, and paths that are unusable."""
import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from randomness import generator
from scipy.spatial.transform import Rotation

from instant_nerf_ros.ros.conversions import header_message, pose_message
from instant_nerf_ros.ros.inputs.trajectory import (
    MIN_PERIOD,
    LoopClosure,
    StampedPoses,
    Trajectory,
)
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

pytestmark = pytest.mark.ros
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # today: as a float, the seconds since 1970 lose the nanoseconds


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


def test_a_rigid_motion_is_exact_at_any_stamp():
    random = generator()
    before, [T_new_old] = some_poses(random, 6), some_poses(random, 1)
    loop_closure = LoopClosure(
        StampedPoses(stamps(6), before), StampedPoses(stamps(6), T_new_old @ before), 0)
    times = START + random.integers(-2 * SECOND, 8 * SECOND, 50)  # some before and after, too
    np.testing.assert_allclose(
        loop_closure.T_new_old(times), np.tile(T_new_old, (50, 1, 1)), atol=1e-9)
    distances = np.linalg.norm((T_new_old @ before - before)[:, :3, 3], axis=-1)
    angle = Rotation.from_matrix(T_new_old[:3, :3]).magnitude()
    assert loop_closure.largest_motion() == pytest.approx((distances.max(), angle))


def test_a_correction_is_interpolated_between_stamps_and_constant_outside():
    before = np.array([shifted(x) for x in (0.0, 1.0, 2.0)])
    after = np.array([shifted(x) for x in (0.0, 1.0, 2.4)])
    loop_closure = LoopClosure(StampedPoses(stamps(3), before), StampedPoses(stamps(3), after), 0)
    seconds = np.array([-5.0, 0.5, 1.0, 1.25, 1.5, 2.0, 9.0])
    moved = loop_closure.T_new_old(START + (seconds * SECOND).astype(np.int64))[:, 0, 3]
    np.testing.assert_allclose(moved, [0, 0, 0, 0.1, 0.2, 0.4, 0.4], atol=1e-9)
    alone = LoopClosure(StampedPoses(stamps(1), before[:1]), StampedPoses(stamps(1), after[2:]), 0)
    np.testing.assert_allclose(alone.T_new_old([START, START + 1])[:, 0, 3], [2.4, 2.4])


class Rig:
    """A Trajectory with manual clocks, and the warnings it logged."""

    def __init__(self):
        self.warnings, self.time = [], 0.0
        self.dropped = DroppedMessages(self.warnings.append)
        self.trajectory = Trajectory(
            'map', self.dropped, lambda: START + int(self.time * SECOND), lambda: self.time)

    def poll(self, message):
        """Add a message, and return the loop closure."""
        self.trajectory.add(message)
        return self.trajectory.poll()


def test_small_changes_accumulate_to_one_loop_closure():
    rig = Rig()
    assert rig.poll(path([shifted(0.0), shifted(1.0)])) is None
    assert rig.poll(path([shifted(0.0), shifted(1.03), shifted(2.03)])) is None
    rig.time = 7.0
    loop_closure = rig.poll(path([shifted(0.0), shifted(1.06), shifted(2.07)]))
    np.testing.assert_allclose(
        loop_closure.T_new_old(stamps(3))[:, 0, 3], [0.0, 0.06, 0.04], atol=1e-9)
    assert loop_closure.until_ns == START + 7 * SECOND
    assert rig.trajectory.poll() is None  # once is enough
    rig.time += MIN_PERIOD
    assert rig.poll(path([shifted(0.0), shifted(1.06), shifted(2.07)])) is None
    assert rig.poll(path([shifted(0.0, 0.1), shifted(1.06), shifted(2.07)])).largest_motion() == (
        pytest.approx((0.0, 0.1)))


def test_after_a_loop_closure_the_next_one_has_to_wait_and_the_latest_path_counts():
    rig = Rig()
    rig.poll(path([shifted(0.0)]))
    assert rig.poll(path([shifted(1.0)]))
    assert rig.poll(path([shifted(2.0)])) is None
    assert rig.poll(path([shifted(3.0)])) is None
    rig.time += MIN_PERIOD
    np.testing.assert_allclose(rig.trajectory.poll().T_new_old([START])[0, 0, 3], 2.0)


def test_a_path_may_lose_poses_and_start_again():
    rig = Rig()
    poses = [shifted(float(x)) for x in range(5)]
    rig.poll(path(poses))
    loop_closure = rig.poll(path([shifted(0.2), shifted(4.2)], stamps(5)[[0, 4]]))
    np.testing.assert_allclose(loop_closure.T_new_old(stamps(5))[:, 0, 3], 0.2)
    rig.time += MIN_PERIOD
    assert rig.poll(path([shifted(9.0)], [START + 100 * SECOND])) is None  # another session
    rig.trajectory.reset()
    assert rig.poll(path(poses)) is None and not rig.warnings


@pytest.mark.parametrize('message, words', [
    (path([shifted(1.0)], frame='odom'), "it is in 'odom'"),
    (path([shifted(1.0), shifted(2.0)], [0, 0]), 'no stamps'),
    (path([shifted(1.0), shifted(2.0)], [START, START]), 'all have one stamp'),
    (path([shifted(np.nan)]), 'not a pose'),
])
def test_an_unusable_path_is_logged_and_nothing_moves(message, words):
    rig = Rig()
    rig.poll(path([shifted(0.0)]))
    assert rig.poll(message) is None
    assert rig.dropped.counts() == {'unusable trajectory': 1} and words in rig.warnings[0]
    assert rig.poll(path([])) is None and len(rig.warnings) == 1  # the SLAM has just started
    assert rig.poll(path([shifted(0.5)])) is not None

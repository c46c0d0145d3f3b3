"""The life cycle of the node, its services and its parameters."""
import re
import signal
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseArray
from lifecycle_msgs.msg import State, Transition
from nav_msgs.msg import OccupancyGrid, Path
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_helpers import (
    LifecycleClient,
    Robot,
    drive_until,
    mapper,
    statuses_of,
    value_of,
    wait_until,
)
from sensor_msgs.msg import PointCloud2
from shared_memory import orphans
from std_srvs.srv import SetBool, Trigger

from instant_nerf_ros.ros.conversions import cells_from_message, nanoseconds
from instant_nerf_ros.ros.outputs.late_subscribers import REPEAT_PERIOD, REPETITIONS
from instant_nerf_ros.ros.qos import LATCHED

pytestmark = pytest.mark.ros

MAX_TRANSITION = 0.5  # seconds
CYCLES = 10


@pytest.fixture(scope='module')
def robot():
    """Return a robot for all tests."""
    robot = Robot()
    yield robot
    robot.close()


class Client(LifecycleClient):
    """Calls the services of a mapper with a name, and sets its parameters."""

    def set(self, name, value):
        """Set a parameter; return (successful, reason)."""
        kinds = {
            float: (ParameterType.PARAMETER_DOUBLE, 'double_value'),
            int: (ParameterType.PARAMETER_INTEGER, 'integer_value')}
        kind, field = kinds[type(value)]
        parameter = Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
        (result,) = self.call(SetParameters, 'set_parameters', parameters=[parameter])[0].results
        return result.successful, result.reason


def test_each_transition_ten_times_over_while_the_engine_starts_and_works(robot):
    client = Client(robot, 'managed')
    grids = robot.collect(OccupancyGrid, 'managed/map', LATCHED)
    with mapper('autostart:=false', name='managed') as process:
        assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
        cycle = (
            (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
            (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED))
        for turn in range(CYCLES):
            for transition, state in cycle:
                success, duration = client.change(transition)
                assert success and duration < MAX_TRANSITION, process.text()
                assert client.state() == state
                if transition == Transition.TRANSITION_ACTIVATE and turn % 3 == 2:
                    count = len(grids)  # in every third cycle it works for a while
                    drive_until(robot, lambda n=count: len(grids) > n, process.text)
        assert not client.change(Transition.TRANSITION_ACTIVATE)[0]  # not allowed in this state
        subscriptions = [
            topic for topic, _ in robot.node.get_subscriber_names_and_types_by_node('managed', '')]
        assert '/image' not in subscriptions and '/tf' not in subscriptions
        published = [
            topic for topic, _ in robot.node.get_publisher_names_and_types_by_node('managed', '')]
        assert '/managed/map' not in published
        success, duration = client.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
        assert success and duration < MAX_TRANSITION
        assert client.state() == State.PRIMARY_STATE_FINALIZED
        assert process.end(signal.SIGINT) == 0
        assert 'Traceback' not in process.text()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_while_the_engine_starts(robot, number):
    client = Client(robot, f'hasty_{number.name}')
    with mapper('autostart:=false', name=f'hasty_{number.name}') as process:
        assert client.change(Transition.TRANSITION_CONFIGURE)[0]
        begin = time.monotonic()
        assert process.end(number) == 0
        assert time.monotonic() - begin < 5.0
        assert 'Traceback' not in process.text()


def test_an_inactive_node_neither_trains_nor_publishes_and_then_continues(robot):
    client = Client(robot, 'resting')
    statuses = statuses_of(robot, 'resting')
    grids = robot.collect(OccupancyGrid, 'resting/map', LATCHED)
    with mapper(name='resting') as process:
        drive_until(robot, lambda: grids, process.text)
        assert client.change(Transition.TRANSITION_DEACTIVATE)[0]
        wait_until(lambda: statuses and statuses[-1].message == 'inactive', 5.0, process.text)
        time.sleep(1.0)
        steps, maps = int(value_of(statuses[-1], 'steps')), len(grids)
        robot.drive(20)
        wait_until(lambda: len(statuses) > 3, 10.0)
        assert int(value_of(statuses[-1], 'steps')) == steps and len(grids) == maps
        assert client.change(Transition.TRANSITION_ACTIVATE)[0]
        drive_until(robot, lambda: len(grids) > maps, process.text)
        drive_until(
            robot, lambda: int(value_of(statuses[-1], 'steps')) > steps, process.text)


def test_pause_keeps_the_map_and_reset_discards_it(robot):
    client = Client(robot, 'held')
    statuses = statuses_of(robot, 'held')
    grids = robot.collect(OccupancyGrid, 'held/map', LATCHED)
    clouds = robot.collect(PointCloud2, 'held/points', LATCHED)
    paths = robot.collect(Path, 'held/path', LATCHED)
    frames = robot.collect(PoseArray, 'held/keyframes', LATCHED)
    with mapper('keyframes_rate:=5.0', name='held') as process:
        drive_until(robot, lambda: clouds and paths and frames and grids and (
            cells_from_message(grids[-1]) != -1).any(), process.text)
        assert 0 < len(frames[-1].poses) <= len(paths[-1].poses)
        response, _ = client.call(SetBool, 'pause', data=True)
        assert response.success
        robot.drive(5)
        wait_until(lambda: statuses and statuses[-1].message == 'paused', 5.0)
        time.sleep(1.5)
        before = {key: value_of(statuses[-1], key) for key in ('steps', 'keyframes')}
        robot.drive(30)
        assert {key: value_of(statuses[-1], key) for key in before} == before
        response, _ = client.call(Trigger, 'reset')
        assert response.success, response.message
        wait_until(lambda: (cells_from_message(grids[-1]) == -1).all(), 10.0, process.text)
        wait_until(lambda: not paths[-1].poses and not frames[-1].poses, 10.0)
        wait_until(lambda: clouds[-1].width == 0, 10.0)
        assert client.call(SetBool, 'pause', data=False)[0].success
        count = len(grids)
        drive_until(robot, lambda: len(grids) > count and (
            cells_from_message(grids[-1]) != -1).any(), process.text)


def test_a_volatile_subscriber_that_starts_while_mapping_is_paused_receives_points(robot):
    client = Client(robot, 'awaited')
    clouds = robot.collect(PointCloud2, 'awaited/points', LATCHED)
    with mapper(name='awaited') as process:
        process.wait_for('the engine runs on backend', 60.0)
        drive_until(robot, lambda: clouds and clouds[-1].width > 10, process.text)
        assert client.call(SetBool, 'pause', data=True)[0].success
        time.sleep(1.0)
        now = robot.node.get_clock().now().nanoseconds
        late = robot.collect(PointCloud2, 'awaited/points', 10)
        late_paths = robot.collect(Path, 'awaited/path', 10)
        wait_until(lambda: late, 10.0, process.text)
        # A costmap that has just started has no TF of the time of the latest image.
        assert late[-1].width > 10 and nanoseconds(late[-1].header.stamp) >= now
        wait_until(lambda: len(late) == REPETITIONS, 20.0)
        time.sleep(2.0 * REPEAT_PERIOD)
        assert len(late) == REPETITIONS
        wait_until(lambda: late_paths and late_paths[-1].poses, 20.0)


def test_transitions_are_logged_and_cleanup_resets_the_counts_of_drops(robot):
    client = Client(robot, 'logged')
    statuses = statuses_of(robot, 'logged')

    def drops():
        return [pair.key for pair in statuses[-1].values if pair.key.startswith('dropped: ')]

    with mapper(name='logged') as process:
        for state in ('inactive', 'active'):
            process.wait_for(f'succeeded: the node is {state}')
        robot.wait_for_listener()
        drive_until(
            robot, lambda: statuses and 'dropped: no stamp' in drops(), process.text,
            each=lambda: robot.send_image(0))
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            assert client.change(transition)[0]
        process.wait_for('on_deactivate succeeded: the node is inactive')
        process.wait_for('on_cleanup succeeded: the node is unconfigured')
        wait_until(lambda: not drops(), 10.0, process.text)
        assert 'dropping' not in statuses[-1].message


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_has_ended_leaves_no_shared_memory(robot, number):
    before = orphans()
    with mapper(name='tidy') as process:
        robot.wait_for_listener()
        drive_until(robot, lambda: 'keyframes' in process.text(), process.text)
        assert process.end(number) == 0
    assert orphans() <= before


def test_services_of_an_unconfigured_node_answer_with_a_sentence(robot):
    client = Client(robot, 'empty')
    with mapper('autostart:=false', name='empty'):
        for kind, name in ((SetBool, 'pause'), (Trigger, 'reset')):
            response, _ = client.call(kind, name)
            assert not response.success and 'unconfigured' in response.message


def test_parameters_change_at_run_time_or_are_refused_with_the_reason(robot):
    client = Client(robot, 'tuned')
    grids = robot.collect(OccupancyGrid, 'tuned/map', LATCHED)
    with mapper('map_rate:=0.0', name='tuned') as process:
        process.wait_for('the engine runs on backend')
        robot.wait_for_listener()
        robot.drive(20)
        assert not grids
        assert client.set('map_rate', 5.0) == (True, '')
        drive_until(robot, lambda: grids and (
            cells_from_message(grids[-1]) == 100).any(), process.text)
        # No ray reaches that height.
        assert client.set('map.min_height', 1.3)[0] is True
        drive_until(robot, lambda: not (cells_from_message(grids[-1]) == 100).any(), process.text)
        successful, reason = client.set('map.min_height', 1.6)
        assert not successful and "'map.min_height' (1.6) must be less" in reason
        successful, reason = client.set('map.min_height', 1.45)
        assert not successful and 'a voxel' in reason
        successful, reason = client.set('occupancy.voxel_size', 0.2)
        assert not successful and 'cleanup' in reason
        assert not client.set('map_rate', 1000.0)[0]
        assert not client.set('map_rat', 1.0)[0]
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            assert client.change(transition)[0]
        assert client.set('map.min_height', 0.1) == (True, '')
        assert client.set('occupancy.voxel_size', 0.2) == (True, '')
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            assert client.change(transition)[0]
        drive_until(
            robot, lambda: grids[-1].info.resolution == pytest.approx(0.2), process.text)


def test_a_failed_transition_is_logged_and_can_be_repeated(robot):
    client = Client(robot, 'failing')
    with mapper('autostart:=false', 'qos_overrides./failing/map.publisher.reliability:=nonsense',
                name='failing') as process:
        assert not client.change(Transition.TRANSITION_CONFIGURE)[0]
        assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert 'Traceback' in process.text() and 'nonsense' in process.text()
        assert not client.change(Transition.TRANSITION_CONFIGURE)[0]
        assert process.end(signal.SIGINT) == 0


def test_with_autostart_a_failed_transition_ends_the_node():
    with mapper('qos_overrides./map.publisher.reliability:=nonsense') as process:
        assert process.wait(60.0) == 1
        assert 'on_configure failed' in process.text()


def steps_in(text):
    """Return the number of steps that was logged last."""
    return max(map(int, re.findall(r'(\d+) steps', text)), default=0)


@pytest.mark.parametrize('reset', [False, True])
def test_after_a_jump_back_in_time_the_map_is_kept_or_reset_by_the_parameter(robot, reset):
    name = f'jumped_{reset}'.lower()
    paths = robot.collect(Path, f'{name}/path', LATCHED)
    second = 1_000_000_000

    def stamps():
        return [nanoseconds(pose.header.stamp) // second for pose in paths[-1].poses]

    with mapper('use_sim_time:=true', f'reset_on_time_jump:={str(reset).lower()}',
                'keyframes_rate:=5.0', name=name) as process:
        process.wait_for('the engine runs on backend')
        start = 100 * second
        end = time.monotonic() + 30.0
        while not (paths and paths[-1].poses):
            assert time.monotonic() < end, process.text()
            start = robot.drive(10, sim_time_ns=start)
        # The clock stands, as with a paused bag, but training continues.
        before = steps_in(process.text())
        wait_until(lambda: steps_in(process.text()) > before, 15.0, process.text)
        start = 50 * second
        while not (paths[-1].poses and stamps()[-1] < 100):
            assert time.monotonic() < end + 30.0, process.text()
            start = robot.drive(10, sim_time_ns=start)
        assert (stamps()[0] < 100) is reset
        assert ('the map was reset' in process.text()) is reset
        (jump,) = re.findall(r'the clock jumped by (\S+) s', process.text())
        assert float(jump) < -50  # from later than 100 s to 50 s

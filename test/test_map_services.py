"""The map services, called while the node maps."""
import functools
import resource
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import OccupancyGrid
from nav_msgs.srv import GetMap
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_helpers import LifecycleClient, Robot, drive_until, mapper, wait_until
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.ros.conversions import cells_from_message, nanoseconds, write_pose
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.outputs.map_services import MapServices
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

pytestmark = pytest.mark.ros

NAMES = {'map.pgm', 'map.yaml', 'points.ply', 'mesh.ply', 'model.npz'}


@pytest.fixture(scope='module')
def robot():
    robot = Robot()
    yield robot
    robot.close()


@functools.cache
def client_of(robot, name):
    """Return the client of the node with a name; each test has a node of another name."""
    return LifecycleClient(robot, name)


def call(robot, name, kind, service, **request):
    """Return the response of a service of the node with a name."""
    response, _ = client_of(robot, name).call(kind, service, **request)
    return response


def drive(robot, process, name):
    """Drive until the map has an occupied cell."""
    grids = robot.collect(OccupancyGrid, f'{name}/map', LATCHED)
    robot.wait_for_listener()
    drive_until(robot, lambda: grids and 100 in cells_from_message(grids[-1]), process.text)


def test_a_saved_map_is_loaded_by_another_node(robot, tmp_path):
    folder = tmp_path / 'maps' / 'room'
    with mapper(f'map_folder:={folder}', name='saver') as process:
        process.wait_for('the engine runs on backend')
        drive(robot, process, 'saver')
        answer = call(robot, 'saver', Trigger, 'save_map')
        assert answer.success and str(folder) in answer.message
        assert {path.name for path in folder.iterdir()} == NAMES
        before = call(robot, 'saver', GetMap, 'get_map').map
        robot.drive(5)  # mapping continues
        assert process.running()
    with mapper(f'map_folder:={folder}', name='loader') as process:
        process.wait_for('the engine runs on backend')
        answer = call(robot, 'loader', Trigger, 'load_map')
        assert answer.success and 'keyframes' in answer.message
        grids = robot.collect(OccupancyGrid, 'loader/map', LATCHED)
        wait_until(lambda: grids, 10.0, process.text)  # without any image
        loaded = call(robot, 'loader', GetMap, 'get_map').map
        assert loaded.header.frame_id == 'map' and loaded.info.origin == before.info.origin
        occupied = cells_from_message(before) == 100
        assert (cells_from_message(loaded)[occupied] == 100).mean() > 0.9
        now = robot.node.get_clock().now().nanoseconds
        assert 0 <= now - nanoseconds(loaded.header.stamp) < 20e9
        images = robot.collect(Image, 'loader/render/image_raw', RELIABLE)
        publisher = robot.node.create_publisher(PoseStamped, 'loader/render/pose', 100)
        wait_until(publisher.get_subscription_count, 10.0)
        request = PoseStamped()
        request.header.frame_id = 'map'
        write_pose(robot.pose(), request.pose)
        publisher.publish(request)  # the camera of the view is that of the newest keyframe
        wait_until(lambda: images, 10.0, process.text)
        assert 'Traceback' not in process.text()


def test_before_the_first_image_the_responses_have_a_reason(robot, tmp_path):
    with mapper(f'map_folder:={tmp_path / "map"}', name='early') as process:
        answer = call(robot, 'early', Trigger, 'save_map')  # also while the engine starts
        assert not answer.success and 'add an image first' in answer.message
        answer = call(robot, 'early', Trigger, 'load_map')
        assert not answer.success and 'No such file' in answer.message
        empty = call(robot, 'early', GetMap, 'get_map').map
        assert empty.info.width == 0 and len(empty.data) == 0 and empty.header.frame_id == 'map'
        assert process.running() and not list(tmp_path.iterdir())


def test_errors_are_in_the_response_and_mapping_continues(robot, tmp_path):
    (tmp_path / 'model.npz').write_bytes(b'not a model')
    (tmp_path / 'mine.txt').write_text('mine')
    with mapper(f'map_folder:={tmp_path}', name='unlucky') as process:
        process.wait_for('the engine runs on backend')
        answer = call(robot, 'unlucky', Trigger, 'load_map')
        assert not answer.success and 'model.npz is damaged' in answer.message
        drive(robot, process, 'unlucky')
        answer = call(robot, 'unlucky', Trigger, 'save_map')
        assert not answer.success and 'mine.txt' in answer.message
        assert (tmp_path / 'mine.txt').read_text() == 'mine'
        assert len(list(tmp_path.iterdir())) == 2
        assert np.any(cells_from_message(call(robot, 'unlucky', GetMap, 'get_map').map) == 100)
        assert process.running()


def test_a_full_disk_keeps_the_saved_map_and_mapping_continues(robot, tmp_path):
    with mapper(f'map_folder:={tmp_path / "map"}', name='full') as process:
        process.wait_for('the engine runs on backend')
        drive(robot, process, 'full')
        assert call(robot, 'full', Trigger, 'save_map').success
        before = {path.name: path.read_bytes() for path in (tmp_path / 'map').iterdir()}
        # As on a full disk: the model is larger than this limit of the size of a file.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
        answer = call(robot, 'full', Trigger, 'save_map')
        assert not answer.success and 'cannot save the map' in answer.message
        assert {path.name: path.read_bytes() for path in (tmp_path / 'map').iterdir()} == before
        assert [path.name for path in tmp_path.iterdir()] == ['map']
        assert np.any(cells_from_message(call(robot, 'full', GetMap, 'get_map').map) == 100)
        assert process.running()


@pytest.mark.parametrize('activity', ['', 'saving the map', 'starting the engine'])
def test_images_that_arrive_while_the_map_is_saved_are_counted_apart(activity):
    warnings = []
    dropped = DroppedMessages(warnings.append)
    queue = InputQueue(2, KeyframeConfig, dropped, lambda: activity)
    header = Header(frame_id='camera')
    for x in range(3):
        T_map_sensor = np.eye(4)
        T_map_sensor[0, 3] = 5.0 * x
        queue.append(types.SimpleNamespace(
            source='camera', T_map_sensor=T_map_sensor, message=Image(header=header)))
    assert dropped.counts() == {activity or 'engine busy': 1}
    [warning] = warnings
    assert ('faster than the engine' in warning) is (not activity)


def test_the_activity_lasts_until_the_thread_has_fed_the_mapper_again():
    services = []
    node = types.SimpleNamespace(
        get_logger=lambda: types.SimpleNamespace(info=print, error=print), get_clock=lambda: None,
        create_service=lambda kind, name, callback, callback_group: services.append(callback))
    settings = types.SimpleNamespace(node=types.SimpleNamespace(map_folder='/maps/room'))
    map_services = MapServices(node, settings, lambda: 'active')
    activities = []
    fake = types.SimpleNamespace(save=lambda folder: activities.append(map_services.activity))
    request = services[0](None, Trigger.Response())  # save_map
    request.send(None)
    assert map_services.activity == ''
    assert map_services.handle_next(fake, 5) == (fake, 5)
    assert activities == ['saving the map'] and map_services.activity == 'saving the map'
    assert map_services.handle_next(fake, 5) == (fake, 5) and map_services.activity == ''


def test_while_the_node_is_not_active_requests_are_rejected(robot, tmp_path):
    def answers_say(state):
        for service in ('save_map', 'load_map'):
            answer = call(robot, 'idle', Trigger, service)
            assert not answer.success and f'the node is {state}: activate it' in answer.message
        assert call(robot, 'idle', GetMap, 'get_map').map.info.width == 0

    def change(transition):
        assert client_of(robot, 'idle').change(transition)[0]

    with mapper(f'map_folder:={tmp_path / "map"}', 'autostart:=false', name='idle') as process:
        answers_say('unconfigured')
        change(Transition.TRANSITION_CONFIGURE)
        answers_say('inactive')
        change(Transition.TRANSITION_ACTIVATE)
        drive(robot, process, 'idle')
        assert call(robot, 'idle', Trigger, 'save_map').success
        change(Transition.TRANSITION_DEACTIVATE)
        answers_say('inactive')
        change(Transition.TRANSITION_CLEANUP)
        answers_say('unconfigured')
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            change(transition)
        assert call(robot, 'idle', Trigger, 'load_map').success  # into another engine
        assert np.any(cells_from_message(call(robot, 'idle', GetMap, 'get_map').map) == 100)
        assert 'Traceback' not in process.text()


def test_pending_requests_are_rejected_when_the_node_is_deactivated(robot, tmp_path):
    with mapper(f'map_folder:={tmp_path / "map"}', name='leaving') as process:
        client = robot.node.create_client(Trigger, 'leaving/save_map')
        assert client.wait_for_service(10.0)  # the engine is starting
        answers = [client.call_async(Trigger.Request()) for _ in range(3)]
        assert client_of(robot, 'leaving').change(Transition.TRANSITION_DEACTIVATE)[0]
        wait_until(lambda: all(answer.done() for answer in answers), 10.0, process.text)
        assert not any(answer.result().success for answer in answers)
        assert all(answer.result().message for answer in answers)
        robot.node.destroy_client(client)


def test_a_loaded_map_follows_live_parameters_and_is_discarded_by_reset(robot, tmp_path):
    with mapper(f'map_folder:={tmp_path / "map"}', name='tuned_map') as process:
        drive(robot, process, 'tuned_map')
        grids = robot.collect(OccupancyGrid, 'tuned_map/map', LATCHED)
        assert call(robot, 'tuned_map', Trigger, 'save_map').success
        assert call(robot, 'tuned_map', Trigger, 'load_map').success
        for height, occupied in ((1.3, False), (0.1, True)):  # no ray reaches that height
            parameter = Parameter(name='map.min_height', value=ParameterValue(
                type=ParameterType.PARAMETER_DOUBLE, double_value=height))
            (result,) = call(robot, 'tuned_map', SetParameters, 'set_parameters',
                             parameters=[parameter]).results
            assert result.successful, result.reason
            wait_until(
                lambda expected=occupied: grids and expected == (
                    cells_from_message(grids[-1]) == 100).any(), 10.0, process.text)
        assert call(robot, 'tuned_map', Trigger, 'reset').success
        wait_until(lambda: (cells_from_message(grids[-1]) == -1).all(), 10.0, process.text)
        assert call(robot, 'tuned_map', GetMap, 'get_map').map.info.width == 0


def test_a_relative_folder_is_rejected(robot):
    with mapper('map_folder:=maps', name='lost') as process:
        process.wait_for('the engine runs on backend')
        drive(robot, process, 'lost')
        answer = call(robot, 'lost', Trigger, 'save_map')
        assert not answer.success and 'absolute path' in answer.message

"""The node under a client that behaves like nav2_lifecycle_manager."""
import threading

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from lifecycle_msgs.msg import State, Transition
from nav_msgs.msg import OccupancyGrid
from ros_helpers import LifecycleClient, Robot, mapper, wait_until

from instant_nerf_ros.ros.qos import LATCHED

pytestmark = pytest.mark.ros

SERVICE_TIMEOUT = 2.0  # s, that of Humble and Jazzy; later ones have 5
EXPECTED_STATE = {  # of get_state right after a transition
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: State.PRIMARY_STATE_FINALIZED,
}


RESET = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
COMMANDS = {
    'startup': (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    'pause': (Transition.TRANSITION_DEACTIVATE,),
    'resume': (Transition.TRANSITION_ACTIVATE,),
    'reset': RESET,
    'shutdown': (*RESET, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN),
}


def manage(client, command):
    """Execute a command like the manager, with bond_timeout 0 (no bond)."""
    for transition in COMMANDS[command]:
        success, _ = client.change(transition)  # the manager waits without limit
        assert success, (command, transition)
        state, duration = client.timed_state()
        assert state == EXPECTED_STATE[transition]
        assert duration < SERVICE_TIMEOUT


@pytest.fixture
def robot():
    """Return a robot that drives all the time, so that the mapper receives images."""
    robot, stop = Robot(), threading.Event()

    def drive():
        while not stop.is_set():
            robot.drive(1)

    thread = threading.Thread(target=drive)
    thread.start()
    yield robot
    stop.set()
    thread.join()
    robot.close()


def test_every_command_of_the_manager_succeeds_while_images_arrive(robot):
    grids = robot.collect(OccupancyGrid, 'served/map', LATCHED)
    with mapper('autostart:=false', name='served') as process:
        client = LifecycleClient(robot, 'served')
        manage(client, 'startup')
        wait_until(lambda: grids, 60.0, process.text)
        for command in ('pause', 'resume', 'reset'):
            manage(client, command)
        count = len(grids)
        manage(client, 'startup')
        wait_until(lambda: len(grids) > count, 60.0, process.text)
        manage(client, 'shutdown')
        assert process.running() and 'Traceback' not in process.text()

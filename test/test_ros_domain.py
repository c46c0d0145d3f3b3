"""ROS domain: a test run takes one that no other process on the machine uses."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ros_domain

RUN = 'import ros_domain; domain, _ = ros_domain.reserve(); print(domain, flush=True); input()'


def test_two_processes_have_different_domains():
    with subprocess.Popen(
            [sys.executable, '-c', RUN], cwd=Path(__file__).parent, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True) as other:
        domain = int(other.stdout.readline())
        own, reservation = ros_domain.reserve()
        assert own != domain
        with pytest.raises(RuntimeError, match='in use'):
            ros_domain.reserve([domain])
        other.communicate('\n')
    reservation.close()
    ros_domain.reserve([domain])[1].close()  # free again, since its process has ended


def test_the_domain_of_this_run_is_reserved():
    with pytest.raises(RuntimeError):
        ros_domain.reserve([int(os.environ['ROS_DOMAIN_ID'])])


@pytest.mark.ros
def test_a_domain_with_a_node_is_not_taken():
    rclpy = pytest.importorskip('rclpy')
    domain, reservation = ros_domain.reserve()
    reservation.close()
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node('robot', context=context)
    try:
        with pytest.raises(RuntimeError):
            ros_domain.reserve([domain])
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    ros_domain.reserve([domain])[1].close()

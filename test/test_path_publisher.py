"""The path of the camera, however long the robot drives."""
from unittest import mock

import numpy as np
import pytest

pytest.importorskip('rclpy')

from instant_nerf_ros.ros.conversions import nanoseconds
from instant_nerf_ros.ros.outputs.path_publisher import MAX_POSES, PathPublisher

pytestmark = pytest.mark.ros


def test_a_long_path_is_thinned_evenly_and_ends_with_the_latest_pose():
    with mock.patch(f'{PathPublisher.__module__}.publisher') as publisher, mock.patch(
            f'{PathPublisher.__module__}.LateSubscribers'):
        path = PathPublisher(mock.Mock(), 'map')
    publish, pose, lengths = publisher.return_value.publish, np.eye(4), []
    for number in range(4 * MAX_POSES):
        pose[0, 3] = number
        path.add(pose, number)
        if number % 997 == 0 or number == MAX_POSES - 1:
            path.publish([], number)
            poses = publish.call_args.args[0].poses
            stamps = [nanoseconds(each.header.stamp) for each in poses]
            assert [each.pose.position.x for each in poses] == stamps
            assert stamps[0] == 0 and stamps[-1] == number
            gaps = np.diff(stamps)
            assert (gaps[:-1] == gaps[:1]).all() and (gaps[-1:] <= gaps[:1]).all()
            lengths.append(len(stamps))
            if number < MAX_POSES:
                assert stamps == list(range(number + 1))
    assert MAX_POSES / 2 <= lengths[-1] <= max(lengths) <= MAX_POSES + 1

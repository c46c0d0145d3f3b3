"""Nav2 accepts the maps that are published and saved, and reads the intended states."""
import dataclasses
import functools
import types

import nav2_rules
import numpy as np
import pytest
import torch
from nav2_rules import FREE, LETHAL, NO_INFORMATION

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.config import MapConfig, OccupancyConfig
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products.exports import write_map
from instant_nerf_ros.nerf.products.map_projection import project

STAMP_NS = 1_700_000_000_123_456_789
PLACES = [((0.0, 0.0, 1.0), 0.05), ((12.34, -7.89, 0.5), 0.05), ((-187.3, 214.9, 1.0), 0.1),
          ((0.3, -0.1, 1.2), 0.03)]


@functools.cache
def grid_at(center, voxel_size):
    """Return the MapGrid at a place, from random votes."""
    config = OccupancyConfig(voxel_size=voxel_size, length=3.0, width=2.0, height=2.0)
    occupancy = OccupancyGrid(config, center, backends.select('reference'))
    occupancy.content.add_votes(occupancy.first, occupancy.first + occupancy.shape)
    random, shape = np.random.default_rng(0), tuple(occupancy.shape)
    for counts, most, share in ((occupancy.hits, 14, 0.01), (occupancy.misses, 14, 1.0)):
        counts[:] = torch.from_numpy(
            random.integers(0, most, shape) * (random.random(shape) < share))
    occupancy.misses[: shape[0] // 4] = 0  # without rays
    return project(occupancy, MapConfig(min_height=0.1, max_height=1.5))


def message_of(grid):
    conversions = pytest.importorskip('instant_nerf_ros.ros.conversions')
    return conversions.occupancy_grid_message(grid, STAMP_NS, 'map')


@pytest.mark.ros
@pytest.mark.parametrize(('center', 'voxel_size'), PLACES)
def test_maps_of_all_places_are_accepted(center, voxel_size):
    message = message_of(grid_at(center, voxel_size))
    assert nav2_rules.refusal(message) is None
    position, orientation = message.info.origin.position, message.info.origin.orientation
    assert nav2_rules.misalignment((position.x, position.y), message.info.resolution) <= 1e-5
    # RViz would apply a rotation of the origin, and Nav2 would ignore it.
    assert (orientation.x, orientation.y, orientation.z, orientation.w) == (0, 0, 0, 1)


@pytest.mark.ros
@pytest.mark.parametrize(('center', 'voxel_size'), PLACES[:2])
def test_the_costmap_has_the_three_states(center, voxel_size):
    grid = grid_at(center, voxel_size)
    data = message_of(grid).data
    assert set(data) == {-1, 0, 100}
    costs = nav2_rules.costs(data).reshape(grid.cells.shape)
    for state, cost in ((100, LETHAL), (0, FREE), (-1, NO_INFORMATION)):
        np.testing.assert_array_equal(costs == cost, grid.cells == state)
    # The default of a costmap; the documentation recommends track_unknown_space.
    np.testing.assert_array_equal(
        nav2_rules.costs(data, track_unknown=False) == LETHAL, grid.cells.ravel() == 100)


def test_probabilities_are_a_valid_map_with_a_lethal_threshold_of_65():
    grid = grid_at(*PLACES[0])
    assert len(np.unique(grid.probabilities)) > 10
    # Any other negative number would be lethal, because it is read as unsigned.
    assert grid.probabilities.min() == -1 and grid.probabilities.max() <= 100
    costs = nav2_rules.costs(grid.probabilities.ravel(), lethal=65).reshape(grid.cells.shape)
    assert (costs[grid.cells == 100] == LETHAL).all()
    assert (costs[grid.cells == 0] == FREE).all()
    assert not (costs[grid.cells == -1] == LETHAL).any()


@pytest.mark.parametrize('position', [(1700.0, 0.0, 1.0), (0.0, -1700.0, 1.0)])
def test_a_map_never_has_more_cells_than_nav2_accepts(position):
    assert 1700 / OccupancyConfig().voxel_size > nav2_rules.LARGEST
    config = OccupancyConfig(voxel_size=0.1, length=2.0, width=2.0, height=2.0)
    occupancy = OccupancyGrid(config, np.zeros(3), backends.select('reference'))
    far = np.multiply(position, 2.0)
    occupancy.grow_to(far)
    occupancy.content.add_votes(*(each / config.voxel_size for each in (-abs(far), abs(far))))
    for where in (np.zeros(3), far):
        occupancy.follow(where)
        grid = project(occupancy, MapConfig(max_area=1e6))
        assert nav2_rules.LARGEST / 3 < max(grid.cells.shape) <= nav2_rules.LARGEST
        cell = (where[:2] - grid.origin) / grid.resolution
        assert (cell >= 0).all() and (cell < grid.cells.shape[::-1]).all()


@pytest.mark.parametrize('humble', [False, True])
@pytest.mark.parametrize(('center', 'voxel_size'), PLACES)
def test_map_server_reads_the_map_from_its_files(tmp_path, center, voxel_size, humble):
    grid = grid_at(center, voxel_size)
    assert set(np.unique(grid.cells)) == {-1, 0, 100}
    write_map(tmp_path, grid.cells, grid.origin, grid.resolution)
    cells, resolution, origin = nav2_rules.load_map(tmp_path / 'map.yaml', humble)
    np.testing.assert_array_equal(cells, grid.cells)
    assert np.float32(resolution) == np.float32(grid.resolution)
    assert origin == [*grid.origin, 0.0]
    assert nav2_rules.misalignment(origin, resolution) <= 1e-5


def test_a_map_is_the_right_way_up_in_a_picture_viewer(tmp_path):
    cells = np.full((3, 5), -1, np.int8)
    cells[0, 4] = 100  # the lowest y and the highest x are at the bottom right
    write_map(tmp_path, cells, np.zeros(2), 0.05)
    with nav2_rules.Image.open(tmp_path / 'map.pgm') as image:
        assert image.size == (5, 3) and image.getpixel((4, 2)) == 0
        assert image.getpixel((0, 0)) == 205  # unknown, as in map_saver


@pytest.mark.ros
def test_late_costmaps_receive_the_map_and_then_its_patches():
    rclpy = pytest.importorskip('rclpy')
    from map_msgs.msg import OccupancyGridUpdate
    from nav_msgs.msg import OccupancyGrid as OccupancyGridMessage
    from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_system_default
    from ros_helpers import wait_until

    from instant_nerf_ros.ros.outputs.map_publisher import MapPublisher

    latched = [QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)
               for depth in (1, 3)]  # StaticLayer and AMCL up to Kilted; from Lyrical on
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('nav2_rules', context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spun_until(condition):
        wait_until(lambda: executor.spin_once(timeout_sec=0.01) or condition(), 10.0)

    try:
        logger = types.SimpleNamespace(info=print, warning=print)
        publisher = MapPublisher(
            lambda kind, topic, qos: node.create_publisher(kind, f'nav2_test/{topic.strip("~/")}',
                                                           qos),
            lambda publisher: node.get_subscriptions_info_by_topic(publisher.topic_name), 'map',
            logger)
        grid = grid_at(*PLACES[0])
        publisher.publish(grid, STAMP_NS)
        maps, patches = [[] for _ in latched], [[], []]
        for received, qos in zip(maps, latched):
            node.create_subscription(
                OccupancyGridMessage, 'nav2_test/map', received.append, qos)
        for received, qos in zip(patches, (qos_profile_system_default, QoSProfile(depth=10))):
            node.create_subscription(
                OccupancyGridUpdate, 'nav2_test/map_updates', received.append, qos)
        topics = 'nav2_test/map', 'nav2_test/map_updates'
        spun_until(lambda: all(maps) and all(node.count_subscribers(name) == 2 for name in topics))
        for value in (0, 100):  # the first one as a whole map, because there are new subscribers
            cells = grid.cells.copy()
            cells[7:9, 3:6] = value
            publisher.publish(dataclasses.replace(grid, cells=cells), STAMP_NS + 1)
        spun_until(lambda: all(patches))
        for (whole, *_), (patch, *_) in zip(maps, patches):
            assert nav2_rules.refusal(whole) is None
            assert patch.header.frame_id == whole.header.frame_id
            assert 0 <= patch.x <= patch.x + patch.width <= whole.info.width
            assert 0 <= patch.y <= patch.y + patch.height <= whole.info.height
            assert len(patch.data) == patch.width * patch.height
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)

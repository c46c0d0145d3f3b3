"""config/nav2.yaml: parameters that Nav2 has, laid over those of its user."""
import copy
from pathlib import Path

import pytest
import yaml

from instant_nerf_ros.nerf import Config
from instant_nerf_ros.ros.nav2 import layer, nav2_parameters

OURS = yaml.safe_load((Path(__file__).parents[1] / 'config/nav2.yaml').read_text())
COSTMAPS = ('global_costmap', 'local_costmap')
# The names that Nav2 knows, from Humble to Lyrical: an unknown one is ignored without a word.
OF_COSTMAPS = {
    'global_frame', 'lethal_cost_threshold', 'plugins', 'robot_base_frame', 'rolling_window',
    'track_unknown_space', 'trinary_costmap', 'unknown_cost_value', 'use_maximum'}
OF_LAYERS = {
    'nav2_costmap_2d::StaticLayer': {
        'enabled', 'footprint_clearing_enabled', 'map_subscribe_transient_local', 'map_topic',
        'subscribe_to_updates', 'transform_tolerance'},
    'nav2_costmap_2d::VoxelLayer': {
        'combination_method', 'enabled', 'footprint_clearing_enabled', 'mark_threshold',
        'max_obstacle_height', 'min_obstacle_height', 'observation_sources', 'origin_z',
        'publish_voxel_map', 'unknown_threshold', 'z_resolution', 'z_voxels'},
    'nav2_costmap_2d::InflationLayer': {
        'cost_scaling_factor', 'enabled', 'inflate_around_unknown', 'inflate_unknown',
        'inflation_radius'},
}
OF_SOURCES = {
    'clearing', 'data_type', 'expected_update_rate', 'inf_is_valid', 'marking',
    'max_obstacle_height', 'min_obstacle_height', 'observation_persistence',
    'obstacle_max_range', 'obstacle_min_range', 'raytrace_max_range', 'raytrace_min_range',
    'sensor_frame', 'topic'}
THEIRS = {
    'planner_server': {'ros__parameters': {'expected_planner_frequency': 20.0}},
    'global_costmap': {'global_costmap': {'ros__parameters': {
        'update_frequency': 1.0, 'track_unknown_space': False,
        'plugins': ['static_layer', 'obstacle_layer', 'inflation_layer'],
        'static_layer': {'plugin': 'nav2_costmap_2d::StaticLayer', 'enabled': False},
        'inflation_layer': {'inflation_radius': 0.55}}}},
    'local_costmap': {'local_costmap': {'ros__parameters': {
        'plugins': ['obstacle_layer', 'inflation_layer'],
        'voxel_layer': {'observation_sources': 'scan depth', 'scan': {'topic': '/scan'}}}}},
}


def parameters(tree, costmap):
    """Return the ros__parameters of a costmap."""
    return tree[costmap][costmap]['ros__parameters']


@pytest.mark.parametrize('costmap', COSTMAPS)
def test_every_name_is_one_that_nav2_knows(costmap):
    ours = parameters(OURS, costmap)
    assert set(ours) - set(ours['plugins']) <= OF_COSTMAPS
    for name in ours['plugins']:
        options = dict(ours[name])
        known = OF_LAYERS[options.pop('plugin')]
        sources = options.get('observation_sources', '').split()
        for source in sources:
            assert set(options.pop(source)) <= OF_SOURCES
        assert set(options) <= known, name
    assert ours['plugins'][-1] == 'inflation_layer'


def test_the_map_stays_what_it_says():
    costmap = parameters(OURS, 'global_costmap')
    assert costmap['track_unknown_space'] is True
    assert costmap['lethal_cost_threshold'] == 100
    assert costmap['static_layer']['map_subscribe_transient_local'] is True


def test_the_voxel_layer_takes_the_band_of_the_map():
    band, voxels = Config().map, layer(OURS, 'local_costmap', 'voxel_layer')
    source = voxels['nerf']
    assert source['min_obstacle_height'] == band.min_height
    assert source['max_obstacle_height'] == band.max_height
    assert voxels['z_voxels'] <= 16  # more are refused
    assert voxels['origin_z'] + voxels['z_voxels'] * voxels['z_resolution'] >= band.max_height
    assert source['sensor_frame'] != ''  # else ranges count from the origin of the map


def test_what_the_user_has_stays_and_what_the_map_needs_wins():
    before = copy.deepcopy(THEIRS)
    merged = nav2_parameters(THEIRS, OURS)
    assert before == THEIRS
    assert merged['planner_server'] == THEIRS['planner_server']
    costmap = parameters(merged, 'global_costmap')
    assert costmap['update_frequency'] == 1.0
    assert costmap['track_unknown_space'] is True
    assert costmap['plugins'] == ['static_layer', 'obstacle_layer', 'inflation_layer']
    assert costmap['static_layer']['enabled'] is False
    assert costmap['inflation_layer']['inflation_radius'] == 0.55
    costmap = parameters(merged, 'local_costmap')
    assert costmap['plugins'] == ['voxel_layer', 'obstacle_layer', 'inflation_layer']
    assert costmap['voxel_layer']['observation_sources'] == 'nerf scan depth'
    assert costmap['voxel_layer']['scan'] == {'topic': '/scan'}


def test_over_nothing_it_is_the_file_itself():
    assert nav2_parameters({}, OURS) == OURS


@pytest.mark.parametrize(('namespace', 'map_topic', 'expected', 'points'), [
    ('', 'map', '/map', '/instant_nerf/points'),
    ('robot', 'map', '/robot/map', '/robot/instant_nerf/points'),
    ('/fleet/robot/', 'nerf/map', '/fleet/robot/nerf/map', '/fleet/robot/instant_nerf/points'),
    ('robot', '/shared/map', '/shared/map', '/robot/instant_nerf/points'),
])
def test_topics_are_those_of_the_namespace(namespace, map_topic, expected, points):
    merged = nav2_parameters(THEIRS, OURS, namespace, map_topic)
    assert layer(merged, 'global_costmap', 'static_layer')['map_topic'] == expected
    assert layer(merged, 'local_costmap', 'voxel_layer')['nerf']['topic'] == points

"""The parameters of Nav2 with the layers of config/nav2.yaml in its costmaps."""
import copy
from collections.abc import Mapping, Sequence
from typing import Any

# Placeholders in nav2_params.yaml since Kilted, and the launch arguments that have their values.
ZONES = {'KEEPOUT_ZONE_ENABLED': 'use_keepout_zones', 'SPEED_ZONE_ENABLED': 'use_speed_zones'}


def nav2_parameters(
    base: Mapping[str, Any], ours: Mapping[str, Any], namespace: str = '', map_topic: str = 'map',
) -> dict[str, Any]:  # fmt: skip
    """Return the nested parameters `base` of Nav2, overridden by `ours` (config/nav2.yaml).

    Lists of plugins and observation_sources are joined: ours come first, because the inflation
    layer has to be last. Relative topics are resolved in the namespace.
    """
    ours = copy.deepcopy(dict(ours))
    layer(ours, 'global_costmap', 'static_layer')['map_topic'] = _absolute(map_topic, namespace)
    points = layer(ours, 'local_costmap', 'voxel_layer')['nerf']
    points['topic'] = _absolute(points['topic'].lstrip('/'), namespace)
    return _merged(base, ours)


def fill_placeholders(
    parameters: Mapping[str, Any], zones: Mapping[str, bool], namespace: str = '',
) -> dict[str, Any]:  # fmt: skip
    """Return the parameters of Nav2 with values for placeholders, as in bringup_launch.py.

    navigation_launch.py replaces none of them up to Kilted. zones has the values by the names in
    ZONES.
    """
    robot_namespace = f'/{namespace}' if namespace else ''

    def filled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: filled(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [filled(entry) for entry in value]
        if isinstance(value, str):
            if value in ZONES:
                return zones[ZONES[value]]
            return value.replace('<robot_namespace>', robot_namespace)
        return value

    return filled(parameters)


def layer(parameters: Mapping[str, Any], costmap: str, name: str) -> dict[str, Any]:
    """Return the parameters of a layer of 'global_costmap' or 'local_costmap'."""
    return parameters[costmap][costmap]['ros__parameters'][name]


def _absolute(topic: str, namespace: str) -> str:
    # Since Kilted, relative names are in the namespace of the robot; before, in the costmap's.
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(filter(None, (namespace.strip('/'), topic)))


def _merged(base: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in ours.items():
        if isinstance(value, dict):
            value = _merged(base.get(name, {}), value)
        elif name == 'plugins':
            value = _joined(value, base.get(name, []))
        elif name == 'observation_sources':  # names in a string
            value = ' '.join(_joined(value.split(), base.get(name, '').split()))
        merged[name] = value
    return merged


def _joined(ours: Sequence[str], base: Sequence[str]) -> list[str]:
    return [name for name in ours if name not in base] + list(base)

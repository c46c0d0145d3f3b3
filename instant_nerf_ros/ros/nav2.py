"""The parameters of Nav2, with the map in its costmaps."""
import copy


def nav2_parameters(theirs, ours, namespace='', map_topic='map'):
    """Return nested dictionaries of parameters: ours, which is config/nav2.yaml, over theirs.

    Values of ours win, but what costmaps gather stays: plugins and observation_sources of ours
    stand before theirs, as the inflation has to be last. The topics are those in a namespace.
    """
    ours = copy.deepcopy(ours)
    layer(ours, 'global_costmap', 'static_layer')['map_topic'] = _absolute(map_topic, namespace)
    points = layer(ours, 'local_costmap', 'voxel_layer')['nerf']
    points['topic'] = _absolute(points['topic'].lstrip('/'), namespace)
    return _merge(theirs, ours)


def layer(parameters, costmap, name):
    """Return the parameters of a layer of 'global_costmap' or 'local_costmap'."""
    return parameters[costmap][costmap]['ros__parameters'][name]


def _absolute(topic, namespace):
    # From Kilted on, relative names belong to the namespace of the robot; before, to the costmap.
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(filter(None, (namespace.strip('/'), topic)))


def _merge(theirs, ours):
    merged = dict(theirs)
    for name, value in ours.items():
        if isinstance(value, dict):
            value = _merge(theirs.get(name, {}), value)
        elif name == 'plugins':
            value = _united(value, theirs.get(name, []))
        elif name == 'observation_sources':  # words in a string
            value = ' '.join(_united(value.split(), theirs.get(name, '').split()))
        merged[name] = value
    return merged


def _united(ours, theirs):
    return [name for name in ours if name not in theirs] + list(theirs)

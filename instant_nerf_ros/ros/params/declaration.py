"""Configuration dataclasses to ROS parameters and back."""
import difflib
import math

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from instant_nerf_ros.nerf.settings import flatten, replace

_OF_RCLPY = ('use_sim_time', 'start_type_description_service')  # every node has them


def take_overrides(node):
    """Return the {name: value} that the user gave to the node, declared or not.

    The node must have been made with automatically_declare_parameters_from_overrides, the only
    public way to the overrides; they are undeclared here, to be declared properly.
    """
    overrides = {}
    for name, parameter in node.get_parameters_by_prefix('').items():
        if name not in _OF_RCLPY:
            node.undeclare_parameter(name)
            if not name.startswith('qos_overrides.'):  # declared with their topics
                overrides[name] = parameter.value
    return overrides


def declare(node, defaults, overrides, prefix='', only=(), read_only=True):
    """Declare the settings of a dataclass and return it with the user's values.

    prefix stands before the names, and with only, the other settings are left alone. Raises
    ValueError, naming the parameter and what it admits, for a wrong type or value.
    """
    mine = {prefix + name for name, _, _ in flatten(defaults) if not only or name in only}
    values = {
        name.removeprefix(prefix): value for name, value in overrides.items() if name in mine}
    try:
        config = replace(defaults, values)
    except ValueError as error:
        raise ValueError(f'{prefix}: {error}' if prefix else str(error)) from error
    for name, field, value in flatten(config):
        if prefix + name in mine:
            node.declare_parameter(
                prefix + name, list(value) if isinstance(value, tuple) else value,
                _descriptor(field, value, read_only), ignore_override=True)
    return config


def misspelt(node, overrides):
    """Return a sentence for every override that no parameter of the node answers to."""
    known = list(node.get_parameters_by_prefix(''))
    for name in sorted(set(overrides) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ''
        yield f"there is no parameter '{name}'{hint}"


def _descriptor(field, value, read_only):
    metadata = field.metadata
    description = metadata['description']
    if metadata['choices']:
        description += f" (one of: {', '.join(metadata['choices'])})"
    descriptor = ParameterDescriptor(
        description=description, read_only=read_only or metadata['change'] == 'start')
    if math.isfinite(metadata['low']) and math.isfinite(metadata['high']):
        if isinstance(value, float):
            descriptor.floating_point_range = [FloatingPointRange(
                from_value=float(metadata['low']), to_value=float(metadata['high']))]
        else:
            descriptor.integer_range = [IntegerRange(
                from_value=int(metadata['low']), to_value=int(metadata['high']), step=1)]
    return descriptor

"""Configuration dataclasses as ROS parameters."""
import dataclasses
import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from instant_nerf_ros.nerf.settings import flatten, replace

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RCLPY_PARAMETERS = ('use_sim_time', 'start_type_description_service')  # rclpy declares them

AnyConfig = TypeVar('AnyConfig', bound='DataclassInstance')


def take_overrides(node: Node) -> dict[str, Any]:
    """Undeclare the parameters that the user set on a node, and return them as {name: value}.

    The node must have been created with automatically_declare_parameters_from_overrides, which is
    the only public access to the overrides. They are declared again, with a type and a range, by
    `declare`.
    """
    overrides = {}
    for name, parameter in node.get_parameters_by_prefix('').items():
        if name not in RCLPY_PARAMETERS:
            node.undeclare_parameter(name)
            if not name.startswith('qos_overrides.'):  # rclpy declares these with their topics
                overrides[name] = parameter.value
    return overrides


def declare(
    node: Node, defaults: AnyConfig, overrides: Mapping[str, Any], prefix: str = '',
    only: Collection[str] = (), read_only: bool = True,
) -> AnyConfig:  # fmt: skip
    """Declare the settings of a dataclass as parameters, and return it with the user's values.

    prefix is prepended to the names; if only is not empty, other settings are not declared.
    Raises ValueError for a wrong type or value; it names the parameter and the admissible values.
    """
    declared = {prefix + name for name, _, _ in flatten(defaults) if not only or name in only}
    values = {
        name.removeprefix(prefix): value for name, value in overrides.items() if name in declared}
    try:
        config = replace(defaults, values)
    except ValueError as error:
        raise ValueError(f'{prefix}: {error}' if prefix else str(error)) from error
    for name, field, value in flatten(config):
        if prefix + name in declared:
            node.declare_parameter(
                prefix + name, list(value) if isinstance(value, tuple) else value,
                _descriptor(field, value, read_only), ignore_override=True)
    return config


def misspelt(node: Node, overrides: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each override that is not a parameter of the node."""
    known = list(node.get_parameters_by_prefix(''))
    for name in sorted(set(overrides) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ''
        yield f"there is no parameter '{name}'{hint}"


def _descriptor(field: dataclasses.Field, value: Any, read_only: bool) -> ParameterDescriptor:
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

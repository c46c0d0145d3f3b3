"""Settings: the description and range of a field of a config dataclass, and access by name."""
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = TypeVar('Value')
AnyConfig = TypeVar('AnyConfig', bound='DataclassInstance')


def setting(
    default: Value, description: str, low: float = -math.inf, high: float = math.inf,
    choices: tuple[str, ...] = (), change: str = 'configure',
) -> Value:  # fmt: skip
    """Return a dataclass field with a description (with unit) and the values that it may have.

    low and high are the limits of a number; choices are the values of a string, if they are
    limited. change is when a running node accepts another value: 'live' (at any time),
    'configure' (at its next configuration) or 'start' (never).
    """
    return dataclasses.field(default=default, metadata={
        'description': description, 'low': low, 'high': high, 'choices': choices,
        'change': change})


def flatten(
    config: 'DataclassInstance', prefix: str = '',
) -> Iterator[tuple[str, 'dataclasses.Field[Any]', Any]]:  # fmt: skip
    """Yield (dotted name, dataclass field, value) of every setting, including nested ones."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from flatten(value, f'{prefix}{field.name}.')
        else:
            yield prefix + field.name, field, value


def replace(config: AnyConfig, values: Mapping[str, Any]) -> AnyConfig:
    """Return a config with the values {dotted name: value} of some settings replaced.

    Raises ValueError for an unknown name, a wrong type or a value out of range; it names the
    setting and the values that it may have.
    """
    known = {name: (field, value) for name, field, value in flatten(config)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown setting '{name}'; known are: {', '.join(sorted(known))}")
        field, default = known[name]
        _check(name, field.metadata, type(default), value)
    return _replace(config, values, '')


def _replace(config: AnyConfig, values: Mapping[str, Any], prefix: str) -> AnyConfig:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes[field.name] = _replace(value, values, f'{prefix}{field.name}.')
        elif prefix + field.name in values:
            changes[field.name] = type(value)(values[prefix + field.name])
    return dataclasses.replace(config, **changes)


def _check(name: str, metadata: Mapping[str, Any], kind: type, value: object) -> None:
    """Raise ValueError unless a value has a type and the limits in the metadata of its field."""
    if kind is tuple:
        strings = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        if not strings or not value:
            raise ValueError(f"'{name}' must be a list of strings, is {value!r}")
        return
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"'{name}' must be {kind.__name__}, is {value!r}")
    if metadata['choices'] and value not in metadata['choices']:
        raise ValueError(f"'{name}' must be one of {', '.join(metadata['choices'])}, is {value!r}")
    if isinstance(value, (int, float)) and not metadata['low'] <= value <= metadata['high']:
        raise ValueError(
            f"'{name}' must be between {metadata['low']} and {metadata['high']}, is {value!r} "
            f"({metadata['description']})")

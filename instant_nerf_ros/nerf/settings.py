"""Settings: what a field of a config dataclass says of itself, and how to change it by name."""
import dataclasses
import math


def setting(default, description, low=-math.inf, high=math.inf, choices=(), change='configure'):
    """Return a dataclass field with a description (with unit) and the values it admits.

    change tells when a running node takes another value: 'live', 'configure' (when it is
    configured the next time), or 'start'.
    """
    return dataclasses.field(default=default, metadata={
        'description': description, 'low': low, 'high': high, 'choices': choices,
        'change': change})


def value_of(config, name):
    """Return the value of a setting by its dotted name."""
    for part in name.split('.'):
        config = getattr(config, part)
    return config


def flatten(config, prefix=''):
    """Yield (dotted name, dataclass field, value) for every setting, nested ones included."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from flatten(value, f'{prefix}{field.name}.')
        else:
            yield prefix + field.name, field, value


def replace(config, values):
    """Return config with the settings of a {dotted name: value} dictionary, checked.

    Raises ValueError, naming the setting and what it admits, for an unknown name, a wrong type
    or a value out of range.
    """
    known = {name: (field, value) for name, field, value in flatten(config)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown setting '{name}'; known are: {', '.join(sorted(known))}")
        field, default = known[name]
        _check(name, field.metadata, type(default), value)
    return _rebuild(config, values, '')


def _rebuild(config, values, prefix):
    changes = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _rebuild(value, values, f'{prefix}{field.name}.')
        elif prefix + field.name in values:
            changes[field.name] = type(value)(values[prefix + field.name])
    return dataclasses.replace(config, **changes)


def _check(name, admits, kind, value):
    if kind is tuple:
        words = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        if not words or not value:
            raise ValueError(f"'{name}' must be a list of words, is {value!r}")
        return
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"'{name}' must be {kind.__name__}, is {value!r}")
    if admits['choices'] and value not in admits['choices']:
        raise ValueError(f"'{name}' must be one of {', '.join(admits['choices'])}, is {value!r}")
    if isinstance(value, (int, float)) and not admits['low'] <= value <= admits['high']:
        raise ValueError(
            f"'{name}' must be between {admits['low']} and {admits['high']}, is {value!r} "
            f"({admits['description']})")

"""Config: the checks of settings."""
import dataclasses
import math

import pytest

from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.settings import flatten, replace

SETTINGS = {name: (field, value) for name, field, value in flatten(Config())}


def other(field, value):
    """Return another admissible value of a field, near its default."""
    choices = field.metadata['choices']
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f'{value}.onnx'
    return value + 1 if isinstance(value, int) else value + (field.metadata['high'] - value) / 1000


def test_flatten_and_replace_are_inverse():
    values = {name: other(*setting) for name, setting in SETTINGS.items()}
    changed = replace(Config(), values)
    assert {name: value for name, _, value in flatten(changed)} == values
    defaults = {name: value for name, (_, value) in SETTINGS.items()}
    assert replace(changed, defaults) == Config()


@pytest.mark.parametrize('name', SETTINGS)
def test_one_setting_changes_alone(name):
    value = other(*SETTINGS[name])
    before = {name: value for name, _, value in flatten(Config())}
    after = {name: value for name, _, value in flatten(replace(Config(), {name: value}))}
    assert after == {**before, name: value} and after != before


@pytest.mark.parametrize('name', SETTINGS)
def test_every_setting_has_a_description_and_a_valid_default(name):
    field, value = SETTINGS[name]
    assert len(field.metadata['description']) > 10
    assert replace(Config(), {name: value}) == Config()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert field.metadata['low'] < field.metadata['high']


@pytest.mark.parametrize('name', [
    name for name, (_, value) in SETTINGS.items() if not isinstance(value, (str, bool))])
def test_values_out_of_range_are_refused_by_name(name):
    field, value = SETTINGS[name]
    low, high = field.metadata['low'], field.metadata['high']
    assert math.isfinite(low) and math.isfinite(high)
    for bad in (type(value)(low) - 1, type(value)(high * 2 + 1)):
        with pytest.raises(ValueError, match=f"'{name}' must be between"):
            replace(Config(), {name: bad})


@pytest.mark.parametrize('values, message', [
    ({'field.level': 8}, "unknown setting 'field.level'.*field.levels"),
    ({'field': 8}, "unknown setting 'field'"),
    ({'field.levels': 8.0}, 'must be int'),
    ({'field.levels': True}, 'must be int'),
    ({'field.levels': '8'}, 'must be int'),
    ({'sampling.near': True}, 'must be float'),
    ({'sampling.near': '0.1'}, 'must be float'),
    ({'sampling.near': None}, 'must be float'),
    ({'sampling.near': math.nan}, 'must be between'),
    ({'sampling.far': math.inf}, 'must be between'),
    ({'keyframes.adapt_exposure': 1}, 'must be str'),
    ({'device': 'gpu'}, 'must be one of'),
    ({'device': 0}, 'must be str'),
])
def test_wrong_values_are_refused_with_a_reason(values, message):
    with pytest.raises(ValueError, match=message):
        replace(Config(), values)


@pytest.mark.parametrize('values, message', [
    ({'sampling.near': 5.0, 'sampling.far': 5.0}, "'sampling.near'.*'sampling.far'"),
    ({'map.max_height': 0.05}, "'map.min_height'.*'map.max_height'"),
    ({'map.max_height': 0.13}, "'map.max_height'.*'map.min_height'"),
    ({'field.finest_cell': 2.0}, "'field.finest_cell'.*'field.coarsest_cell'"),
    ({'occupancy.voxel_size': 0.01, 'occupancy.length': 200.0}, "'occupancy.voxel_size'"),
])
def test_settings_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        replace(Config(), values)


def test_an_integer_is_converted_to_a_float():
    far = replace(Config(), {'sampling.far': 5}).sampling.far
    assert far == 5.0 and type(far) is float


def test_nothing_changes_when_one_of_several_is_wrong():
    config = Config()
    with pytest.raises(ValueError):
        replace(config, {'sampling.far': 5.0, 'sampling.near': -1.0})
    assert config == Config()


def test_settings_are_read_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1

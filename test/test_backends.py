"""Backends: each function of each backend computes what that of the reference does.

The inputs are small and random; what the functions compute is tested in modules of their own.
"""
import logging
import sys

import numpy as np
import pytest
import torch
from backend_cases import CASES, Scene
from randomness import generator

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import protocol, reference

# A share of the values may differ by more than the tolerance: a sample or a ray on the face of a
# voxel, and the first step of Adam for a gradient near zero.
TOLERANCE, RARE = 0.05, 0.05


def numpy(values):
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, float)


@pytest.mark.parametrize('device', [
    'cpu', pytest.param('triton', marks=pytest.mark.triton),
    pytest.param('tinycudann', marks=pytest.mark.tinycudann)])
@pytest.mark.parametrize('name', CASES)
def test_a_function_computes_what_that_of_the_reference_does(name, device):
    seed = int(generator().integers(2**31))
    found, expected = (
        [numpy(values) for values in CASES[name](Scene(backend, seed))]
        for backend in (backends.select(device), reference))
    assert len(found) == len(expected)
    assert any(values.any() for values in expected)
    for values, other in zip(found, expected):
        assert values.shape == other.shape
        scale = np.abs(other[np.isfinite(other)]).max(initial=0)
        alike = np.isclose(values, other, rtol=0, atol=TOLERANCE * scale, equal_nan=True)
        assert alike.mean() >= 1 - RARE, (values, other)


def test_every_function_of_a_backend_is_compared():
    others = {'NAME', 'DEVICE', 'SAMPLES', 'description', 'synchronize'}
    names = {name for name in vars(protocol.Backend) if not name.startswith('_')}
    assert names == set(CASES) | others


def test_without_a_gpu_auto_is_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    caplog.set_level(logging.INFO)
    assert backends.select('auto') is backends.select('cpu')
    assert 'the cpu backend is in use' in caplog.text and 'no NVIDIA GPU' in caplog.text


def test_without_numba_auto_is_the_reference_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setitem(sys.modules, 'instant_nerf_ros.nerf.backends.cpu', None)
    caplog.set_level(logging.WARNING)
    assert backends.select('auto') is reference
    assert 'the reference backend is in use' in caplog.text and 'numba' in caplog.text
    with pytest.raises(ImportError):
        backends.select('cpu')

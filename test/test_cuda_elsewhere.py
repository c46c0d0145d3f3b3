"""Tensors on a GPU are not mixed with others, and the host seldom waits; see fake_gpu."""
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.triton, pytest.mark.interpreter, pytest.mark.slow]


@pytest.mark.parametrize('device', ['triton', 'cuda'])
def test_a_mapper_computes_on_the_device_of_its_tensors(device, tmp_path):
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name('cuda_elsewhere.py'), tmp_path, device],
        capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / 'mesh.ply').exists() and (tmp_path / 'rescued').is_dir()

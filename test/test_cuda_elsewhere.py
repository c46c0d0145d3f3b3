"""Tensors on a GPU are mixed with no others, and seldom waited for; see fake_gpu.py."""
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.triton, pytest.mark.interpreter, pytest.mark.slow]


@pytest.mark.parametrize('device', ['triton', 'cuda'])
def test_all_that_a_mapper_does_it_does_where_its_tensors_are(device, tmp_path):
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name('cuda_elsewhere.py'), tmp_path, device],
        capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / 'mesh.ply').exists() and (tmp_path / 'rescued').is_dir()

"""The kernels of the GPU backend compile for several GPUs, which need not be installed."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.triton, pytest.mark.slow]

KERNELS = {
    'accumulate_errors', 'color_backward', 'count_hits', 'count_misses', 'encode_backward',
    'evaluate_color', 'evaluate_geometry', 'geometry_backward', 'loss_and_gradients',
    'sample_rays', 'trace', 'update_density', 'update_error_map', 'update_matrices',
    'update_state', 'update_table'}

# Kernels that evaluate the whole field may spill some registers, and more of them before Hopper;
# those that sum the gradients of the matrices must not, or hardly.
WHOLE = {'evaluate_geometry', 'trace'}


@pytest.mark.parametrize('capability, shared, most, more', [  # KiB of a program, bytes of a thread
    pytest.param(80, 163, 64, WHOLE, id='A100'), pytest.param(86, 99, 128, WHOLE, id='RTX30'),
    pytest.param(90, 227, 64, set(), id='H100'), pytest.param(120, 99, 128, WHOLE, id='RTX50')])
def test_all_kernels_compile_and_hardly_spill_registers(
        capability, shared, most, more, tmp_path):
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name('cuda_compiler.py'), str(capability)],
        env={**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(tmp_path)},
        capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    kernels = [line.split() for line in result.stdout.splitlines()]
    assert {name for name, _, _ in kernels} == KERNELS
    assert {name for name, spilled, _ in kernels if int(spilled) > most} <= more
    assert all(int(needed) <= shared * 1024 for _, _, needed in kernels)

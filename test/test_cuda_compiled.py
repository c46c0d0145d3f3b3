"""The kernels of the GPU backend compile, for GPUs that need not be there."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.triton, pytest.mark.slow]

KERNELS = {
    'ask', 'color', 'color_back', 'compare', 'cross', 'draw', 'end', 'geometry_back', 'grid',
    'judge', 'matrices', 'note', 'scatter', 'settle', 'trace', 'visit'}


# A little of the state of a ray may lie aside, and more of it before Hopper, where the whole field
# is asked in one kernel; the sums of the matrices' gradients must not, or hardly.
WHOLE = {'ask', 'trace'}


@pytest.mark.parametrize('capability, shared, most, more', [  # KiB of a program, bytes of a thread
    pytest.param(80, 163, 64, WHOLE, id='A100'), pytest.param(86, 99, 128, WHOLE, id='RTX30'),
    pytest.param(90, 227, 64, set(), id='H100'), pytest.param(120, 99, 128, WHOLE, id='RTX50')])
def test_all_kernels_compile_and_keep_to_their_registers(
        capability, shared, most, more, tmp_path):
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name('cuda_compiler.py'), str(capability)],
        env={**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(tmp_path)},
        capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    kernels = [line.split() for line in result.stdout.splitlines()]
    assert {name for name, _, _ in kernels} == KERNELS
    assert {name for name, aside, _ in kernels if int(aside) > most} <= more
    assert all(int(targets) <= shared * 1024 for _, _, targets in kernels)

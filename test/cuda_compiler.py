"""Compile all kernels of the GPU backend for a GPU that is not installed: cuda_compiler.py 90.

A Mapper takes a step and renders a view, and each launch only compiles, with the arguments that it
would have. Prints, for each kernel, its name, the bytes of registers that a thread spills, and the
bytes of shared memory that a program needs.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

CAPABILITY = int(sys.argv[1])
TOOL = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin' / 'cuobjdump'


class Absent:
    """The driver of a GPU that is not installed."""

    def get_current_target(self):
        """Return what to compile for."""
        return GPUTarget('cuda', CAPABILITY, 32)

    def get_current_device(self):
        """Return its number."""
        return 0

    def get_current_stream(self, _):
        """Return its stream."""
        return 0


def compile_all():
    """Return the compiled kernels, by the hash of what they were compiled from."""
    driver.set_active(Absent())
    kernels, run = {}, JITFunction.run

    def compile_only(self, *arguments, grid, warmup, **settings):
        kernel = run(self, *arguments, grid=grid, warmup=True, **settings)
        kernels[kernel.hash] = kernel

    JITFunction.run = compile_only
    torch.cuda.is_available = lambda: True
    torch.cuda.get_device_capability = lambda: (CAPABILITY // 10, CAPABILITY % 10)
    torch.empty = torch.zeros  # no kernel writes anything, and what is read must be valid
    import other_device
    other_device.use('cpu')
    from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
    mapper = Mapper(replace(Config(), {
        'device': 'triton', 'field.log2_table': 12, 'occupancy.length': 4.0,
        'occupancy.width': 4.0, 'occupancy.height': 2.0}))
    camera = Camera(16, 12, 12.0, 12.0, 7.5, 5.5)
    image = np.zeros((12, 16, 3), dtype=np.uint8)
    mapper.add(image, camera, np.eye(4), np.ones((12, 16), dtype=np.float32))
    mapper.step()
    mapper.render(camera, np.eye(4))
    return kernels.values()


def spilled(kernel):
    """Return the bytes of the stack of a thread, to which registers are spilled."""
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(kernel.asm['cubin'])
        file.flush()
        usage = subprocess.run(
            [TOOL, '--dump-resource-usage', file.name], capture_output=True, text=True,
            check=True).stdout
    return int(usage.partition('STACK:')[2].split()[0])


for compiled in compile_all():
    metadata = compiled.metadata
    sys.stdout.write(f'{metadata.name} {spilled(compiled)} {metadata.shared}\n')

"""Layers of networks, in bfloat16 where the processor has it, else in float32."""
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16

if BFLOAT16:
    from instant_nerf_ros.nerf.backends.cpu.kernels.bfloat16_layers import (
        layer,
        make_packed,
        outer,
        pack,
    )
else:
    from instant_nerf_ros.nerf.backends.cpu.kernels.float32_layers import (
        layer,
        make_packed,
        outer,
        pack,
    )

__all__ = ['layer', 'make_packed', 'outer', 'pack']

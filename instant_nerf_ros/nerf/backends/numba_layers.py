"""Layers of networks, in bfloat16 where the processor has it, else in float32."""
from instant_nerf_ros.nerf.backends.numba_products import BFLOAT16

if BFLOAT16:
    from instant_nerf_ros.nerf.backends.numba_pairs import layer, outer, packed
else:
    from instant_nerf_ros.nerf.backends.numba_floats import layer, outer, packed

__all__ = ['layer', 'outer', 'packed']

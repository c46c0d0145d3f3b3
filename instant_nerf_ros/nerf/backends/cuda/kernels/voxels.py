"""Triton kernels of the densities in the occupancy grid: updates by many samples at a time.

Several threads may update one voxel: the result is that of one after the other in some order, as
in reference.voxels.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf.backends.cuda.kernels.marching import EMPTY, SOLID, UNVISITED


@triton.jit
def in_voxels(vectors, n, mask, corner, voxel_size):
    """Return vectors (N, 3) relative to a corner, in units of voxels."""
    x = (tl.load(vectors + n * 3, mask=mask, other=0.0) - tl.load(corner)) / voxel_size
    y = (tl.load(vectors + n * 3 + 1, mask=mask, other=0.0) - tl.load(corner + 1)) / voxel_size
    z = (tl.load(vectors + n * 3 + 2, mask=mask, other=0.0) - tl.load(corner + 2)) / voxel_size
    return x, y, z


@triton.jit
def _voxel_of(positions, n, mask, corner, nx, ny, nz, voxel_size):
    """Return the flat index of the voxels in which positions lie, and which are in the grid."""
    x, y, z = in_voxels(positions, n, mask, corner, voxel_size)
    inside = mask & (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
    voxel = (x.to(tl.int32) * ny + y.to(tl.int32)) * nz + z.to(tl.int32)
    return tl.where(inside, voxel, 0), inside


@triton.jit(do_not_specialize=['count', 'nx', 'ny', 'nz'])
def update_density(
    positions, densities, stride, count, grid_bits, density_state, corner, nx, ny, nz, voxel_size,
    decay, threshold, BLOCK: tl.constexpr,
):  # fmt: skip
    """Update the densities of the voxels at positions (N, 3) with densities (N,), stride apart.

    grid_bits are the densities of the voxels, float32 as int32. One is replaced only if no other
    thread has changed it since it was read.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = n < count
    voxel, waiting = _voxel_of(positions, n, mask, corner, nx, ny, nz, voxel_size)
    density = tl.load(densities + n * stride, mask=mask, other=0.0)
    unvisited = tl.load(density_state + voxel, mask=waiting, other=0) == UNVISITED
    initial = 2 * tl.load(threshold)
    bits = tl.load(grid_bits + voxel, mask=waiting, other=0)
    while tl.max(waiting.to(tl.int32), 0) > 0:
        old = bits.to(tl.float32, bitcast=True)
        # In an unvisited voxel, bits other than zero are the update by another position.
        old = tl.where(unvisited & (bits == 0), initial, old)
        new = tl.maximum(decay * old, density).to(tl.int32, bitcast=True)
        # A lane that is done changes nothing: it expects bits that no density has.
        expected = tl.where(waiting, bits, -1)
        found = tl.atomic_cas(grid_bits + voxel, expected, new, sem='relaxed')
        waiting = waiting & (found != bits)
        bits = found  # another load might return the same stale value from a cache for ever


@triton.jit(do_not_specialize=['count', 'nx', 'ny', 'nz'])
def update_state(
    positions, count, grid_density, density_state, corner, nx, ny, nz, voxel_size, threshold,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Set the state of the voxels at positions (N, 3) to EMPTY or SOLID."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    voxel, inside = _voxel_of(positions, n, n < count, corner, nx, ny, nz, voxel_size)
    density = tl.load(grid_density + voxel, mask=inside, other=0.0)
    state = tl.where(density < tl.load(threshold), EMPTY, SOLID)
    tl.store(density_state + voxel, state.to(tl.uint8), mask=inside)

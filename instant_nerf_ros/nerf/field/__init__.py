"""The radiance field: samples along rays, its networks, volume rendering, the loss.

The arithmetic is plain PyTorch. Which rays there are is decided in capture/, which voxels are
sampled in occupancy/; the fast kernels that do the same are in backends/.
"""

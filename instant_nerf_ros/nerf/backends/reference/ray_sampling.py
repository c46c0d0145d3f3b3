"""Sampling of training rays in NumPy, and the error map that guides it."""
import numpy as np
from torch import Tensor

from instant_nerf_ros.nerf.capture import rays
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources


def sample_rays(
    keyframes: Keyframes, count: int, generator: np.random.Generator, error_share: float,
) -> tuple[Rays, RaySources]:  # fmt: skip
    """See rays.sample_rays."""
    return rays.sample_rays(keyframes, count, generator, error_share)


def update_error_map(
    keyframes: Keyframes, sources: RaySources, pixels: Tensor, colors: Tensor, opacities: Tensor,
) -> None:  # fmt: skip
    """See Keyframes.update_error_map."""
    keyframes.update_error_map(sources, *(x.cpu().numpy() for x in (pixels, colors, opacities)))

"""Rendered distances: where rays of a field end, and how far they are clear, in closed form."""
import numpy as np
import pytest
import torch

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.occupancy.integration import (
    CLEAR_SHARE,
    PROBED,
    PROBES,
    rendered_distances,
)

WALL, VOXEL = 2.0, 0.05  # metres


def wall(positions):
    """Return the density [1/m] of a wall at x = WALL."""
    return torch.where(positions[:, 0] < WALL, 0.0, 1e4)


def fog(positions):
    """Return a density [1/m] by which half of the light comes from beyond WALL."""
    return torch.full((len(positions),), np.log(2) / WALL)


def distances(density, only_sharp, color=100, opacity=1.0):
    """Return the distance and the clear distance [m] of a ray along x, of a pixel of color 100."""
    ray = Rays(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]), torch.zeros(1),
               torch.full((1, 3), 100, dtype=torch.int16))
    result = rendered_distances(
        density, ray, torch.full((1, 3), color / 255), torch.tensor([WALL]),
        torch.tensor([opacity]), VOXEL, only_sharp)
    return [float(part) for part in result]


@pytest.mark.parametrize('only_sharp', [False, True])
def test_a_ray_ends_at_a_wall_and_is_clear_before_it(only_sharp):
    end, clear = distances(wall, only_sharp)
    assert end == WALL
    step = PROBED / PROBES * WALL
    assert CLEAR_SHARE * (WALL - step) - VOXEL <= clear <= CLEAR_SHARE * WALL - VOXEL


def test_fog_clears_nothing_and_ends_a_ray_only_where_that_is_allowed():
    assert distances(fog, only_sharp=False) == [WALL, 0.0]
    assert distances(fog, only_sharp=True) == [0.0, 0.0]


@pytest.mark.parametrize('differs', [{'color': 180}, {'opacity': 0.9}])
@pytest.mark.parametrize('only_sharp', [False, True])
def test_what_the_field_does_not_explain_tells_nothing(only_sharp, differs):
    assert distances(wall, only_sharp, **differs) == [0.0, 0.0]

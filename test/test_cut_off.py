"""Cut off: a message says which setting ends the rays before they find a surface."""
import numpy as np
import pytest
import torch

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import OccupancyConfig, SamplingConfig
from instant_nerf_ros.nerf.cut_off import cut_off_message
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

COUNT = 100
GRID = OccupancyConfig(voxel_size=0.5, length=20.0, width=20.0, height=4.0)
ALONG_X, UP = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def message(direction, medians, opacities, far=8.0, surfaces=0.0):
    """Return the message for rays from the middle of the grid."""
    occupancy = OccupancyGrid(GRID, np.zeros(3), backends.select('cpu'))
    rays = Rays(torch.zeros(COUNT, 3), torch.tensor([direction]).expand(COUNT, 3),
                torch.full((COUNT,), surfaces), torch.zeros(COUNT, 3, dtype=torch.uint8))
    return cut_off_message(
        rays, torch.as_tensor(medians).expand(COUNT), torch.as_tensor(opacities).expand(COUNT),
        occupancy, SamplingConfig(far=far))


def test_opaque_surfaces_before_the_end_are_no_reason_for_a_message():
    assert message(ALONG_X, 5.0, 1.0) is None


def test_a_few_rays_into_the_sky_are_no_reason_for_a_message():
    opacities = torch.ones(COUNT)
    opacities[:15] = 0.0
    assert message(ALONG_X, 5.0, opacities) is None


@pytest.mark.parametrize('medians, opacities', [(0.0, 0.1), (7.9, 1.0)])
def test_rays_that_find_nothing_up_to_far_say_so(medians, opacities):
    assert "'sampling.far' = 8 m" in message(ALONG_X, medians, opacities)


def test_rays_that_leave_the_grid_say_so():
    text = message(UP, 1.99, 1.0)
    assert "'occupancy.height'" in text and '20 x 20 x 4 m' in text


def test_rays_with_a_measured_distance_do_not_count():
    assert message(ALONG_X, 0.0, 0.1, surfaces=3.0) is None

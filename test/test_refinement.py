"""Refinement: the depth of a plane within its standard deviation, and what is not trusted."""
import numpy as np
import pytest
from test_alignment import move
from test_plane_sweep import CAMERA, NORMAL, POINT, pose, render_plane, undistorted

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.motion import refinement, stereo_image
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate

LARGE = CAMERA.scaled(320, 240)
OWN = pose(yaw=0.02)
SHIFTS = -0.3, -0.2, -0.1, 0.1, 0.2, 0.3
OTHERS = [pose(x=x, y=0.1 * x, z=0.05 * k) for k, x in enumerate(SHIFTS)]


def refine(others, given=None, start=1.0, contrast=1.0, noise=0.0):
    """Return depth and sigma from views at other poses, which are called given, and the truth."""
    random = np.random.default_rng(0)

    def view(T):
        image, _ = render_plane(T, LARGE, contrast, detail=3)
        noisy = image + random.normal(scale=noise, size=image.shape)
        return stereo_image.undistort(
            noisy.clip(0, 255).astype(np.uint8), LARGE, stereo_image.REFINED_WINDOW)

    _, truth = render_plane(OWN, LARGE)
    partners = [(view(T), T_given) for T, T_given in zip(others, given or others)]
    depth, sigma = refinement.refine(
        view(OWN), OWN, partners, (start / truth).astype(np.float32), backends.select('cpu'))
    return depth, sigma, truth


@pytest.mark.parametrize('start', [0.98, 1.0, 1.02])
def test_the_depth_of_a_plane_is_exact_to_a_fraction_of_a_pixel(start):
    depth, sigma, truth = refine(OTHERS, start=start)
    known = np.isfinite(depth)
    assert known.mean() > 0.6 and (known == np.isfinite(sigma)).all()
    errors = (depth - truth)[known]
    assert np.median(abs(errors)) < 0.01  # 260 pixels x 0.2 m / 2 m: 1 cm are 0.13 pixels
    assert (abs(errors) < 3 * sigma[known]).mean() > 0.97


@pytest.mark.parametrize('noise', [2.0, 6.0])
def test_errors_are_within_their_deviations(noise):
    depth, sigma, truth = refine(OTHERS, noise=noise)
    known = np.isfinite(depth)
    ratios = ((depth - truth) / sigma)[known]
    assert 1.4826 * np.median(abs(ratios)) < 1
    assert (abs(ratios) < 3).mean() > 0.99


def test_deviations_grow_with_the_noise_of_poses():
    random = np.random.default_rng(2)
    given = [move(T, *random.normal(scale=0.003, size=3), 0, 0, 0) for T in OTHERS]
    depth, sigma, truth = refine(OTHERS, given)
    known = np.isfinite(depth)
    _, exact_sigma, _ = refine(OTHERS)
    assert np.nanmedian(sigma) > 2 * np.nanmedian(exact_sigma)
    assert 1.4826 * np.median(abs((depth - truth) / sigma)[known]) < 1.5


@pytest.mark.parametrize('others, contrast', [(OTHERS[:1], 1.0), (OTHERS, 0.0)],
                         ids=['one partner', 'no texture'])
def test_without_agreement_nothing_is_known(others, contrast):
    depth, sigma, _ = refine(others, contrast=contrast)
    assert np.isnan(depth).all() and np.isnan(sigma).all()


def test_a_start_that_is_far_off_is_not_confirmed():
    depth, _, truth = refine(OTHERS, start=1.4)
    assert (abs(depth - truth) > 0.1).mean() < 0.05


def test_rays_end_on_the_plane():
    _, truth = render_plane(OWN, LARGE)
    truth[::2] = np.nan
    own = undistorted(OWN, LARGE)
    estimate = DepthEstimate(1, own.matrix, truth, 0.1 * truth)
    for thinned in (estimate, estimate.every(3)):
        origins, directions, distances, sigmas = thinned.rays(OWN)
        assert len(distances) == np.isfinite(thinned.depth).sum() > 0
        ends = origins + distances[:, None] * directions
        np.testing.assert_allclose((ends - POINT) @ NORMAL, 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1)
        np.testing.assert_allclose(sigmas, 0.1 * distances)

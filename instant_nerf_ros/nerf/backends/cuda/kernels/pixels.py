"""The Triton kernel that makes pixels of samples, compares them, and takes the difference back."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import LEFT_OUT, SAMPLE

MIN_OPACITY = tl.constexpr(constants.MIN_OPACITY)


@triton.jit
def _huber(error, delta):
    """Return the Huber loss over delta, and its derivative."""
    size = tl.abs(error)
    near = size < delta
    sign = tl.where(error > 0, 1.0, -1.0)
    return (tl.where(near, 0.5 * error * error / delta, size - 0.5 * delta),
            tl.where(near, error / delta, sign))


@triton.jit
def _place(start, stop):
    """Return where samples are in the distortion, see loss.terms."""
    middle = (start + stop) * 0.5
    return middle / (1 + middle)


@triton.jit(do_not_specialize=['rays'])
def loss_and_gradients(
    pixels, background, surfaces, rays, samples, links, ends, colors, distances, opacities,
    gradients, terms, measurements, huber_delta, distortion_weight, opacity_weight, depth_weight,
    free_weight, band, gain, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write what rays (R,) show, the terms of the loss, and the gradients of the samples.

    Walks the list of each ray twice, from its end. slopes (N, 4) are those of the colours before
    their sigmoid and of the log density, of gain times the sum over all rays; terms (5,) are
    means, in the order of loss.terms; measurements (1,) int32 counts the rays with a surface.
    Rays that were left out show nothing and teach nothing.
    """
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = ray < rays
    share = 1.0 / rays
    opacity = tl.load(opacities + ray, mask=there, other=0.0)
    trained = there & (opacity != LEFT_OUT)
    opacity = tl.where(trained, opacity, 0.0)
    distance = tl.where(trained, tl.load(distances + ray, mask=there, other=0.0), 0.0)
    surface = tl.load(surfaces + ray, mask=there, other=0.0)
    last = tl.load(ends + ray, mask=there, other=-1)
    red, green, blue = tl.zeros_like(opacity), tl.zeros_like(opacity), tl.zeros_like(opacity)
    places = tl.zeros_like(opacity)  # sum of weight * place of all samples
    n = last
    while tl.max(n, 0) >= 0:
        here = n >= 0
        weight = tl.load(samples + n * SAMPLE + 3, mask=here & trained, other=0.0)
        start = tl.load(samples + n * SAMPLE, mask=here, other=0.0)
        stop = tl.load(samples + n * SAMPLE + 1, mask=here, other=0.0)
        places += weight * _place(start, stop)
        red += weight * tl.load(samples + n * SAMPLE + 5, mask=here, other=0.0)
        green += weight * tl.load(samples + n * SAMPLE + 6, mask=here, other=0.0)
        blue += weight * tl.load(samples + n * SAMPLE + 7, mask=here, other=0.0)
        n = tl.load(links + n * 2 + 1, mask=here, other=-1)
    tl.store(colors + ray * 3, red, mask=there)
    tl.store(colors + ray * 3 + 1, green, mask=there)
    tl.store(colors + ray * 3 + 2, blue, mask=there)
    tl.store(distances + ray, distance, mask=there)
    tl.store(opacities + ray, opacity, mask=there)

    behind0 = tl.load(background + ray * 3, mask=there, other=0.0)
    behind1 = tl.load(background + ray * 3 + 1, mask=there, other=0.0)
    behind2 = tl.load(background + ray * 3 + 2, mask=there, other=0.0)
    target0 = tl.load(pixels + ray * 3, mask=there, other=0).to(tl.float32) / 255
    target1 = tl.load(pixels + ray * 3 + 1, mask=there, other=0).to(tl.float32) / 255
    target2 = tl.load(pixels + ray * 3 + 2, mask=there, other=0).to(tl.float32) / 255
    error0 = tl.where(target0 < 0, 0.0, red + (1 - opacity) * behind0 - target0)
    term0, slope0 = _huber(error0, huber_delta)
    error1 = tl.where(target1 < 0, 0.0, green + (1 - opacity) * behind1 - target1)
    term1, slope1 = _huber(error1, huber_delta)
    error2 = tl.where(target2 < 0, 0.0, blue + (1 - opacity) * behind2 - target2)
    term2, slope2 = _huber(error2, huber_delta)
    term = tl.where(trained, term0 + term1 + term2, 0.0)
    tl.atomic_add(terms, tl.sum(term, 0) * share / 3, sem='relaxed')
    slope0, slope1, slope2 = slope0 * gain / 3, slope1 * gain / 3, slope2 * gain / 3
    by_opacity = -(slope0 * behind0 + slope1 * behind1 + slope2 * behind2)
    tl.atomic_add(measurements, tl.sum((surface > 0).to(tl.int32), 0), sem='relaxed')
    measured = trained & (surface > 0)
    term, slope = _huber(distance - surface, huber_delta)
    term = tl.where(measured, term * depth_weight, 0.0)
    tl.atomic_add(terms + 3, tl.sum(term, 0) * share, sem='relaxed')
    by_distance = tl.where(measured, slope * depth_weight * gain, 0.0)

    solid = trained & (opacity > MIN_OPACITY)
    bounded = tl.where(solid, opacity, MIN_OPACITY)
    logarithm = tl.log(bounded)
    term = tl.where(trained, -opacity_weight * bounded * logarithm, 0.0)
    tl.atomic_add(terms + 2, tl.sum(term, 0) * share, sem='relaxed')
    by_opacity -= tl.where(solid, opacity_weight * gain * (logarithm + 1), 0.0)

    n = last
    behind, free, spread = tl.zeros_like(opacity), tl.zeros_like(opacity), tl.zeros_like(opacity)
    after, places_after = tl.zeros_like(opacity), tl.zeros_like(opacity)
    while tl.max(n, 0) >= 0:
        here = n >= 0
        start = tl.load(samples + n * SAMPLE, mask=here, other=0.0)
        stop = tl.load(samples + n * SAMPLE + 1, mask=here, other=0.0)
        density = tl.load(samples + n * SAMPLE + 2, mask=here, other=0.0)
        weight = tl.load(samples + n * SAMPLE + 3, mask=here, other=0.0)
        through = tl.load(samples + n * SAMPLE + 4, mask=here, other=0.0)
        color0 = tl.load(samples + n * SAMPLE + 5, mask=here, other=0.0)
        color1 = tl.load(samples + n * SAMPLE + 6, mask=here, other=0.0)
        color2 = tl.load(samples + n * SAMPLE + 7, mask=here, other=0.0)
        by_weight = (by_opacity + by_distance * (start + stop) * 0.5
                     + slope0 * color0 + slope1 * color1 + slope2 * color2)
        early = here & trained & (stop < surface - band)
        free += tl.where(early, weight * weight, 0.0)
        by_weight += tl.where(early, 2 * free_weight * gain * weight, 0.0)
        place = _place(start, stop)
        width = (stop - start) * (1 - place) * (1 - place)
        further = places_after - place * after
        before = opacity - after - weight
        nearer = place * before - (places - places_after - weight * place)
        spread += tl.where(here, weight * (2 * further + weight * width / 3), 0.0)
        by_weight += 2 * distortion_weight * gain * (nearer + further + weight * width / 3)
        after += tl.where(here, weight, 0.0)
        places_after += tl.where(here, weight * place, 0.0)
        # dL/ddensity_i = length_i (T_{i+1} dL/dw_i - sum_{j>i} w_j dL/dw_j); and the gradient of
        # the logarithm is the density times that.
        by_log = density * (stop - start) * (through * by_weight - behind)
        behind += tl.where(here, weight * by_weight, 0.0)
        change0 = weight * slope0 * color0 * (1 - color0)
        change1 = weight * slope1 * color1 * (1 - color1)
        change2 = weight * slope2 * color2 * (1 - color2)
        tl.store(gradients + n * 4, tl.where(trained, change0, 0.0), mask=here)
        tl.store(gradients + n * 4 + 1, tl.where(trained, change1, 0.0), mask=here)
        tl.store(gradients + n * 4 + 2, tl.where(trained, change2, 0.0), mask=here)
        tl.store(gradients + n * 4 + 3, tl.where(trained, by_log, 0.0), mask=here)
        n = tl.load(links + n * 2 + 1, mask=here, other=-1)
    spread = tl.where(trained, spread, 0.0)
    tl.atomic_add(terms + 1, tl.sum(spread, 0) * distortion_weight * share, sem='relaxed')
    tl.atomic_add(terms + 4, tl.sum(free, 0) * free_weight * share, sem='relaxed')

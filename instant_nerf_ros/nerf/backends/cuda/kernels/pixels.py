"""The Triton kernel that composites samples to pixels, and computes the loss and gradients."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import LEFT_OUT, SAMPLE_COLUMNS

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
def _normalized_distance(start, end):
    """Return s = t / (1 + t) at the middle t of samples, see loss.loss_terms."""
    middle = (start + end) * 0.5
    return middle / (1 + middle)


@triton.jit(do_not_specialize=['rays'])
def loss_and_gradients(
    pixels, background, surfaces, rays, samples, links, last_samples, colors, distances, opacities,
    gradients, terms, measurements, huber_delta, distortion_weight, opacity_weight, depth_weight,
    free_space_weight, band, gain, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the pixels of rays (R,), the terms of the loss, and the gradients of the samples.

    Walks the list of samples of each ray twice, from its end. gradients (N, 4) are those of the
    colors before the sigmoid and of the log density, times gain, for the sum of the loss over all
    rays. terms (5,) are means over the rays, in the order of constants.LOSS_TERMS. measurements
    (1,) int32 counts the rays with a surface. Rays that were left out are black, without loss and
    without gradients.
    """
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = ray < rays
    share = 1.0 / rays
    opacity = tl.load(opacities + ray, mask=mask, other=0.0)
    trained = mask & (opacity != LEFT_OUT)
    opacity = tl.where(trained, opacity, 0.0)
    distance = tl.where(trained, tl.load(distances + ray, mask=mask, other=0.0), 0.0)
    surface = tl.load(surfaces + ray, mask=mask, other=0.0)
    last = tl.load(last_samples + ray, mask=mask, other=-1)
    red, green, blue = tl.zeros_like(opacity), tl.zeros_like(opacity), tl.zeros_like(opacity)
    s_sum = tl.zeros_like(opacity)  # sum of weight * s over all samples
    n = last
    while tl.max(n, 0) >= 0:
        exists = n >= 0
        weight = tl.load(samples + n * SAMPLE_COLUMNS + 3, mask=exists & trained, other=0.0)
        start = tl.load(samples + n * SAMPLE_COLUMNS, mask=exists, other=0.0)
        end = tl.load(samples + n * SAMPLE_COLUMNS + 1, mask=exists, other=0.0)
        s_sum += weight * _normalized_distance(start, end)
        red += weight * tl.load(samples + n * SAMPLE_COLUMNS + 5, mask=exists, other=0.0)
        green += weight * tl.load(samples + n * SAMPLE_COLUMNS + 6, mask=exists, other=0.0)
        blue += weight * tl.load(samples + n * SAMPLE_COLUMNS + 7, mask=exists, other=0.0)
        n = tl.load(links + n * 2 + 1, mask=exists, other=-1)
    tl.store(colors + ray * 3, red, mask=mask)
    tl.store(colors + ray * 3 + 1, green, mask=mask)
    tl.store(colors + ray * 3 + 2, blue, mask=mask)
    tl.store(distances + ray, distance, mask=mask)
    tl.store(opacities + ray, opacity, mask=mask)

    # In what follows, grad_x is the derivative of the loss by x, times gain and R.
    background0 = tl.load(background + ray * 3, mask=mask, other=0.0)
    background1 = tl.load(background + ray * 3 + 1, mask=mask, other=0.0)
    background2 = tl.load(background + ray * 3 + 2, mask=mask, other=0.0)
    target0 = tl.load(pixels + ray * 3, mask=mask, other=0).to(tl.float32) / 255
    target1 = tl.load(pixels + ray * 3 + 1, mask=mask, other=0).to(tl.float32) / 255
    target2 = tl.load(pixels + ray * 3 + 2, mask=mask, other=0).to(tl.float32) / 255
    error0 = tl.where(target0 < 0, 0.0, red + (1 - opacity) * background0 - target0)
    term0, grad0 = _huber(error0, huber_delta)
    error1 = tl.where(target1 < 0, 0.0, green + (1 - opacity) * background1 - target1)
    term1, grad1 = _huber(error1, huber_delta)
    error2 = tl.where(target2 < 0, 0.0, blue + (1 - opacity) * background2 - target2)
    term2, grad2 = _huber(error2, huber_delta)
    term = tl.where(trained, term0 + term1 + term2, 0.0)
    tl.atomic_add(terms, tl.sum(term, 0) * share / 3, sem='relaxed')
    grad0, grad1, grad2 = grad0 * gain / 3, grad1 * gain / 3, grad2 * gain / 3
    grad_opacity = -(grad0 * background0 + grad1 * background1 + grad2 * background2)
    tl.atomic_add(measurements, tl.sum((surface > 0).to(tl.int32), 0), sem='relaxed')
    measured = trained & (surface > 0)
    term, derivative = _huber(distance - surface, huber_delta)
    term = tl.where(measured, term * depth_weight, 0.0)
    tl.atomic_add(terms + 3, tl.sum(term, 0) * share, sem='relaxed')
    grad_distance = tl.where(measured, derivative * depth_weight * gain, 0.0)

    opaque = trained & (opacity > MIN_OPACITY)
    bounded = tl.where(opaque, opacity, MIN_OPACITY)
    logarithm = tl.log(bounded)
    term = tl.where(trained, -opacity_weight * bounded * logarithm, 0.0)
    tl.atomic_add(terms + 2, tl.sum(term, 0) * share, sem='relaxed')
    grad_opacity -= tl.where(opaque, opacity_weight * gain * (logarithm + 1), 0.0)

    n = last
    # Sums over the samples behind the current one: weight * grad_weight, weight, weight * s.
    grad_behind = tl.zeros_like(opacity)
    free_space, distortion = tl.zeros_like(opacity), tl.zeros_like(opacity)
    weight_behind, s_behind = tl.zeros_like(opacity), tl.zeros_like(opacity)
    while tl.max(n, 0) >= 0:
        exists = n >= 0
        start = tl.load(samples + n * SAMPLE_COLUMNS, mask=exists, other=0.0)
        end = tl.load(samples + n * SAMPLE_COLUMNS + 1, mask=exists, other=0.0)
        density = tl.load(samples + n * SAMPLE_COLUMNS + 2, mask=exists, other=0.0)
        weight = tl.load(samples + n * SAMPLE_COLUMNS + 3, mask=exists, other=0.0)
        transmittance = tl.load(samples + n * SAMPLE_COLUMNS + 4, mask=exists, other=0.0)
        color0 = tl.load(samples + n * SAMPLE_COLUMNS + 5, mask=exists, other=0.0)
        color1 = tl.load(samples + n * SAMPLE_COLUMNS + 6, mask=exists, other=0.0)
        color2 = tl.load(samples + n * SAMPLE_COLUMNS + 7, mask=exists, other=0.0)
        grad_weight = (grad_opacity + grad_distance * (start + end) * 0.5
                       + grad0 * color0 + grad1 * color1 + grad2 * color2)
        in_front = exists & trained & (end < surface - band)
        free_space += tl.where(in_front, weight * weight, 0.0)
        grad_weight += tl.where(in_front, 2 * free_space_weight * gain * weight, 0.0)
        s = _normalized_distance(start, end)
        width = (end - start) * (1 - s) * (1 - s)
        # Sums of weight * |difference of s| over the samples behind and before this one.
        spread_behind = s_behind - s * weight_behind
        weight_before = opacity - weight_behind - weight
        spread_before = s * weight_before - (s_sum - s_behind - weight * s)
        distortion += tl.where(exists, weight * (2 * spread_behind + weight * width / 3), 0.0)
        grad_weight += 2 * distortion_weight * gain * (
            spread_before + spread_behind + weight * width / 3)
        weight_behind += tl.where(exists, weight, 0.0)
        s_behind += tl.where(exists, weight * s, 0.0)
        # dL/ddensity_i = length_i (T_{i+1} dL/dw_i - sum_{j>i} w_j dL/dw_j); the derivative by the
        # log density is the density times that.
        grad_log_density = density * (end - start) * (transmittance * grad_weight - grad_behind)
        grad_behind += tl.where(exists, weight * grad_weight, 0.0)
        grad_output0 = weight * grad0 * color0 * (1 - color0)
        grad_output1 = weight * grad1 * color1 * (1 - color1)
        grad_output2 = weight * grad2 * color2 * (1 - color2)
        tl.store(gradients + n * 4, tl.where(trained, grad_output0, 0.0), mask=exists)
        tl.store(gradients + n * 4 + 1, tl.where(trained, grad_output1, 0.0), mask=exists)
        tl.store(gradients + n * 4 + 2, tl.where(trained, grad_output2, 0.0), mask=exists)
        tl.store(gradients + n * 4 + 3, tl.where(trained, grad_log_density, 0.0), mask=exists)
        n = tl.load(links + n * 2 + 1, mask=exists, other=-1)
    distortion = tl.where(trained, distortion, 0.0)
    tl.atomic_add(terms + 1, tl.sum(distortion, 0) * distortion_weight * share, sem='relaxed')
    tl.atomic_add(terms + 4, tl.sum(free_space, 0) * free_space_weight * share, sem='relaxed')

"""Numba kernels that composite samples to pixels, and compute the loss and its gradients."""
import dataclasses
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.config import LossConfig

COLOR, DISTORTION, OPACITY, DEPTH, FREE_SPACE = range(len(constants.LOSS_TERMS))
VISIBLE_SAMPLES = len(constants.LOSS_TERMS)
COUNTS = VISIBLE_SAMPLES + 1  # terms in the order of constants.LOSS_TERMS, and visible samples
MIN_OPACITY = np.float32(constants.MIN_OPACITY)

# Of rays: pixels (R, 3) in [0, 1], negative without a color; background (R, 3).
Targets = namedtuple('Targets', 'pixels background')
# Weights of the loss, see loss.loss_terms.
Loss = namedtuple('Loss', [field.name for field in dataclasses.fields(LossConfig)])
# Rendered values of rays, (R, ...): colors, distances, opacities, median distances.
Rendered = namedtuple('Rendered', 'colors distances opacities medians')


@jit
def composite(ray, order, chunk, rendered):
    """Write the rendered values of a ray: see composite.composite and median_distances."""
    half = np.float32(0.5)
    red = green = blue = distance = opacity = median = np.float32(0)
    for n in order:
        weight = chunk.weights[n]
        red += weight * chunk.colors[n, 0]
        green += weight * chunk.colors[n, 1]
        blue += weight * chunk.colors[n, 2]
        distance += weight * (chunk.t_starts[n] + chunk.t_ends[n]) * half
        if opacity < half and opacity + weight >= half:
            share = (half - opacity) / weight
            median = chunk.t_starts[n] + share * (chunk.t_ends[n] - chunk.t_starts[n])
        opacity += weight
    rendered.colors[ray, 0], rendered.colors[ray, 1], rendered.colors[ray, 2] = red, green, blue
    rendered.distances[ray], rendered.opacities[ray] = distance, opacity
    rendered.medians[ray] = median


@jit
def _huber(error, delta):
    """Return the Huber loss over delta, and its derivative."""
    size, half = abs(error), np.float32(0.5)
    if size < delta:
        return half * error * error / delta, error / delta
    return size - half * delta, np.float32(1) if error > 0 else np.float32(-1)


@jit
def _normalized_distance(chunk, n):
    """Return s = t / (1 + t) at the middle t of a sample, see loss.loss_terms."""
    middle = (chunk.t_starts[n] + chunk.t_ends[n]) * np.float32(0.5)
    return middle / (np.float32(1) + middle)


@jit
def loss_and_gradients(ray, order, rays, targets, loss, band, rendered, chunk, work, counts):
    """Add the terms of the loss of a ray to counts, and write the gradients of its samples.

    work.colors and work.densities are those of the colors before the sigmoid and of the log
    densities. grad_x is the derivative of the loss by x.
    """
    one, zero = np.float32(1), np.float32(0)
    share = one / np.float32(len(rays.origins))
    grad_color, grad_opacity, grad_distance = work.ray, zero, zero
    for channel in range(3):
        background = targets.background[ray, channel]
        color = rendered.colors[ray, channel] + (one - rendered.opacities[ray]) * background
        pixel = targets.pixels[ray, channel]
        term, derivative = _huber(color - pixel if pixel >= 0 else zero, loss.huber_delta)
        counts[COLOR] += term * share / np.float32(3)
        grad_color[channel] = derivative * share / np.float32(3)
        grad_opacity -= grad_color[channel] * background
    surface = rays.surfaces[ray]
    if surface > 0:
        term, derivative = _huber(rendered.distances[ray] - surface, loss.huber_delta)
        counts[DEPTH] += loss.depth_weight * share * term
        grad_distance = loss.depth_weight * share * derivative
    opacity = rendered.opacities[ray]
    if opacity > MIN_OPACITY:
        logarithm = np.log(opacity)
        counts[OPACITY] -= loss.opacity_weight * share * opacity * logarithm
        grad_opacity -= loss.opacity_weight * share * (logarithm + one)
    else:
        counts[OPACITY] -= loss.opacity_weight * share * MIN_OPACITY * np.log(MIN_OPACITY)
    free_space_weight = loss.free_space_weight * share
    distortion_weight = loss.distortion_weight * share
    s_sum = zero  # sum of weight * s over all samples
    for n in order:
        s_sum += chunk.weights[n] * _normalized_distance(chunk, n)
    # Sums over the samples up to the current one: weight * grad_weight, distortion, weight,
    # weight * s; then the first one over the samples behind it.
    grad_behind = distortion = weight_before = s_before = zero
    for n in order:
        weight, s = chunk.weights[n], _normalized_distance(chunk, n)
        width = (chunk.t_ends[n] - chunk.t_starts[n]) * (one - s) * (one - s)
        grad_weight = grad_opacity + grad_distance * (
            (chunk.t_starts[n] + chunk.t_ends[n]) * np.float32(0.5))
        for channel in range(3):
            color = chunk.colors[n, channel]
            grad_weight += grad_color[channel] * color
            work.colors[n, channel] = weight * grad_color[channel] * color * (one - color)
        if chunk.t_ends[n] < surface - band:
            counts[FREE_SPACE] += free_space_weight * weight * weight
            grad_weight += np.float32(2) * free_space_weight * weight
        # Sums of weight * |difference of s| over the samples before and behind this one.
        spread_before = s * weight_before - s_before
        distortion += weight * (np.float32(2) * spread_before + weight * width / np.float32(3))
        weight_before += weight
        s_before += weight * s
        spread_behind = (s_sum - s_before) - s * (opacity - weight_before)
        grad_weight += np.float32(2) * distortion_weight * (
            spread_before + spread_behind + weight * width / np.float32(3))
        work.densities[n] = grad_weight
        grad_behind += weight * grad_weight
    counts[DISTORTION] += distortion_weight * distortion
    for n in order:
        # dL/ddensity_i = length_i (T_{i+1} dL/dw_i - sum_{j>i} w_j dL/dw_j); the derivative by the
        # log density is the density times that.
        grad_weight = work.densities[n]
        grad_behind -= chunk.weights[n] * grad_weight
        thickness = chunk.densities[n] * (chunk.t_ends[n] - chunk.t_starts[n])
        work.densities[n] = thickness * (
            chunk.transmittances_behind[n] * grad_weight - grad_behind)

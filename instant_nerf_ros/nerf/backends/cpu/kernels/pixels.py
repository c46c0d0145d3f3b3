"""Numba kernels that make pixels of samples, compare them, and take the difference back."""
import dataclasses
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.config import LossConfig

COLOR, DISTORTION, OPACITY, DEPTH, FREE_SPACE = range(len(constants.LOSS_TERMS))
VISIBLE_SAMPLES = len(constants.LOSS_TERMS)
COUNTS = VISIBLE_SAMPLES + 1  # terms of the loss, in the order of constants.LOSS_TERMS, and visible samples
MIN_OPACITY = np.float32(constants.MIN_OPACITY)

# What the rays should show: pixels (R, 3) in [0, 1], negative without colour; background (R, 3).
Targets = namedtuple('Targets', 'pixels background')
# Weights of the loss, see loss.terms.
Loss = namedtuple('Loss', [field.name for field in dataclasses.fields(LossConfig)])
# What the rays show, (R, ...): colours, distances, opacities, median distances.
Rendered = namedtuple('Rendered', 'colors distances opacities medians')


@jit
def composite(ray, order, chunk, rendered):
    """Write what a ray shows: see reference.composite and reference.median_distance."""
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
    rendered.distances[ray], rendered.opacities[ray], rendered.medians[ray] = distance, opacity, median


@jit
def _huber(error, delta):
    """Return the Huber loss over delta, and its derivative."""
    size, half = abs(error), np.float32(0.5)
    if size < delta:
        return half * error * error / delta, error / delta
    return size - half * delta, np.float32(1) if error > 0 else np.float32(-1)


@jit
def _place(chunk, n):
    """Return where a sample is in the distortion, see loss.terms."""
    middle = (chunk.t_starts[n] + chunk.t_ends[n]) * np.float32(0.5)
    return middle / (np.float32(1) + middle)


@jit
def loss_and_gradients(ray, order, rays, targets, loss, band, rendered, chunk, work, counts):
    """Add a ray's terms of the loss, and write the gradients of its samples."""
    one, zero = np.float32(1), np.float32(0)
    share = one / np.float32(len(rays.origins))
    by_color, by_opacity, by_distance = work.ray, zero, zero
    for channel in range(3):
        light = targets.background[ray, channel]
        color = rendered.colors[ray, channel] + (one - rendered.opacities[ray]) * light
        pixel = targets.pixels[ray, channel]
        term, slope = _huber(color - pixel if pixel >= 0 else zero, loss.huber_delta)
        counts[COLOR] += term * share / np.float32(3)
        by_color[channel] = slope * share / np.float32(3)
        by_opacity -= by_color[channel] * light
    surface = rays.surfaces[ray]
    if surface > 0:
        term, slope = _huber(rendered.distances[ray] - surface, loss.huber_delta)
        counts[DEPTH] += loss.depth_weight * share * term
        by_distance = loss.depth_weight * share * slope
    opacity = rendered.opacities[ray]
    if opacity > MIN_OPACITY:
        logarithm = np.log(opacity)
        counts[OPACITY] -= loss.opacity_weight * share * opacity * logarithm
        by_opacity -= loss.opacity_weight * share * (logarithm + one)
    else:
        counts[OPACITY] -= loss.opacity_weight * share * MIN_OPACITY * np.log(MIN_OPACITY)
    free, spread = loss.free_space_weight * share, loss.distortion_weight * share
    places = zero  # sum of weight * place of all samples
    for n in order:
        places += chunk.weights[n] * _place(chunk, n)
    behind = spreads = before = places_before = zero
    for n in order:
        weight, place = chunk.weights[n], _place(chunk, n)
        width = (chunk.t_ends[n] - chunk.t_starts[n]) * (one - place) * (one - place)
        by_weight = by_opacity + by_distance * (
            (chunk.t_starts[n] + chunk.t_ends[n]) * np.float32(0.5))
        for channel in range(3):
            color = chunk.colors[n, channel]
            by_weight += by_color[channel] * color
            work.colors[n, channel] = weight * by_color[channel] * color * (one - color)
        if chunk.t_ends[n] < surface - band:
            counts[FREE_SPACE] += free * weight * weight
            by_weight += np.float32(2) * free * weight
        nearer = place * before - places_before
        spreads += weight * (np.float32(2) * nearer + weight * width / np.float32(3))
        before += weight
        places_before += weight * place
        further = (places - places_before) - place * (opacity - before)
        by_weight += np.float32(2) * spread * (nearer + further + weight * width / np.float32(3))
        work.densities[n] = by_weight
        behind += weight * by_weight
    counts[DISTORTION] += spread * spreads
    for n in order:
        # dL/ddensity_i = length_i (T_{i+1} dL/dw_i - sum_{j>i} w_j dL/dw_j); and the gradient of
        # the logarithm is the density times that.
        by_weight = work.densities[n]
        behind -= chunk.weights[n] * by_weight
        thickness = chunk.densities[n] * (chunk.t_ends[n] - chunk.t_starts[n])
        work.densities[n] = thickness * (chunk.through[n] * by_weight - behind)

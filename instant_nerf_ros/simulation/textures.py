"""Procedural textures of the simulated flat, deterministic and with detail at every scale.

A texture is a function that returns the albedo of a Surface. A radiance field can only infer
geometry from color where there is detail, so no texture is plain.
"""
import dataclasses
import functools

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.simulation.boxes import Albedo, Surface, Texture

Color = tuple[int, int, int]  # RGB, 0..255


def noise(
    surface: Surface, coarsest: float = 0.8, finest: float = 0.02, stretch: float = 1.0,
) -> NDArray[np.float32]:  # fmt: skip
    """Return fractal noise (height, width) with zero mean and unit variance.

    coarsest and finest are the cell sizes of the first and the last octave [m]; stretch elongates
    the cells along the rows.
    """
    height, width = surface.height, surface.width
    total = np.zeros((height, width), np.float32)
    cell, weight = coarsest, 1.0
    while cell >= finest:
        rows = max(cell / surface.texel_size, 1.0)
        columns = rows * stretch
        grid = surface.rng.standard_normal((int(height / rows) + 4, int(width / columns) + 4))
        zoom = cv2.resize(
            grid.astype(np.float32),
            (int(grid.shape[1] * columns) + 1, int(grid.shape[0] * rows) + 1),
            interpolation=cv2.INTER_CUBIC)
        top, left = int(rows), int(columns)
        total += weight * zoom[top:top + height, left:left + width]
        cell, weight = cell / 2, weight * 0.75
    return (total - total.mean()) / (total.std() + 1e-6)


def tinted(color: ArrayLike, brightness: NDArray[np.floating]) -> Albedo:
    """Return a color (3,) or (height, width, 3), 0..255, times 1 + brightness, as albedo."""
    return (np.asarray(color, np.float32) / 255.0) * (1.0 + brightness[..., None])


def plaster(color: Color, contrast: float = 0.10) -> Texture:
    """Return rough plaster of a color."""
    def texture(surface: Surface) -> Albedo:
        return tinted(color, contrast * noise(surface, 0.25, 0.02))
    return texture


def wallpaper(color: Color, stripe: Color) -> Texture:
    """Return vertical stripes of two colors with a motif, on rough paper."""
    def texture(surface: Surface) -> Albedo:
        x, z = surface.centers()
        stripes = ((x / 0.24) % 1.0 < 0.5)[..., None]
        base = np.where(stripes, _rgb(color), _rgb(stripe))
        rise = z / 0.3 + np.floor(x / 0.24) / 2  # every other column half a motif higher
        bloom = np.cos(2 * np.pi * x / 0.24) * np.cos(2 * np.pi * rise)
        return tinted(base, 0.12 * (bloom > 0.55) + 0.09 * noise(surface))
    return texture


def wood(color: Color) -> Texture:
    """Return wood with its grain along the longer side."""
    def texture(surface: Surface) -> Albedo:
        upright = surface.height > surface.width
        if upright:
            surface = dataclasses.replace(surface, height=surface.width, width=surface.height)
        grain = noise(surface, 0.2, 0.012, stretch=6.0)
        rings = np.sin(4.0 * noise(surface, 0.5, 0.1, stretch=4.0))
        brightness = 0.13 * grain + 0.07 * rings
        return tinted(color, brightness.T if upright else brightness)
    return texture


def courses(
    surface: Surface, length: float, depth: float, joint: float, color: Color, variety: float,
) -> Albedo:  # fmt: skip
    """Return rows of blocks (planks, bricks) of length x depth with joints between them [m].

    variety is the standard deviation of the brightness between blocks.
    """
    x, y = surface.centers()
    row = (y / depth).astype(int)
    x = x + surface.rng.uniform(0, length, row.max() + 1).astype(np.float32)[row]
    block = (x / length).astype(int)
    shade = surface.rng.standard_normal((row.max() + 1, block.max() + 1)).astype(np.float32)
    shade = np.clip(shade, -2, 2)[row, block]
    inside = ((x % length) > joint) & ((y % depth) > joint)
    stretch = min(length / depth, 6.0)
    grain = noise(surface, depth, 0.012, stretch=stretch)
    return tinted(color, np.where(inside, variety * shade + 0.08 * grain, -0.5))


def planks(color: Color) -> Texture:
    """Return floor boards."""
    return functools.partial(
        courses, length=1.1, depth=0.14, joint=0.008, color=color, variety=0.12)


def bricks(color: Color) -> Texture:
    """Return a brick wall."""
    return functools.partial(
        courses, length=0.25, depth=0.08, joint=0.014, color=color, variety=0.14)


def tiles(light: Color, dark: Color) -> Texture:
    """Return a chequered tile floor."""
    def texture(surface: Surface) -> Albedo:
        x, y = surface.centers()
        edge = 0.3
        odd = ((x // edge + y // edge) % 2)[..., None]
        joint = (x % edge < 0.012) | (y % edge < 0.012)
        veins = 0.08 * noise(surface, 0.3, 0.012)
        return tinted(np.where(odd, _rgb(light), _rgb(dark)),
                      np.where(joint, -0.3, veins))
    return texture


def fabric(color: Color, check: Color) -> Texture:
    """Return checked cloth."""
    def texture(surface: Surface) -> Albedo:
        x, y = surface.centers()
        share = 0.5 * ((x % 0.18 < 0.06).astype(np.float32) + (y % 0.18 < 0.06))
        base = (1 - share[..., None]) * _rgb(color) + share[..., None] * _rgb(check)
        return tinted(base, 0.10 * noise(surface, 0.15, 0.012))
    return texture


def carpet(field: Color, border: Color) -> Texture:
    """Return an oriental carpet: nested borders around rows of lozenges."""
    def texture(surface: Surface) -> Albedo:
        x, y = surface.centers()
        width, height = surface.extent
        inset = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
        lozenge = np.abs((x % 0.3) - 0.15) + np.abs((y % 0.3) - 0.15)
        pattern = np.where(inset < 0.2, (inset % 0.08) < 0.04, (lozenge % 0.1) < 0.05)
        base = np.where(pattern[..., None], _rgb(border), _rgb(field))
        return tinted(base, 0.10 * noise(surface, 0.1, 0.012))
    return texture


def books(surface: Surface) -> Albedo:
    """Paint a row of book spines."""
    palette = np.array([[150, 50, 40], [40, 80, 120], [200, 170, 90], [60, 110, 70],
                        [220, 210, 190], [90, 50, 90], [200, 110, 50], [50, 50, 60]], np.float32)
    rng, (width, height) = surface.rng, surface.extent
    edges = np.cumsum(rng.uniform(0.025, 0.06, int(width / 0.025) + 2))
    x, y = surface.centers()
    book = np.searchsorted(edges, x)
    base = palette[rng.integers(0, len(palette), len(edges) + 1)[book]]
    band = np.abs(y - height * rng.uniform(0.2, 0.8, len(edges) + 1)[book]) < 0.02
    gap = np.abs(x - edges[np.maximum(book - 1, 0)]) < 0.006
    return tinted(base, 0.4 * band - 0.6 * gap + 0.05 * noise(surface, 0.1))


def painting(*colors: Color) -> Texture:
    """Return an abstract painting of discs and bars in a dark frame; colors[0] is the ground."""
    def texture(surface: Surface) -> Albedo:
        height, width, rng = surface.height, surface.width, surface.rng
        canvas = np.full((height, width, 3), colors[0], np.float32)
        for index in range(26):
            color = [float(value) for value in colors[1 + index % (len(colors) - 1)]]
            x, y = (int(value) for value in rng.uniform(0, 1, 2) * (width, height))
            size = int(rng.uniform(0.06, 0.25) * min(width, height))
            if index % 3:
                cv2.circle(canvas, (x, y), size, color, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(canvas, (x, y), (x + 3 * size, y + size // 2), color, -1)
        frame = max(round(0.04 / surface.texel_size), 1)
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), (60.0, 40.0, 25.0), 2 * frame)
        return tinted(canvas, 0.06 * noise(surface, 0.1, 0.012))
    return texture


def window(surface: Surface) -> Albedo:
    """Paint a window: sky with clouds over hills, behind white bars."""
    (x, y), (width, height) = surface.centers(), surface.extent
    low, high, green, white = np.array(
        [[225, 235, 245], [110, 165, 225], [90, 130, 70], [235, 230, 220]], np.float32)
    up = (y / height)[..., None]
    clouds = noise(surface, 0.6, 0.03, stretch=2.0)[..., None]
    sky = low * (1 - up) + high * up
    sky += np.clip(clouds - 0.2, 0, 1) * (255 - sky)
    crest = 0.30 + 0.10 * np.sin(x * 2.3 + 1.0) + 0.05 * np.sin(x * 7.1)
    trees = green * (1 + 0.25 * noise(surface, 0.2, 0.02)[..., None])
    picture = np.where((up[..., 0] < crest)[..., None], trees, sky)
    bars = (np.minimum(x, width - x) < 0.06) | (np.minimum(y, height - y) < 0.06)
    bars |= (np.abs(x - width / 2) < 0.03) | (np.abs(y - 0.6 * height) < 0.02)
    return np.where(bars[..., None], white, picture) / 255


def _rgb(color: Color) -> NDArray[np.float32]:
    return np.array(color, np.float32)

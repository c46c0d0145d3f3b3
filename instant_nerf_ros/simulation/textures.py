"""Procedural paint for the simulated flat, deterministic and with detail at every scale.

A paint is a function (height, width, texel, rng) -> (height, width, 3) float32 albedo in 0..1 of
a rectangle of height x width texels of `texel` metres; row 0 is the lower edge. A radiance field
finds geometry from colour only where there is detail, so no paint is plain.
"""
import cv2
import numpy as np


def noise(height, width, texel, rng, coarsest=0.8, finest=0.02, stretch=1.0):
    """Return fractal noise (height, width) float32 of zero mean and unit variance.

    coarsest and finest are the cells of the first and the last octave [m]; stretch elongates the
    cells along the columns.
    """
    total = np.zeros((height, width), np.float32)
    cell, weight = coarsest, 1.0
    while cell >= finest:
        rows = max(cell / texel, 1.0)
        columns = rows * stretch
        grid = rng.standard_normal((int(height / rows) + 4, int(width / columns) + 4))
        zoom = cv2.resize(
            grid.astype(np.float32),
            (int(grid.shape[1] * columns) + 1, int(grid.shape[0] * rows) + 1),
            interpolation=cv2.INTER_CUBIC)
        top, left = int(rows), int(columns)
        total += weight * zoom[top:top + height, left:left + width]
        cell, weight = cell / 2, weight * 0.75
    return (total - total.mean()) / (total.std() + 1e-6)


def tinted(color, brightness):
    """Return the colour (3,) or (height, width, 3), 0..255, times 1 + brightness, as albedo."""
    return (np.asarray(color, np.float32) / 255.0) * (1.0 + brightness[..., None])


def metres(height, width, texel):
    """Return the coordinates (column, row) of every texel centre [m], each (height, width)."""
    return np.meshgrid(
        (np.arange(width, dtype=np.float32) + 0.5) * texel,
        (np.arange(height, dtype=np.float32) + 0.5) * texel)


def plaster(color, contrast=0.10):
    """Return rough plaster of a colour."""
    def paint(height, width, texel, rng):
        return tinted(color, contrast * noise(height, width, texel, rng, 0.25, 0.02))
    return paint


def wallpaper(color, stripe):
    """Return vertical stripes of two colours with a motif, on rough paper."""
    def paint(height, width, texel, rng):
        x, z = metres(height, width, texel)
        stripes = ((x / 0.24) % 1.0 < 0.5)[..., None]
        base = np.where(stripes, np.float32(color), np.float32(stripe))
        rise = z / 0.3 + np.floor(x / 0.24) / 2  # every other column half a motif higher
        bloom = np.cos(2 * np.pi * x / 0.24) * np.cos(2 * np.pi * rise)
        return tinted(base, 0.12 * (bloom > 0.55) + 0.09 * noise(height, width, texel, rng))
    return paint


def wood(color):
    """Return wood with its grain along the longer side."""
    def paint(height, width, texel, rng):
        upright = height > width
        size = (width, height) if upright else (height, width)
        grain = noise(*size, texel, rng, 0.2, 0.012, stretch=6.0)
        rings = np.sin(4.0 * noise(*size, texel, rng, 0.5, 0.1, stretch=4.0))
        brightness = 0.13 * grain + 0.07 * rings
        return tinted(color, brightness.T if upright else brightness)
    return paint


def courses(height, width, texel, rng, length, depth, joint, color, variety):
    """Return rows of blocks laid in bond with joints: planks, bricks and tiles (metres)."""
    x, y = metres(height, width, texel)
    row = (y / depth).astype(int)
    x = x + rng.uniform(0, length, row.max() + 1).astype(np.float32)[row]
    block = (x / length).astype(int)
    shade = rng.standard_normal((row.max() + 1, block.max() + 1)).astype(np.float32)[row, block]
    inside = ((x % length) > joint) & ((y % depth) > joint)
    stretch = min(length / depth, 6.0)
    grain = noise(height, width, texel, rng, depth, 0.012, stretch=stretch)
    return tinted(color, np.where(inside, variety * np.clip(shade, -2, 2) + 0.08 * grain, -0.5))


def planks(color):
    """Return floor boards."""
    def paint(height, width, texel, rng):
        return courses(height, width, texel, rng, 1.1, 0.14, 0.008, color, 0.12)
    return paint


def bricks(color):
    """Return a brick wall."""
    def paint(height, width, texel, rng):
        return courses(height, width, texel, rng, 0.25, 0.08, 0.014, color, 0.14)
    return paint


def tiles(light, dark):
    """Return a chequered tile floor."""
    def paint(height, width, texel, rng):
        x, y = metres(height, width, texel)
        edge = 0.3
        odd = ((x // edge + y // edge) % 2)[..., None]
        joint = (x % edge < 0.012) | (y % edge < 0.012)
        veins = 0.08 * noise(height, width, texel, rng, 0.3, 0.012)
        return tinted(np.where(odd, np.float32(light), np.float32(dark)),
                      np.where(joint, -0.3, veins))
    return paint


def fabric(color, check):
    """Return checked cloth."""
    def paint(height, width, texel, rng):
        x, y = metres(height, width, texel)
        share = 0.5 * ((x % 0.18 < 0.06).astype(np.float32) + (y % 0.18 < 0.06))
        base = (1 - share[..., None]) * np.float32(color) + share[..., None] * np.float32(check)
        return tinted(base, 0.10 * noise(height, width, texel, rng, 0.15, 0.012))
    return paint


def carpet(field, border):
    """Return an oriental carpet: nested borders around rows of lozenges."""
    def paint(height, width, texel, rng):
        x, y = metres(height, width, texel)
        inset = np.minimum(np.minimum(x, width * texel - x), np.minimum(y, height * texel - y))
        lozenge = np.abs((x % 0.3) - 0.15) + np.abs((y % 0.3) - 0.15)
        pattern = np.where(inset < 0.2, (inset % 0.08) < 0.04, (lozenge % 0.1) < 0.05)
        base = np.where(pattern[..., None], np.float32(border), np.float32(field))
        return tinted(base, 0.10 * noise(height, width, texel, rng, 0.1, 0.012))
    return paint


def books(height, width, texel, rng):
    """Paint a row of book spines."""
    palette = np.float32([[150, 50, 40], [40, 80, 120], [200, 170, 90], [60, 110, 70],
                          [220, 210, 190], [90, 50, 90], [200, 110, 50], [50, 50, 60]])
    edges = np.cumsum(rng.uniform(0.025, 0.06, int(width * texel / 0.025) + 2))
    x, y = metres(height, width, texel)
    book = np.searchsorted(edges, x)
    base = palette[rng.integers(0, len(palette), len(edges) + 1)[book]]
    band = np.abs(y - (height * texel) * rng.uniform(0.2, 0.8, len(edges) + 1)[book]) < 0.02
    gap = np.abs(x - edges[np.maximum(book - 1, 0)]) < 0.006
    return tinted(base, 0.4 * band - 0.6 * gap + 0.05 * noise(height, width, texel, rng, 0.1))


def painting(*colors):
    """Return an abstract picture of overlapping discs and bars, in a dark frame."""
    def paint(height, width, texel, rng):
        canvas = np.full((height, width, 3), colors[0], np.float32)
        for index in range(26):
            color = [float(value) for value in colors[1 + index % (len(colors) - 1)]]
            x, y = (int(value) for value in rng.uniform(0, 1, 2) * (width, height))
            size = int(rng.uniform(0.06, 0.25) * min(width, height))
            if index % 3:
                cv2.circle(canvas, (x, y), size, color, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(canvas, (x, y), (x + 3 * size, y + size // 2), color, -1)
        frame = max(round(0.04 / texel), 1)
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), (60.0, 40.0, 25.0), 2 * frame)
        return tinted(canvas, 0.06 * noise(height, width, texel, rng, 0.1, 0.012))
    return paint


def window(height, width, texel, rng):
    """Paint a window: sky with clouds over hills, behind white bars."""
    x, y = metres(height, width, texel)
    up = (y / (height * texel))[..., None]
    clouds = noise(height, width, texel, rng, 0.6, 0.03, stretch=2.0)[..., None]
    sky = np.float32([225, 235, 245]) * (1 - up) + np.float32([110, 165, 225]) * up
    sky += np.clip(clouds - 0.2, 0, 1) * (255 - sky)
    crest = 0.30 + 0.10 * np.sin(x * 2.3 + 1.0) + 0.05 * np.sin(x * 7.1)
    trees = np.float32([90, 130, 70]) * (
        1 + 0.25 * noise(height, width, texel, rng, 0.2, 0.02)[..., None])
    picture = np.where((up[..., 0] < crest)[..., None], trees, sky)
    across, along = width * texel, height * texel
    bars = (np.minimum(x, across - x) < 0.06) | (np.minimum(y, along - y) < 0.06)
    bars |= (np.abs(x - across / 2) < 0.03) | (np.abs(y - 0.6 * along) < 0.02)
    return np.where(bars[..., None], np.float32([235, 230, 220]), picture) / 255.0

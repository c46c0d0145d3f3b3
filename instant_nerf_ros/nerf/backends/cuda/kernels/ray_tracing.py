"""The Triton kernel that follows rays until their light ends: march, encode, density, weight.

One program carries BLOCK rays at a time, and a lane whose ray has ended takes the next one, so
that all lanes stay busy and nothing is asked of the field behind the first opaque surface. What
comes of it goes to a buffer that all programs share, in the order in which it is found; the
samples of a ray are a list, from the last one to the first.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.hash_grid import encode
from instant_nerf_ros.nerf.backends.cuda.kernels.layers import (
    color_network,
    column,
    density_of,
    harmonics,
    relu,
    weights,
)
from instant_nerf_ros.nerf.backends.cuda.kernels.marching import MAX_SAMPLES, advance, clip

MIN_TRANSMITTANCE = tl.constexpr(constants.MIN_TRANSMITTANCE)
# Columns of a sample: start, end, density, weight, transmittance behind it, colour. Eight floats
# are one sector of memory: a walk along a list reads one per sample.
SAMPLE = tl.constexpr(8)
LEFT_OUT = tl.constexpr(-1.0)  # opacity of a ray whose samples found no room


@triton.jit(do_not_specialize=['rays', 'nx', 'ny', 'nz'])
def trace(
    origins, directions, jitter, surfaces, rays,
    density_state, corner, nx, ny, nz, voxel_size, near, far, min_step, cone, band, band_samples,
    table, scales, entries, hidden, output, first, second, last, extent,
    turn, count, capacity, samples, links, positions, encodings, geometries,
    colors, distances, opacities, medians, ends,
    LEVELS: tl.constexpr, SLOTS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr,
    RENDER_ONLY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Trace rays (R,); turn (1,) and count (1,) int32 are zero at first.

    With RENDER_ONLY the colours are found too, where the field was asked before, and pixels are all that
    is left of the samples. Else sample n, of those that light comes from, is written: samples
    (N, SAMPLE), links (N, 2): its ray and the one before it, positions (N, 3) in metres,
    encodings and geometries, half; and for each ray the last of its samples, or -1.
    """
    encoded_width: tl.constexpr = SLOTS * 4
    to_hidden = weights(hidden, HIDDEN, LEVELS * 4, LEVELS * 4, WIDTH, encoded_width, True)
    to_geometry = weights(output, 16, HIDDEN, HIDDEN, 16, WIDTH, True)
    if RENDER_ONLY:
        first_d = weights(first, HIDDEN, 16, 32, WIDTH, 16, True)
        first_g = weights(first + 16, HIDDEN, 16, 32, WIDTH, 16, True)
        to_second = weights(second, HIDDEN, HIDDEN, HIDDEN, WIDTH, WIDTH, True)
        to_colors = weights(last, 3, HIDDEN, HIDDEN, 16, WIDTH, True)
    zero = tl.zeros((BLOCK,), tl.float32)
    ox, oy, oz, dx, dy, dz = zero, zero, zero, zero, zero, zero
    t, end, surface = zero, zero, zero
    transmittance, opacity, distance, median = zero, zero, zero, zero
    red, green, blue = zero, zero, zero
    ray = tl.zeros((BLOCK,), tl.int32)
    number, around, previous = ray, ray, ray
    alive = ray > 0
    busy = 1
    while busy > 0:
        # Lanes without a ray take the next ones.
        free = alive == 0
        free_count = tl.sum(free.to(tl.int32), 0)
        begin = tl.atomic_add(turn, free_count, sem='relaxed')
        mine = begin + tl.cumsum(free.to(tl.int32), 0) - 1
        new = free & (mine < rays)
        ray = tl.where(new, mine, ray)
        ox = tl.load(origins + ray * 3, mask=new, other=0.0) + tl.where(new, 0.0, ox)
        oy = tl.load(origins + ray * 3 + 1, mask=new, other=0.0) + tl.where(new, 0.0, oy)
        oz = tl.load(origins + ray * 3 + 2, mask=new, other=0.0) + tl.where(new, 0.0, oz)
        dx = tl.load(directions + ray * 3, mask=new, other=0.0) + tl.where(new, 0.0, dx)
        dy = tl.load(directions + ray * 3 + 1, mask=new, other=0.0) + tl.where(new, 0.0, dy)
        dz = tl.load(directions + ray * 3 + 2, mask=new, other=0.0) + tl.where(new, 0.0, dz)
        surface = tl.load(surfaces + ray, mask=new, other=0.0) + tl.where(new, 0.0, surface)
        enter, leave = clip(ox, oy, oz, dx, dy, dz, corner, nx, ny, nz, voxel_size, near, far)
        shift = tl.load(jitter + ray, mask=new, other=0.0)
        t = tl.where(new, enter + shift * tl.maximum(cone * enter, min_step), t)
        leave = tl.where(surface > 0, tl.minimum(leave, surface - band), leave)
        end = tl.where(new, leave, end)
        number, around = tl.where(new, 0, number), tl.where(new, 0, around)
        previous = tl.where(new, -1, previous)
        transmittance = tl.where(new, 1.0, transmittance)
        opacity, distance = tl.where(new, 0.0, opacity), tl.where(new, 0.0, distance)
        median = tl.where(new, 0.0, median)
        alive = alive | new

        found, t_start, t_end, t, number, around = advance(
            alive, t, end, number, around, surface, ox, oy, oz, dx, dy, dz,
            density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples,
            MAX_SAMPLES, RENDER_ONLY)
        ended = alive & (found == 0)
        middle = (t_start + t_end) * 0.5
        x, y, z = ox + middle * dx, oy + middle * dy, oz + middle * dz
        encoding = encode(
            x / extent + 0.5, y / extent + 0.5, z / extent + 0.5, found, table, scales, entries,
            LEVELS, SLOTS).to(tl.float16)
        geometry = tl.dot(relu(tl.dot(encoding, to_hidden)), to_geometry)
        density = density_of(column(geometry, 0))
        kept = tl.exp(-density * (t_end - t_start))
        weight = tl.where(found, transmittance * (1 - kept), 0.0)
        half = found & (opacity < 0.5) & (opacity + weight >= 0.5)
        share = (0.5 - opacity) / tl.where(half, weight, 1.0)
        median = tl.where(half, t_start + share * (t_end - t_start), median)
        opacity += weight
        distance += weight * middle
        transmittance = tl.where(found, transmittance * kept, transmittance)
        if RENDER_ONLY:
            rendered, _, _ = color_network(
                harmonics(dx, dy, dz), geometry.to(tl.float16),
                first_d, first_g, to_second, to_colors)
            red = tl.where(new, 0.0, red) + tl.where(found, weight * column(rendered, 0), 0.0)
            green = tl.where(new, 0.0, green) + tl.where(found, weight * column(rendered, 1), 0.0)
            blue = tl.where(new, 0.0, blue) + tl.where(found, weight * column(rendered, 2), 0.0)
        else:
            place = tl.atomic_add(count, tl.sum(found.to(tl.int32), 0), sem='relaxed')
            n = place + tl.cumsum(found.to(tl.int32), 0) - 1
            stored = found & (n < capacity)
            tl.store(samples + n * SAMPLE, t_start, mask=stored)
            tl.store(samples + n * SAMPLE + 1, t_end, mask=stored)
            tl.store(samples + n * SAMPLE + 2, density, mask=stored)
            tl.store(samples + n * SAMPLE + 3, weight, mask=stored)
            tl.store(samples + n * SAMPLE + 4, transmittance, mask=stored)
            tl.store(links + n * 2, ray, mask=stored)
            tl.store(links + n * 2 + 1, previous, mask=stored)
            tl.store(positions + n * 3, x, mask=stored)
            tl.store(positions + n * 3 + 1, y, mask=stored)
            tl.store(positions + n * 3 + 2, z, mask=stored)
            c = tl.arange(0, encoded_width)[None, :]
            tl.store(encodings + (n[:, None] * encoded_width + c), encoding, mask=stored[:, None])
            c = tl.arange(0, 16)[None, :]
            tl.store(geometries + (n[:, None] * 16 + c), geometry.to(tl.float16),
                     mask=stored[:, None])  # fmt: skip
            previous = tl.where(stored, n, previous)
            full = found & (n >= capacity)
            opacity = tl.where(full, LEFT_OUT, opacity)
            ended = ended | full
        ended = ended | (found & (transmittance < MIN_TRANSMITTANCE))
        if RENDER_ONLY:
            tl.store(colors + ray * 3, red, mask=ended)
            tl.store(colors + ray * 3 + 1, green, mask=ended)
            tl.store(colors + ray * 3 + 2, blue, mask=ended)
        else:
            tl.store(ends + ray, previous, mask=ended)
        tl.store(distances + ray, distance, mask=ended)
        tl.store(opacities + ray, opacity, mask=ended)
        tl.store(medians + ray, median, mask=ended)
        alive = alive & (ended == 0)
        busy = tl.max(alive.to(tl.int32), 0) | (begin + free_count < rays).to(tl.int32)

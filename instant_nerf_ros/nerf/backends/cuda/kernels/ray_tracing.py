"""The Triton kernel that traces rays until they are opaque: march, encode, density, weight.

A program traces BLOCK rays at a time, one in each lane. A lane whose ray has ended takes the next
ray, so that all lanes stay busy and the field is not evaluated behind the first opaque surface.
The samples are written to a buffer that all programs share, in the order in which they are found:
those of a ray are a linked list, from the last one to the first.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.hash_grid import encode
from instant_nerf_ros.nerf.backends.cuda.kernels.layers import (
    color_network,
    column,
    density_of,
    load_weights,
    relu,
    spherical_harmonics,
)
from instant_nerf_ros.nerf.backends.cuda.kernels.marching import MAX_SAMPLES, advance, clip

MIN_TRANSMITTANCE = tl.constexpr(constants.MIN_TRANSMITTANCE)
# Of a sample: start, end, density, weight, transmittance behind it, color. Eight floats are one
# sector of memory: a walk along a list reads one per sample.
SAMPLE_COLUMNS = tl.constexpr(8)
LEFT_OUT = tl.constexpr(-1.0)  # opacity of a ray whose samples exceed the capacity


@triton.jit(do_not_specialize=['rays', 'nx', 'ny', 'nz'])
def trace(
    origins, directions, jitter, surfaces, rays,
    density_state, corner, nx, ny, nz, voxel_size, near, far, min_step, cone, band, band_samples,
    table, scales, entries, hidden, output, hidden1, hidden2, color_output, extent,
    next_ray, count, capacity, samples, links, positions, encodings, geometries,
    colors, distances, opacities, medians, last_samples,
    LEVELS: tl.constexpr, SLOTS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr,
    RENDER_ONLY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Trace rays (R,); next_ray (1,) and count (1,) int32 must be zero.

    With RENDER_ONLY, the SOLID voxels alone are sampled, and the colors of the rays are written,
    but no samples. Else the visible samples are written: samples (N, SAMPLE_COLUMNS) without
    colors, links (N, 2): the ray and the previous sample of the ray, or -1, positions (N, 3) [m],
    encodings and geometries, half; and the last sample of each ray, or -1.
    """
    encoded_width: tl.constexpr = SLOTS * 4
    hidden_weights = load_weights(
        hidden, HIDDEN, LEVELS * 4, LEVELS * 4, WIDTH, encoded_width, True)
    output_weights = load_weights(output, 16, HIDDEN, HIDDEN, 16, WIDTH, True)
    if RENDER_ONLY:
        directions_weights = load_weights(hidden1, HIDDEN, 16, 32, WIDTH, 16, True)
        features_weights = load_weights(hidden1 + 16, HIDDEN, 16, 32, WIDTH, 16, True)
        hidden2_weights = load_weights(hidden2, HIDDEN, HIDDEN, HIDDEN, WIDTH, WIDTH, True)
        colors_weights = load_weights(color_output, 3, HIDDEN, HIDDEN, 16, WIDTH, True)
    zero = tl.zeros((BLOCK,), tl.float32)
    ox, oy, oz, dx, dy, dz = zero, zero, zero, zero, zero, zero
    t, end, surface = zero, zero, zero
    transmittance, opacity, distance, median = zero, zero, zero, zero
    red, green, blue = zero, zero, zero
    ray = tl.zeros((BLOCK,), tl.int32)
    front_count, band_count, previous = ray, ray, ray
    alive = ray > 0
    busy = 1
    while busy > 0:
        # Lanes without a ray take the next ones.
        free = alive == 0
        free_count = tl.sum(free.to(tl.int32), 0)
        begin = tl.atomic_add(next_ray, free_count, sem='relaxed')
        taken = begin + tl.cumsum(free.to(tl.int32), 0) - 1
        new = free & (taken < rays)
        ray = tl.where(new, taken, ray)
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
        front_count, band_count = tl.where(new, 0, front_count), tl.where(new, 0, band_count)
        previous = tl.where(new, -1, previous)
        transmittance = tl.where(new, 1.0, transmittance)
        opacity, distance = tl.where(new, 0.0, opacity), tl.where(new, 0.0, distance)
        median = tl.where(new, 0.0, median)
        alive = alive | new

        found, t_start, t_end, t, front_count, band_count = advance(
            alive, t, end, front_count, band_count, surface, ox, oy, oz, dx, dy, dz,
            density_state, corner, nx, ny, nz, voxel_size, min_step, cone, band, band_samples,
            MAX_SAMPLES, RENDER_ONLY)
        ended = alive & (found == 0)
        middle = (t_start + t_end) * 0.5
        x, y, z = ox + middle * dx, oy + middle * dy, oz + middle * dz
        encoding = encode(
            x / extent + 0.5, y / extent + 0.5, z / extent + 0.5, found, table, scales, entries,
            LEVELS, SLOTS).to(tl.float16)
        geometry = tl.dot(relu(tl.dot(encoding, hidden_weights)), output_weights)
        density = density_of(column(geometry, 0))
        transmitted = tl.exp(-density * (t_end - t_start))
        weight = tl.where(found, transmittance * (1 - transmitted), 0.0)
        is_median = found & (opacity < 0.5) & (opacity + weight >= 0.5)
        share = (0.5 - opacity) / tl.where(is_median, weight, 1.0)
        median = tl.where(is_median, t_start + share * (t_end - t_start), median)
        opacity += weight
        distance += weight * middle
        transmittance = tl.where(found, transmittance * transmitted, transmittance)
        if RENDER_ONLY:
            color, _, _ = color_network(
                spherical_harmonics(dx, dy, dz), geometry.to(tl.float16),
                directions_weights, features_weights, hidden2_weights, colors_weights)
            red = tl.where(new, 0.0, red) + tl.where(found, weight * column(color, 0), 0.0)
            green = tl.where(new, 0.0, green) + tl.where(found, weight * column(color, 1), 0.0)
            blue = tl.where(new, 0.0, blue) + tl.where(found, weight * column(color, 2), 0.0)
        else:
            first = tl.atomic_add(count, tl.sum(found.to(tl.int32), 0), sem='relaxed')
            n = first + tl.cumsum(found.to(tl.int32), 0) - 1
            stored = found & (n < capacity)
            tl.store(samples + n * SAMPLE_COLUMNS, t_start, mask=stored)
            tl.store(samples + n * SAMPLE_COLUMNS + 1, t_end, mask=stored)
            tl.store(samples + n * SAMPLE_COLUMNS + 2, density, mask=stored)
            tl.store(samples + n * SAMPLE_COLUMNS + 3, weight, mask=stored)
            tl.store(samples + n * SAMPLE_COLUMNS + 4, transmittance, mask=stored)
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
            tl.store(last_samples + ray, previous, mask=ended)
        tl.store(distances + ray, distance, mask=ended)
        tl.store(opacities + ray, opacity, mask=ended)
        tl.store(medians + ray, median, mask=ended)
        alive = alive & (ended == 0)
        busy = tl.max(alive.to(tl.int32), 0) | (begin + free_count < rays).to(tl.int32)

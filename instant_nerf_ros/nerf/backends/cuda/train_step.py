"""Whole training steps and whole views of the GPU backend.

What is launched here runs one after the other on the GPU, while the host is ahead of it. The host
waits once in a step, for the terms of the loss and the number of samples, when the way back
through the layers is already launched: the GPU has work, and runs dry at no time.
"""
import torch
import triton

from instant_nerf_ros.nerf.backends.cuda.kernels import hash_grid, pixels, networks
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE, Report, resident
from instant_nerf_ros.nerf.backends.reference import FEATURES, GEOMETRY
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import SAMPLE, trace

NAMES = 'color', 'distortion', 'opacity', 'depth', 'free_space'  # of the terms of the loss
UNMEASURED, TERMS = 3, 5  # of any ray, of all
GAIN = 128.0  # of the gradients of a ray, so that they fit into half precision
TRACED, SEEN, TAUGHT, SPREAD = 128, 128, 64, 128  # rays and samples of a program


class Room:
    """What a step writes: samples, as many as fit, and numbers."""

    def __init__(self, capacity, columns):
        def make(*shape, kind=torch.float32):
            return torch.empty(capacity, *shape, dtype=kind, device=DEVICE)

        self.capacity = capacity
        self.samples, self.positions, self.slopes = make(SAMPLE.value), make(3), make(4)
        self.links = make(2, kind=torch.int32)
        self.encodings = make(columns, kind=torch.float16)
        self.geometries = make(GEOMETRY, kind=torch.float16)
        # Terms of the loss, float32; rays taken, samples, rays measured.
        self.numbers = torch.zeros(TERMS + 3, dtype=torch.int32, device=DEVICE)
        self.terms = self.numbers[:TERMS].view(torch.float32)
        self.turn, self.count, self.measured = self.numbers[TERMS:].split(1)
        self.report = Report(self.numbers)
        self.gain = GAIN
        self.taken = True  # by Adam: the gradients are zero


def learn(field, rays, occupancy, config, jitter, background, stride, budget):
    """See lesson.learn; returns the values of a Lesson in their order."""
    geometry, color = field.geometry, field.color
    room = _room(geometry, 2 * budget)
    geometry.refresh()
    if not room.taken:
        for slopes in (geometry.slopes, geometry.matrices.slopes, color.matrices.slopes):
            slopes.zero_()
    room.taken, room.gain = False, GAIN * len(rays)
    room.numbers.zero_()
    rays = _moved(rays)
    jitter, background = jitter.to(DEVICE), background.to(DEVICE)
    colors, distances, opacities, medians, ends = _shown(len(rays))
    _trace(field, rays, occupancy, config.sampling, jitter, stride, room,
           colors, distances, opacities, medians, ends, look=False)
    counted = room.count, room.capacity
    widths = {'HIDDEN': color.hidden2.shape[0], 'WIDTH': geometry.width}
    seen = room.links, rays.directions, room.geometries
    weights = color.hidden1, color.hidden2, color.output
    networks.color[(resident(4),)](
        *seen, *weights, *counted, room.samples, **widths, BLOCK=SEEN)
    loss = config.loss
    pixels.compare[(triton.cdiv(len(rays), TRACED),)](
        rays.pixels, background, rays.surfaces, len(rays), room.samples, room.links, ends,
        colors, distances, opacities, room.slopes, room.terms, room.measured,
        loss.huber_delta, loss.distortion_weight, loss.opacity_weight, loss.depth_weight,
        loss.free_space_weight, config.sampling.surface_band, GAIN, TRACED)
    room.report.send(room.numbers)
    networks.color_back[(resident(2),)](
        *seen, *weights, room.slopes, *counted, *color.matrices.split(color.matrices.slopes),
        **widths, BLOCK=TAUGHT, num_warps=8)
    networks.geometry_back[(resident(2),)](
        room.encodings, room.geometries, geometry.hidden, geometry.output, *counted,
        *geometry.matrices.split(geometry.matrices.slopes),
        ENCODED=geometry.levels * FEATURES, COLUMNS=geometry.columns, **widths, BLOCK=TAUGHT)
    hash_grid.scatter[(triton.cdiv(room.capacity, SPREAD), geometry.levels)](
        room.positions, room.encodings, *counted, geometry.scales, geometry.slopes,
        geometry.entries, field.extent, geometry.columns, SPREAD)
    numbers = room.report.read()
    _, count, measured = numbers[TERMS:].tolist()
    lit = min(count, room.capacity)
    terms = numbers[: TERMS if measured else UNMEASURED].view(torch.float32).tolist()
    return (dict(zip(NAMES, terms)), colors, distances, opacities, medians,
            room.positions[:lit], room.samples[:lit, 2])


@torch.no_grad()
def look(field, rays, occupancy, sampling, stride):
    """See render.look; returns colours (R, 3), median distances (R,), opacities (R,)."""
    field.geometry.refresh()
    rays = _moved(rays)
    middle = torch.full((len(rays),), 0.5, device=DEVICE)
    colors, distances, opacities, medians, ends = _shown(len(rays))
    _trace(field, rays, occupancy, sampling, middle, stride, None,
           colors, distances, opacities, medians, ends, look=True)
    return colors, medians, opacities


def _trace(
    field, rays, occupancy, sampling, jitter, stride, room,
    colors, distances, opacities, medians, ends, look,
):  # fmt: skip
    geometry, color = field.geometry, field.color
    if room:
        buffers = (
            room.turn, room.count, room.capacity, room.samples, room.links, room.positions,
            room.encodings, room.geometries)
    else:
        turn = torch.zeros(1, dtype=torch.int32, device=DEVICE)
        buffers = turn, turn, 0, colors, ends, colors, geometry.half, geometry.half  # unused
    trace[(min(resident(4), triton.cdiv(len(rays), TRACED)),)](
        rays.origins, rays.directions, jitter, rays.surfaces, len(rays),
        occupancy.voxels, occupancy.origin, *occupancy.shape, occupancy.voxel_size,
        sampling.near, sampling.far, stride * sampling.min_step, stride * sampling.cone,
        sampling.surface_band, sampling.surface_samples,
        geometry.half, geometry.scales, geometry.entries, geometry.hidden, geometry.output,
        color.hidden1, color.hidden2, color.output, field.extent, *buffers,
        colors, distances, opacities, medians, ends,
        geometry.levels, geometry.slots, geometry.hidden.shape[0], geometry.width, look, TRACED,
        num_warps=8)


def _room(geometry, capacity):
    if geometry.room is None or geometry.room.capacity != capacity:
        geometry.room = None  # its memory is free before the next one takes its own
        geometry.room = Room(capacity, geometry.columns)
    return geometry.room


def _moved(rays):
    """Return rays with all their tensors on the device."""
    return type(rays)(*(values.to(DEVICE).contiguous() for values in vars(rays).values()))


def _shown(count):
    """Return colours (R, 3), distances, opacities, medians, and the last samples, (R,)."""
    return (torch.empty(count, 3, device=DEVICE), *torch.empty(3, count, device=DEVICE),
            torch.empty(count, dtype=torch.int32, device=DEVICE))  # fmt: skip

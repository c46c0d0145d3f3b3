"""Evidence: where the rays of a keyframe end, and up to where they cross nothing."""
import torch

from instant_nerf_ros.nerf.capture import rays
from instant_nerf_ros.nerf.field import render

MEASURED = 16384  # rays of a depth image that tell: some for each voxel in sight
RENDERED = 2048  # rays of a look at a keyframe without depth
LEARNT = 1024  # rays drawn from a keyframe before what the field shows of it tells anything
NOISE = 0.005  # [1/m], times the distance squared: three sigmas of a structured-light camera
# (Nguyen, Izadi and Lovell 2012, "Modeling Kinect sensor noise", eq. 3)
SCAN_NOISE = 0.05  # metres, of a lidar
LARGEST_ERROR = 0.15  # of a colour channel
LEAST_OPACITY = 0.95
PLACES, BEYOND = 24, 1.2  # where a ray is probed: so often, up to so many times the median
GLIMMER = 0.01  # opacity that nothing has before it is there
SHARP = 0.2, 0.8  # largest opacity before a sharp surface, least one behind it
SHARPNESS = 0.1  # half the width that it may have, per distance
CAUTION = 0.9  # of the way to the first glimmer: the field is as exact as the poses of its images


def tell_measured(keyframes, k, occupancy, generator):
    """Let the depth image of keyframe k, if it has one, vote on the voxels."""
    seen = rays.of_keyframe(keyframes, k, MEASURED, generator)
    seen = seen.where(seen.surfaces > 0).to(occupancy.backend.DEVICE)
    if len(seen):
        told = measured(seen, occupancy.voxel_size)
        occupancy.carve(seen, *told, True, keyframes.numbers[k])


def tell_again(seen, occupancy, number):
    """Let measured Rays from where others were vote before, under a number of their own.

    What the same look says again and again is no new evidence, and must not outvote looks from
    elsewhere: beside a surface, voxels are crossed in part. So these rays cross only voxels that
    touch none in which one of them ends. What comes is there, and what goes clears, all the same.
    """
    seen = seen.where(seen.surfaces > 0).to(occupancy.backend.DEVICE)
    if len(seen):
        distances, reaches = measured(seen, occupancy.voxel_size)
        nowhere = torch.zeros_like(distances)
        occupancy.carve(seen, distances, nowhere, True, number)
        occupancy.abstain(seen.origins + distances[:, None] * seen.directions, number)
        occupancy.carve(seen, nowhere, reaches, True, number)


def tell_scan(seen, occupancy, number):
    """Let the Rays of a scan of a range sensor vote, as a keyframe of that number."""
    seen = seen.to(occupancy.backend.DEVICE)
    reaches = (seen.surfaces - occupancy.voxel_size - SCAN_NOISE).clamp(min=0)
    occupancy.carve(seen, seen.surfaces, reaches, True, number)


def tell_rendered(keyframes, turn, occupancy, generator, field, config, backend, stride):
    """Let what the field shows of a keyframe vote, if that is learnt and has no depth.

    turn counts the calls: it is the keyframes' one after the other. The other arguments are those
    of render.look.
    """
    k = turn % len(keyframes)
    if keyframes.draws[k] < LEARNT:
        return
    seen = rays.of_keyframe(keyframes, k, RENDERED, generator)
    if not seen.surfaces.any():
        seen = seen.to(backend.DEVICE)
        shown = render.look(field, seen, occupancy, config, backend, stride)
        told = rendered(field, seen, *shown, occupancy.voxel_size)
        occupancy.carve(seen, *told, False, keyframes.numbers[k])


def measured(seen, voxel_size):
    """Return the distances (R,) at which measured rays end, and their reaches (R,), metres.

    A ray stays clear of its end by a voxel and the noise of the sensor, as the voxels of the
    surface must not look crossed.
    """
    distances = seen.surfaces
    return distances, (distances - voxel_size - NOISE * distances**2).clamp(min=0)


@torch.no_grad()
def rendered(field, seen, colors, medians, opacities, voxel_size):
    """Return distances and reaches as `measured` does, of what render.look shows; 0 = unknown.

    A ray ends at its median distance if the field shows what the camera saw, and lets nothing
    shine through. It crosses free space only before a sharp surface, and only up to where the
    first light is absorbed: what is fog yet may turn out to be anything.
    """
    error = (colors - seen.pixels / 255).abs().amax(-1)
    explained = (error < LARGEST_ERROR) & (opacities > LEAST_OPACITY) & (medians > 0)
    # To ask for all costs a GPU less than to wait until the host knows how many these are.
    chosen = explained if explained.device.type == 'cpu' else slice(None)
    reaches = torch.zeros_like(medians)
    reaches[chosen] = _reaches(field, seen.where(chosen), medians[chosen], voxel_size)
    return tuple(torch.where(explained, values, 0.0) for values in (medians, reaches))


def _reaches(field, seen, medians, voxel_size):
    """Return how far (R,) rays that end at medians (R,) cross nothing, metres; see `rendered`."""
    step = BEYOND / PLACES
    shares = (torch.arange(PLACES, device=medians.device) + 0.5) * step
    along = medians[:, None] * shares
    positions = seen.origins[:, None] + along[..., None] * seen.directions[:, None]
    densities = field.density(positions.reshape(-1, 3)).reshape(along.shape)
    absorbed = -torch.expm1(-(densities * medians[:, None] * step).cumsum(-1))
    before, behind = (
        absorbed[:, round(share / step) - 1] for share in (1 - SHARPNESS, 1 + SHARPNESS))
    sharp = (before < SHARP[0]) & (behind > SHARP[1])
    clear = (absorbed < GLIMMER).sum(-1) * step * medians
    reaches = (CAUTION * clear.minimum(medians) - voxel_size).clamp(min=0)
    return torch.where(sharp, reaches, 0.0)

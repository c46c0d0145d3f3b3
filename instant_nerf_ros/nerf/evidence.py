"""Evidence: where rays end, as far as that is known."""
import torch

LARGEST_ERROR = 0.1  # of a colour channel
LEAST_OPACITY = 0.95
LARGEST_SPREAD = 0.05  # between mean and median distance, per distance


@torch.no_grad()
def ends(learnt, rays):
    """Return the distance (R,) at which each ray of a Lesson ends, metres; 0 where nobody knows.

    A measured surface ends a ray. Without one the field knows, if it shows what the camera saw,
    lets nothing shine through, and takes its light from one place: mean and median agree.
    """
    medians = learnt.medians
    error = (learnt.colors - rays.pixels / 255).abs().amax(-1)
    means = learnt.distances / learnt.opacities.clamp(min=LEAST_OPACITY)
    credible = (
        (error < LARGEST_ERROR)
        & (learnt.opacities > LEAST_OPACITY)
        & ((means - medians).abs() < LARGEST_SPREAD * medians)
    )
    known = torch.where(credible, medians, 0.0)
    return torch.where(rays.surfaces > 0, rays.surfaces, known)

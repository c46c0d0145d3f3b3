"""The buffers of a training step on the GPU: samples up to a capacity, and counters."""
import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE, Report
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import SAMPLE_COLUMNS
from instant_nerf_ros.nerf.constants import GEOMETRY, LOSS_TERMS

TERMS = len(LOSS_TERMS)
GAIN = 128.0  # of the gradients of a ray, so that they fit into half precision


class StepBuffers:
    """Buffers for so many samples, whose encodings have so many columns."""

    def __init__(self, capacity: int, columns: int) -> None:
        def make(*shape: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.empty(capacity, *shape, dtype=kind, device=DEVICE)

        self.capacity = capacity
        self.samples, self.positions = make(SAMPLE_COLUMNS.value), make(3)
        self.gradients = make(4)  # of colors and log density, see kernels.pixels
        self.links = make(2, kind=torch.int32)
        self.encodings = make(columns, kind=torch.float16)
        self.geometries = make(GEOMETRY, kind=torch.float16)
        # Terms of the loss, float32; rays taken, samples, rays with a measured distance.
        self.numbers = torch.zeros(TERMS + 3, dtype=torch.int32, device=DEVICE)
        self.terms = self.numbers[:TERMS].view(torch.float32)
        self.next_ray, self.count, self.measured = self.numbers[TERMS:].split(1)
        self.report = Report(self.numbers)
        self.gain = GAIN
        self.gradients_used = True  # by the optimizer, which leaves them zero

    def begin(self, rays: int) -> bool:
        """Begin a step of so many rays; return whether the gradients are zero already."""
        cleared, self.gradients_used = self.gradients_used, False
        self.gain = GAIN * rays
        self.numbers.zero_()
        return cleared

    def mark_used(self) -> None:
        """Record that the optimizer has used the gradients, and has set them to zero."""
        self.gradients_used = True

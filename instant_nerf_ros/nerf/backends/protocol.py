"""Backend: the interface between the mapper and the code that computes.

A backend is a module with these names. `reference` is the specification: its functions state
shapes, units and formulas in full. The parameters of the networks have the same names and shapes
in all backends.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.keyframes import Keyframes
    from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
    from instant_nerf_ros.nerf.config import Config, SamplingConfig
    from instant_nerf_ros.nerf.field.radiance_field import RadianceField
    from instant_nerf_ros.nerf.field.train_step import StepResult
    from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

First = TypeVar('First')
Second = TypeVar('Second')


class Geometry(Protocol):
    """Hash grid and MLP: the log density and the features on which the color depends."""

    def __call__(self, positions: Tensor) -> Tensor:
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY), float32; the first is log density."""

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Return names and values: table, hidden, output."""

    def zero_grad(self) -> None:
        """Clear the gradients."""


class Color(Protocol):
    """MLP: view directions and geometry -> colors."""

    def __call__(self, directions: Tensor, ray_indices: Tensor, geometry: Tensor) -> Tensor:
        """Map geometry (N, GEOMETRY) to colors (N, 3) in [0, 1].

        Sample n is seen along the unit direction directions[ray_indices[n]].
        """

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Return names and values: hidden1, hidden2, output."""

    def zero_grad(self) -> None:
        """Clear the gradients."""


class Optimizer(Protocol):
    """Adam for both networks (Kingma and Ba 2015); untouched grid entries do not change."""

    def step(self, learning_rate: float, ranks: Ranks = ALONE) -> None:
        """Update all parameters from the gradients of the last training step, of all ranks."""


class Backend(Protocol):
    """What a backend module defines."""

    @property
    def NAME(self) -> str:  # noqa: N802
        """Return its name, for settings and logs."""

    @property
    def DEVICE(self) -> str:  # noqa: N802
        """Return the device of its tensors, 'cpu' or 'cuda'."""

    @property
    def SAMPLES(self) -> int:  # noqa: N802
        """Return the number of samples of a training step that suits it."""

    def description(self) -> str:
        """Return the hardware in use, for the log."""

    def GeometryNetwork(  # noqa: N802
        self, scales: Sequence[float], log2_table: int, hidden: int,
    ) -> Geometry:  # fmt: skip
        """Return the geometry network with one level per scale, of 2**log2_table entries."""

    def ColorNetwork(self, hidden: int) -> Color:  # noqa: N802
        """Return the color network with hidden layers of this width."""

    def Adam(  # noqa: N802
        self, geometry: Geometry, color: Color, beta1: float, beta2: float, epsilon: float,
        weight_decay: float,
    ) -> Optimizer:  # fmt: skip
        """Return the optimizer of two networks of this backend."""

    def train_step(
        self, field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: Config,
        jitter: Tensor, background: Tensor, stride: float, budget: int,
    ) -> StepResult:  # fmt: skip
        """Leave the gradients of the loss of R rays in the field.

        jitter (R,), background (R, 3) in [0, 1); stride multiplies the steps along the rays;
        budget is the expected number of samples: of many more, some may be left out. The tensors
        of the result are valid until the next call. Raises RuntimeError if memory is exhausted.
        """

    def render_rays(
        self, field: RadianceField, rays: Rays, occupancy: OccupancyGrid,
        config: SamplingConfig, stride: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return colors (R, 3) over black, median distances (R,) [m] and opacities (R,)."""

    def sample_rays(
        self, keyframes: Keyframes, count: int, generator: np.random.Generator,
        error_share: float,
    ) -> tuple[Rays, RaySources]:  # fmt: skip
        """Sample count rays from the keyframes, error_share of them by the error map."""

    def update_error_map(
        self, keyframes: Keyframes, sources: RaySources, pixels: Tensor, colors: Tensor,
        opacities: Tensor,
    ) -> None:  # fmt: skip
        """Update the error map (and exposure) of keyframes; see Keyframes.update_error_map."""

    def update_density(
        self, positions: Tensor, densities: Tensor, density: Tensor, density_state: Tensor,
        grid_origin: Tensor, voxel_size: float, decay: float, threshold: Tensor | float,
    ) -> None:  # fmt: skip
        """Update density and density_state of voxels with densities (N,) at positions (N, 3)."""

    def integrate_rays(
        self, origins: Tensor, directions: Tensor, distances: Tensor, clear_distances: Tensor,
        measured: bool, weight: int, pixels: Tensor, keyframe: int, hits: Tensor, misses: Tensor,
        last_keyframe: Tensor, colors: Tensor, density_state: Tensor, grid_origin: Tensor,
        voxel_size: float,
    ) -> None:  # fmt: skip
        """Count the votes of the rays of one keyframe on the voxels."""

    def states(self, hits: Tensor, misses: Tensor) -> Tensor:
        """Return OCCUPIED, FREE or UNKNOWN for the votes on voxels, int8."""

    def survey_columns(
        self, states: NDArray[np.int8], climb: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:  # fmt: skip
        """Find what may be ground in the columns of states (nx, ny, nz)."""

    def classify_columns(
        self, states: NDArray[np.int8], hits: NDArray[np.uint8], misses: NDArray[np.uint8],
        bases: NDArray[np.int64], low: int, high: int, lower_share: float, obstacle_share: float,
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:  # fmt: skip
        """Return the state (nx, ny) and the share of hits (nx, ny) of columns."""

    def find_surfaces(
        self, distances: NDArray[np.float32], directions: NDArray[np.float32],
        origin: NDArray[np.float64], voxel_size: float,
    ) -> tuple[
        NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_],
    ]:  # fmt: skip
        """Return where rays of a depth image end and were clear, with which weight, which vote."""

    def plane_costs(
        self, image: NDArray[np.float32], others: NDArray[np.float32],
        affine: NDArray[np.float32], shift: NDArray[np.float32],
        inverse_depths: NDArray[np.float32], before: int,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return the matching costs (H, W, D) of an image with others at D inverse depths."""

    def smooth_costs(
        self, costs: NDArray[np.float32], gray: NDArray[np.uint8], step: float, jump: float,
        edge: float,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return costs (H, W, D) aggregated along paths (semi-global matching)."""

    def best_planes(
        self, total: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
        """Return the plane (H, W) of least cost, with sub-plane precision, and its margin."""

    def epipolar_gradients(
        self, image: NDArray[np.float32], other: NDArray[np.float32],
        affine: NDArray[np.float32], shift: NDArray[np.float32],
        inverse_depth: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
        """Return error, gradient and speed (H, W) of another image along epipolar lines."""

    def agreement(
        self, values: NDArray[np.float32], variances: NDArray[np.float32], gate: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
        """Return mean, variance and number (H, W) of the values (P, H, W) that agree."""

    def run_concurrently(
        self, first: Callable[[], First], second: Callable[[], Second],
    ) -> tuple[First, Second]:  # fmt: skip
        """Call two functions that share no data, in parallel where cores allow it."""

    def synchronize(self) -> None:
        """Wait until all work of this thread is done."""

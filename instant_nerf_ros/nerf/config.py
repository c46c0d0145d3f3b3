"""Every default of the engine, one frozen dataclass per module. There are no others.

Each field carries its description, unit and range; the ROS parameters, the YAML file and the
documentation are generated from them or tested against them.
"""
import dataclasses

from instant_nerf_ros.nerf.settings import setting, value_of

MAX_VOXELS = 1e9  # eleven bytes each, as far as they are used


@dataclasses.dataclass(frozen=True)
class FieldConfig:
    """Multiresolution hash grid and its two networks (instant-ngp, Mueller et al. 2022)."""

    levels: int = setting(8, 'levels of the hash grid', 1, 16)
    log2_table: int = setting(19, 'base-2 logarithm of the entries per level', 8, 24)
    coarsest_cell: float = setting(1.28, 'cell edge of the coarsest level [m]', 1e-3, 1e3)
    finest_cell: float = setting(0.01, 'cell edge of the finest level [m]', 1e-4, 1e2)
    hidden: int = setting(64, 'width of the hidden layers', 16, 128)


@dataclasses.dataclass(frozen=True)
class OccupancyConfig:
    """The voxel grid: what the ray samples skip, and what the maps are made of."""

    voxel_size: float = setting(0.05, 'voxel edge, also the map resolution [m]', 0.01, 1.0)
    length: float = setting(20.0, 'first extent along x, around the first pose [m]', 1.0, 200.0)
    width: float = setting(20.0, 'first extent along y, around the first pose [m]', 1.0, 200.0)
    height: float = setting(5.0, 'first extent along z, around the first pose [m]', 1.0, 50.0)
    min_alpha: float = setting(
        0.1, 'opacity of one voxel below which its samples are skipped', 1e-4, 0.5)


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """Where the samples of a training step go."""

    samples_per_step: int = setting(
        0, 'sample budget of a training step; 0: what suits the processor', 0, 2**20,
        change='live')
    error_share: float = setting(
        0.3, 'share of the rays that go where the error is largest', 0.0, 1.0, change='live')
    near: float = setting(0.2, 'distance before which nothing is sampled [m]', 0.0, 10.0)
    far: float = setting(10.0, 'distance up to which unmeasured rays are sampled [m]', 0.5, 200.0)
    min_step: float = setting(0.02, 'smallest distance between samples [m]', 1e-3, 1.0)
    cone: float = setting(
        0.01, 'distance between samples per distance from the camera', 0.0, 0.1)
    surface_band: float = setting(
        0.1, 'half width of the dense samples around a measured depth [m]', 0.01, 1.0)
    surface_samples: int = setting(8, 'samples in the band around a measured depth', 2, 64)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the named terms of the loss."""

    huber_delta: float = setting(0.1, 'error at which the Huber loss becomes linear', 1e-3, 10.0)
    distortion_weight: float = setting(
        0.1, 'weight of how far apart the light of a ray comes from', 0.0, 10.0)
    opacity_weight: float = setting(
        0.001, 'weight of the entropy of opacities', 0.0, 10.0)
    depth_weight: float = setting(0.2, 'weight of the depth term [1/m]', 0.0, 100.0)
    free_space_weight: float = setting(
        0.2, 'weight of opacity in front of a measured surface', 0.0, 100.0)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam, with the settings of instant-ngp."""

    learning_rate: float = setting(0.01, 'Adam step size', 1e-6, 1.0)
    beta1: float = setting(0.9, 'decay of the first moment', 0.0, 0.99)
    beta2: float = setting(0.99, 'decay of the second moment', 0.0, 0.999)
    epsilon: float = setting(1e-15, 'guard against division by zero', 0.0, 1e-2)
    weight_decay: float = setting(1e-6, 'L2 penalty on network weights, not the grid', 0.0, 0.1)


@dataclasses.dataclass(frozen=True)
class KeyframeConfig:
    """Which images are kept, and how much memory they may take."""

    min_translation: float = setting(
        0.03, 'keep an image after this motion [m]', 0.0, 10.0, change='live')
    min_rotation: float = setting(
        1.5, 'or after this rotation [degree]', 0.0, 180.0, change='live')
    adapt_exposure: bool = setting(
        False, 'let brightness and contrast differ between images', change='live')
    held_out_every: int = setting(
        16, 'images of which one is not trained on, to measure the PSNR of views; 0 for none',
        0, 10_000)
    budget_mb: int = setting(1024, 'memory for keyframes [MB]', 16, 2**20)
    gpu_budget_mb: int = setting(
        1024, 'of it, what a GPU copies to its own memory [MB]', 0, 2**20)


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """What images without depth tell of poses and distances, by how what they show moves."""

    align: bool = setting(True, 'correct poses by what images have in common')
    position_error: float = setting(
        0.01, 'how far given positions are off, standard deviation [m]', 1e-4, 1.0)
    rotation_error: float = setting(
        0.3, 'how far given rotations are off, standard deviation [degree]', 1e-3, 10.0)
    stereo: bool = setting(True, 'learn distances from how images differ')


@dataclasses.dataclass(frozen=True)
class MapConfig:
    """The two-dimensional map: the band of the voxel grid in which a robot moves."""

    min_height: float = setting(
        0.1, 'lower edge of the band, above the floor [m]', -50.0, 50.0, change='live')
    max_height: float = setting(
        1.5, 'upper edge of the band, above the floor [m]', -50.0, 50.0, change='live')
    max_step: float = setting(
        0.05, 'highest step the robot climbs, where floor goes on [m]', 0.0, 1.0, change='live')


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything a Mapper needs to know."""

    field: FieldConfig = FieldConfig()
    occupancy: OccupancyConfig = OccupancyConfig()
    sampling: SamplingConfig = SamplingConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    keyframes: KeyframeConfig = KeyframeConfig()
    motion: MotionConfig = MotionConfig()
    map: MapConfig = MapConfig()
    device: str = setting(
        'auto', 'where the engine runs', choices=('auto', 'cuda', 'triton', 'cpu', 'reference'))
    seed: int = setting(0, 'seed of the random numbers', 0, 2**31 - 1)

    def __post_init__(self):
        """Check what concerns several settings; raises ValueError."""
        grid = self.occupancy
        for low, high in (
                ('sampling.near', 'sampling.far'), ('map.min_height', 'map.max_height'),
                ('field.finest_cell', 'field.coarsest_cell')):
            low_value, high_value = value_of(self, low), value_of(self, high)
            if not low_value < high_value:
                raise ValueError(
                    f"'{low}' ({low_value}) must be less than '{high}' ({high_value})")
        if self.map.max_height - self.map.min_height < grid.voxel_size:
            raise ValueError(
                f"'map.max_height' ({self.map.max_height}) must be at least a voxel "
                f"({grid.voxel_size} m) above 'map.min_height' ({self.map.min_height})")
        voxels = grid.length * grid.width * grid.height / grid.voxel_size**3
        if voxels > MAX_VOXELS:
            raise ValueError(
                f'an extent of {grid.length} x {grid.width} x {grid.height} m has {voxels:.2g} '
                f"voxels of {grid.voxel_size} m, more than {MAX_VOXELS:.2g}: enlarge "
                "'occupancy.voxel_size'; the grid grows by itself where the camera goes")

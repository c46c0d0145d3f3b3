"""Config: all settings of the library, with their defaults, descriptions, units and ranges.

The ROS parameters and the tables of the documentation are generated from these dataclasses, and
config/mapping.yaml is tested against them.
"""
import dataclasses

from instant_nerf_ros.nerf.settings import flatten, setting

MAX_VOXELS = 1e9  # of the first grid, and of one on a GPU; a used voxel takes eleven bytes
MAX_SPARSE_VOXELS = 1e12  # of a grid in pages that take memory when they are written


@dataclasses.dataclass(frozen=True)
class FieldConfig:
    """Multiresolution hash grid and its two networks (instant-ngp, Mueller et al. 2022)."""

    levels: int = setting(8, 'levels of the hash grid', 1, 16)
    log2_table: int = setting(
        19, 'base-2 logarithm of the entries per level, at the beginning', 8, 24)
    table_doublings: int = setting(
        2, 'times that the entries may double as more surface is seen', 0, 5)
    coarsest_cell: float = setting(1.28, 'cell edge of the coarsest level [m]', 1e-3, 1e3)
    finest_cell: float = setting(0.01, 'cell edge of the finest level [m]', 1e-4, 1e2)
    hidden: int = setting(64, 'width of the hidden layers', 16, 128)


@dataclasses.dataclass(frozen=True)
class OccupancyConfig:
    """The voxel grid: which samples training skips, and what the maps are made of."""

    voxel_size: float = setting(
        0.05, 'edge of a voxel, and the resolution of the map [m]', 0.01, 1.0)
    length: float = setting(20.0, 'initial extent along x, around the first pose [m]', 1.0, 200.0)
    width: float = setting(20.0, 'initial extent along y, around the first pose [m]', 1.0, 200.0)
    height: float = setting(5.0, 'initial extent along z, around the first pose [m]', 1.0, 50.0)
    min_alpha: float = setting(0.1, 'opacity below which a voxel is skipped', 1e-4, 0.5)


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """The rays of a training step, and the samples along them."""

    samples_per_step: int = setting(
        0, 'sample budget of a training step; 0: the default of the backend', 0, 2**20,
        change='live')
    error_share: float = setting(
        0.3, 'share of the rays that are sampled by the error map', 0.0, 1.0, change='live')
    near: float = setting(
        0.0, 'distance from the camera at which samples begin, 0: from what is seen [m]',
        0.0, 10.0)
    far: float = setting(
        0.0, 'distance up to which rays without measured depth are sampled, 0: from what is seen '
        '[m]', 0.0, 200.0)
    min_step: float = setting(0.02, 'minimum distance between samples [m]', 1e-3, 1.0)
    cone: float = setting(
        0.01, 'distance between samples, per distance from the camera', 0.0, 0.1)
    surface_band: float = setting(
        0.1, 'half the width of the band around a measured depth [m]', 0.01, 1.0)
    surface_samples: int = setting(8, 'samples in the band around a measured depth', 2, 64)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The terms of the loss and their weights."""

    huber_delta: float = setting(0.1, 'error above which the Huber loss is linear', 1e-3, 10.0)
    distortion_weight: float = setting(
        0.1, 'weight of the distortion of rays (Barron et al. 2022)', 0.0, 10.0)
    opacity_weight: float = setting(
        0.001, 'weight of the entropy of the opacities of rays', 0.0, 10.0)
    depth_weight: float = setting(0.2, 'weight of the depth error [1/m]', 0.0, 100.0)
    free_space_weight: float = setting(
        0.2, 'weight of the opacity in front of a measured surface', 0.0, 100.0)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam (Kingma and Ba 2015), with the settings of instant-ngp."""

    learning_rate: float = setting(0.01, 'step size of Adam', 1e-6, 1.0)
    beta1: float = setting(0.9, 'decay of the first moment', 0.0, 0.99)
    beta2: float = setting(0.99, 'decay of the second moment', 0.0, 0.999)
    epsilon: float = setting(1e-15, 'constant that avoids division by zero', 0.0, 1e-2)
    weight_decay: float = setting(1e-6, 'L2 penalty on the weights of the networks', 0.0, 0.1)


@dataclasses.dataclass(frozen=True)
class KeyframeConfig:
    """Which images are kept, and the memory for them."""

    min_translation: float = setting(
        0.03, 'keep an image after this translation [m]', 0.0, 10.0, change='live')
    min_rotation: float = setting(
        1.5, 'or keep it after this rotation [degree]', 0.0, 180.0, change='live')
    adapt_exposure: str = setting(
        'auto', 'adapt to the exposure of each image; auto: if it changes visibly',
        choices=('auto', 'always', 'never'))
    held_out_every: int = setting(
        16, 'one of so many images is held out, to measure the PSNR of views; 0: none', 0, 10_000)
    budget_mb: int = setting(1024, 'memory for keyframes [MB]', 16, 2**20)
    gpu_budget_mb: int = setting(
        1024, 'part of it that is copied to the memory of a GPU [MB]', 0, 2**20)


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """Poses from the images of a moving camera, and distances from those without depth."""

    align: bool = setting(True, 'correct poses by bundle adjustment')
    position_error: float = setting(
        0.01, 'standard deviation of the given positions [m]', 1e-4, 1.0)
    rotation_error: float = setting(
        0.1, 'standard deviation of the given rotations [degree]', 1e-3, 10.0)
    stereo: bool = setting(True, 'train on distances from multi-view stereo')
    align_depth: bool = setting(
        False, 'correct poses of images with depth, if they are noisy')


@dataclasses.dataclass(frozen=True)
class DepthPriorConfig:
    """A network that estimates depth from images without depth; it is fitted to stereo."""

    model: str = setting('', "ONNX file of the network; '' for none")
    normalization: str = setting(
        'auto', "of its input: 'imagenet', 'unit' for 0 to 1; 'auto': by its outputs",
        choices=('auto', 'imagenet', 'unit'))
    share: float = setting(0.2, 'maximum share of the time that it may take', 0.01, 1.0)


@dataclasses.dataclass(frozen=True)
class BodyConfig:
    """The body of the robot: nothing stands where it has been."""

    radius: float = setting(
        0.0, 'of the robot around its base frame; 0: its body says nothing [m]', 0.0, 5.0)
    height: float = setting(0.5, 'of the robot above the floor [m]', 0.01, 5.0)


@dataclasses.dataclass(frozen=True)
class MapConfig:
    """The two-dimensional map: a projection of a band of heights above the floor."""

    min_height: float = setting(
        0.1, 'lower edge of the band, above the floor [m]', -50.0, 50.0, change='live')
    max_height: float = setting(
        1.5, 'upper edge of the band, above the floor [m]', -50.0, 50.0, change='live')
    max_step: float = setting(
        0.05, 'highest step that the robot climbs, if the floor continues [m]', 0.0, 1.0,
        change='live')
    max_area: float = setting(
        10_000.0, 'largest area of the map; of a larger one, the part around the robot [m^2]',
        100.0, 1e6, change='live')


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a Mapper."""

    field: FieldConfig = FieldConfig()
    occupancy: OccupancyConfig = OccupancyConfig()
    sampling: SamplingConfig = SamplingConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    keyframes: KeyframeConfig = KeyframeConfig()
    motion: MotionConfig = MotionConfig()
    depth_prior: DepthPriorConfig = DepthPriorConfig()
    body: BodyConfig = BodyConfig()
    map: MapConfig = MapConfig()
    device: str = setting(
        'auto', 'backend that trains and renders',
        choices=('auto', 'cuda', 'triton', 'cpu', 'reference'))
    seed: int = setting(0, 'seed of the random numbers', 0, 2**31 - 1)

    def __post_init__(self) -> None:
        """Check what concerns several settings; raises ValueError."""
        values = {name: value for name, _, value in flatten(self)}
        for low, high in (
                ('sampling.near', 'sampling.far'), ('map.min_height', 'map.max_height'),
                ('field.finest_cell', 'field.coarsest_cell')):
            follows = high == 'sampling.far' and not values[high]
            if not (follows or values[low] < values[high]):
                raise ValueError(
                    f"'{low}' ({values[low]}) must be less than '{high}' ({values[high]})")
        grid = self.occupancy
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

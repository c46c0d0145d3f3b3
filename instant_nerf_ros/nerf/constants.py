"""Constants that several backends share: what one kernel writes another one reads.

A constant that only one module uses is in that module.
"""

# The field (Mueller et al. 2022, as tiny-cuda-nn has it today).
FEATURES = 4  # of an entry of the hash table, on each level
GEOMETRY = 16  # outputs of the geometry network: the log density, then features for the colour
HARMONICS = 16  # real spherical harmonics up to degree 3
PRIMES = 1, 2654435761, 805459861  # spatial hash, Mueller et al. 2022, eq. 4
MAX_LOG_DENSITY = 10.0  # exp(10) per metre is opaque within a millimetre
SAMPLES_PER_STEP = 2**13  # of a training step on a processor, unless the settings give a number

# Ray marching and volume rendering.
MAX_SAMPLES = 1024  # of a ray in front of its measured surface, as in instant-ngp
MIN_TRANSMITTANCE = 1e-3  # samples behind this transmittance have no weight

# The loss: names of its terms, in the order in which kernels write them.
COLOR_TERMS = 'color', 'distortion', 'opacity'  # of any ray
DEPTH_TERMS = 'depth', 'free_space'  # of rays with a measured distance
LOSS_TERMS = COLOR_TERMS + DEPTH_TERMS
MIN_OPACITY = 1e-3  # lower opacities count as this much in the entropy term
MAX_HALF_GRADIENT = 60000.0  # gradients in half precision, which ends at 65504, are cut there

# Keyframes and their error maps.
OPAQUE_ALPHA = 255  # alpha of an opaque pixel
MASKED_ALPHA = 1  # in place of the alpha of a pixel that a mask covers: it is not used
MILLIMETRE = 0.001  # unit of the stored depths [m]
MIN_COSINE = 0.05  # between a ray with depth and the optical axis
SAMPLING_PRIOR = 2000.0  # rays that a new keyframe counts as having had, see sampling_weights
SAMPLING_POWER = 2  # the weight of a keyframe falls with this power of its number of rays
TILE_COLUMNS, TILE_ROWS = 16, 12  # tiles of an image in the error map
TILES = TILE_COLUMNS * TILE_ROWS
ERROR_RATE = 0.1  # share by which one ray moves the error of its tile
ERROR_FLOOR = 0.1  # least error of a tile, as a share of the mean error of its keyframe
NO_ERROR = 0.003  # an error below one step of 8 bits
EXPOSURE_MIDDLE = 0.5  # of the range of pixels: gain and offset are relative to it, see exposure

# Density state of a voxel: whether training and rendering sample it.
UNVISITED, EMPTY, SOLID = 0, 1, 2

# Occupancy state of a voxel, as in nav_msgs/OccupancyGrid.
OCCUPIED, FREE, UNKNOWN = 100, 0, -1

# Columns of a map.
OBSTACLE_RADIUS = 2  # columns around an occupied one that have a stricter rule to be free

# Votes of keyframes on a voxel, and what they weigh.
MISS_WEIGHT = 2  # of a ray that crosses a voxel: 32 such votes fill MAX_VOTES
SURFACE_WEIGHT = 3  # of a ray that ends on a smooth surface, whose place is known well
EDGE_WEIGHT = 5  # of a ray that ends at the edge of a surface, beside which other rays pass
THIN_WEIGHT = 8  # of a ray that ends on something thin, beside which most rays of the voxel pass
RENDERED_WEIGHT = 2  # of a rendered ray: one alone is not enough
MIN_HITS = 3  # in an occupied voxel
MAX_VOTES = 64  # sum of weights in a voxel; with more, the older ones fade
MAX_MISSES = 12  # in a voxel without hits, so that what appears there is occupied soon
EMPTY_MISSES, EMPTY_ODDS = 4, 4  # least misses, and misses per hit, of a voxel that is skipped

"""Glances: what a camera that does not move tells of what comes and goes before it."""
import numpy as np
import pytest
from scenes import CAMERA, look_at

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED

VOXEL = 0.1
CONFIG = replace(Config(), {
    'device': 'cpu', 'field.levels': 2, 'field.log2_table': 10, 'field.hidden': 16,
    'occupancy.voxel_size': VOXEL, 'occupancy.length': 6.0, 'occupancy.width': 6.0,
    'occupancy.height': 4.0, 'keyframes.budget_mb': 16,
    'keyframes.held_out_every': 0})  # fmt: skip
POSE = look_at([0.0, 0.02, 0.03], [1.0, 0.02, 0.03])  # along x, at no border of voxels
IMAGE = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
BOX, WALL = 1.05, 2.05  # m: the middles of voxels
BESIDE = WALL - VOXEL


def depth(box):
    """Return the depth of a wall, and of a box in the middle of the image before it, or not."""
    image = np.full((CAMERA.height, CAMERA.width), WALL, np.float32)
    if box:
        rows, columns = (slice(size // 3, 2 * size // 3) for size in image.shape)
        image[rows, columns] = BOX
    return image


def mapper_of(box):
    """Return a mapper after twenty keyframes that see a box, or none, from almost one place."""
    mapper = Mapper(replace(CONFIG, {'keyframes.min_translation': 0.0}))
    for _ in range(20):
        assert mapper.add(IMAGE, CAMERA, POSE, depth(box))
    mapper.set_config(CONFIG)
    assert not mapper.is_new_viewpoint(POSE)
    return mapper


def state(mapper, x):
    """Return the state of the voxel x metres before the camera."""
    grid = mapper.voxels()
    return grid.states[tuple(np.floor(([x, 0.02, 0.03] - grid.origin) / VOXEL).astype(int))]


def glances(mapper, count, box):
    """Return the states of the box's voxel after each of so many glances."""
    states = []
    for _ in range(count):
        mapper.integrate_depth(IMAGE, CAMERA, POSE, depth(box))
        states.append(state(mapper, BOX))
    return states


def test_what_is_gone_clears_and_nothing_else_is_learnt():
    mapper = mapper_of(box=True)
    assert state(mapper, BOX) == OCCUPIED
    states = glances(mapper, 34, box=False)
    assert states[0] == OCCUPIED and states[21:] == [FREE] * 13
    assert state(mapper, WALL) == OCCUPIED and mapper.keyframe_count == 20


def test_what_comes_is_there_after_four():
    mapper = mapper_of(box=False)
    assert state(mapper, BOX) == FREE
    assert glances(mapper, 4, box=True)[-1] == OCCUPIED


def test_voxels_beside_a_surface_keep_what_others_saw_there():
    mapper = mapper_of(box=False)
    occupancy = mapper.occupancy
    index = tuple(np.floor(([BESIDE, 0.02, 0.03] - occupancy.corner) / VOXEL).astype(int))
    occupancy.hits[index], occupancy.misses[index] = 16, 0  # from the side it was seen
    glances(mapper, 60, box=False)
    assert state(mapper, BESIDE) == OCCUPIED and state(mapper, BESIDE - 2 * VOXEL) == FREE


def test_depth_without_measurements_tells_nothing_and_malformed_depth_is_refused():
    mapper = mapper_of(box=True)
    nothing = np.full((CAMERA.height, CAMERA.width), np.nan, np.float32)
    nothing[::2], nothing[1::3] = 0, np.inf
    before = mapper.occupancy.hits.clone(), mapper.occupancy.misses.clone()
    mapper.integrate_depth(IMAGE, CAMERA, POSE, nothing)
    with pytest.raises(ValueError, match='depth must be'):
        mapper.integrate_depth(IMAGE, CAMERA, POSE, nothing[1:])
    for grid, expected in zip((mapper.occupancy.hits, mapper.occupancy.misses), before):
        assert (grid == expected).all()

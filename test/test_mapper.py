"""Mapper: it learns an analytic scene, admits what it does not know, refuses the malformed."""
import copy
import dataclasses
import math
import tracemalloc

import numba
import numpy as np
import pytest
import torch
from randomness import generator
from scenes import BALL, CAMERA, HIGH, LOW, RADIUS, look_at, poses, view

from instant_nerf_ros.nerf import Camera, Config, Mapper, backends, replace, schedule

VOXEL = 0.1
CONFIG = replace(Config(), {
    'device': 'cpu', 'field.levels': 6, 'field.finest_cell': 0.1, 'field.log2_table': 15,
    'occupancy.voxel_size': VOXEL, 'occupancy.length': 6.0, 'occupancy.width': 6.0,
    'occupancy.height': 4.0, 'sampling.samples_per_step': 4096, 'sampling.min_step': 0.04,
    'sampling.near': 0.1, 'keyframes.budget_mb': 16, 'keyframes.held_out_every': 0,
    'map.min_height': 0.6, 'map.max_height': 1.0,
})  # fmt: skip
TINY = replace(CONFIG, {'field.log2_table': 10, 'sampling.samples_per_step': 1024,
                        'field.hidden': 16, 'occupancy.voxel_size': 0.2})  # fmt: skip
ROUND = poses(64)
STEPS = 150


def add_views(mapper, T_world_cameras, with_depth=True):
    for T_world_camera in T_world_cameras:
        image, depth = view(CAMERA, T_world_camera)
        assert mapper.add(image, CAMERA, T_world_camera, depth if with_depth else None)
    return mapper


@pytest.fixture(scope='module')
def learned():
    """Return a mapper that has seen the scene from 32 places, with depth."""
    mapper = add_views(Mapper(CONFIG), ROUND[::2])
    for _ in range(STEPS):
        mapper.step()
    return mapper


@pytest.fixture(scope='module')
def learned_without_depth():
    mapper = add_views(Mapper(CONFIG), ROUND[::2], with_depth=False)
    for _ in range(4 * STEPS):
        mapper.step()
    return mapper


def psnr(image, other):
    return 10 * np.log10(255**2 / np.mean((image.astype(float) - other) ** 2))


def gain(mapper, T_world_camera):
    """Return by how many dB a view is better than the best image of one colour."""
    image, _ = view(CAMERA, T_world_camera)
    return psnr(image, mapper.render(CAMERA, T_world_camera).color) - psnr(
        image, image.reshape(-1, 3).mean(0))


@pytest.mark.parametrize('held_out', ROUND[5::16])
def test_a_view_from_where_it_has_not_been_is_the_scene(learned, held_out):
    seen = learned.render(CAMERA, held_out)
    assert gain(learned, held_out) > 8
    error = np.abs(seen.depth - view(CAMERA, held_out)[1])
    assert np.nanmedian(error) < 0.03 and np.nanmean(error) < 0.08
    assert np.isnan(error).mean() < 0.02 and (seen.opacity > 0.9).mean() > 0.95


@pytest.mark.parametrize('held_out', ROUND[5::16])
def test_colour_alone_shows_the_scene_too(learned_without_depth, held_out):
    assert gain(learned_without_depth, held_out) > 8
    error = learned_without_depth.render(CAMERA, held_out).depth - view(CAMERA, held_out)[1]
    assert np.nanmedian(np.abs(error)) < 0.3


def test_views_have_any_size_and_lens(learned):
    fisheye = dataclasses.replace(
        CAMERA.scaled(20, 30), distortion_model='equidistant', distortion=(0.1, 0.0, 0.0, 0.0))
    image, _ = view(fisheye, ROUND[1])
    seen = learned.render(fisheye, ROUND[1])
    assert seen.color.shape == (30, 20, 3)
    assert psnr(image, seen.color) > psnr(image, image.reshape(-1, 3).mean(0)) + 8


def centers(voxels):
    """Return the middles of all voxels, (nx, ny, nz, 3)."""
    index = np.moveaxis(np.indices(voxels.states.shape), 0, -1)
    return voxels.origin + (index + 0.5) * voxels.voxel_size


def depth_in_air(points):
    """Return the distance of points to the nearest surface: positive in air, else negative."""
    room = np.minimum(points - LOW, HIGH - points).min(-1)
    return np.minimum(room, np.linalg.norm(points - BALL, axis=-1) - RADIUS)


def test_voxels_are_occupied_at_surfaces_free_in_air_and_unknown_beyond(learned):
    voxels = learned.voxels()
    depth = depth_in_air(centers(voxels))
    occupied, free = voxels.states == 100, voxels.states == 0
    assert occupied.sum() > 500 and free.sum() > 5000
    # Half a diagonal of a voxel is 0.87 edges.
    assert (np.abs(depth[occupied]) < 1.5 * VOXEL).mean() > 0.99
    assert (depth[free] > -0.87 * VOXEL).mean() > 0.999
    assert (voxels.states[depth < -2 * VOXEL] == -1).all()


def test_without_depth_nothing_beyond_the_walls_is_called_free(learned_without_depth):
    voxels = learned_without_depth.voxels()
    depth = depth_in_air(centers(voxels))
    assert (depth[voxels.states == 0] > -2 * VOXEL).mean() > 0.98
    assert (voxels.states == 0).sum() > 1000


def test_the_map_shows_walls_and_ball_where_they_are(learned):
    grid = learned.map()
    rows, columns = np.indices(grid.cells.shape)
    x = grid.origin[0] + (columns + 0.5) * grid.resolution
    y = grid.origin[1] + (rows + 0.5) * grid.resolution
    outside = (x < LOW[0] - 0.2) | (x > HIGH[0] + 0.2) | (y < LOW[1] - 0.2) | (y > HIGH[1] + 0.2)
    assert (grid.cells[outside] == -1).all()
    room = np.minimum(np.minimum(x - LOW[0], HIGH[0] - x), np.minimum(y - LOW[1], HIGH[1] - y))
    ball = np.hypot(x - BALL[0], y - BALL[1])
    air = (room > 0.25) & (ball > RADIUS + 0.2)
    # Below the camera's round, and behind the ball, the column is seen in part only.
    assert (grid.cells[air] == 0).mean() > 0.85 and (grid.cells[air] != 100).all()
    # The band lies at the height of the ball; its back, and what is in it, may be unknown.
    assert (grid.cells[ball < RADIUS - 0.15] != 0).all()
    front = (np.abs(ball - RADIUS + 0.05) < 0.05) & (x < BALL[0] - 0.1)
    assert (grid.cells[front] == 100).mean() > 0.7 and front.sum() > 5
    assert (grid.cells[np.abs(room) < 0.05] == 100).mean() > 0.8


def test_points_have_the_place_and_the_colour_of_the_ball(learned):
    positions, colors = learned.points()
    near = np.abs(np.linalg.norm(positions - BALL, axis=-1) - RADIUS) < VOXEL
    assert near.sum() > 50
    np.testing.assert_allclose(
        np.median(colors[near], axis=0), np.array([0.9, 0.1, 0.1]) * 255, atol=10)


def test_what_was_never_seen_is_unknown_and_invisible():
    # Views along x: behind the camera nothing is known.
    mapper = add_views(Mapper(CONFIG), [
        look_at([0.0, y, 1.2], [-2.0, y, 1.2]) for y in (-0.85, -0.8, -0.75)])
    for _ in range(60):
        mapper.step()
    voxels = mapper.voxels()
    behind = centers(voxels)[..., 0] > 0.15
    assert (voxels.states[behind] == -1).all() and (voxels.states[~behind] == 100).any()
    back = mapper.render(CAMERA, look_at([0.2, -0.8, 1.2], [2.0, -0.8, 1.2]))
    assert np.isnan(back.depth).mean() > 0.9


def test_before_the_first_keyframe_there_is_nothing_to_ask():
    mapper = Mapper(TINY)
    for ask in (mapper.step, mapper.voxels, mapper.map, mapper.points,
                lambda: mapper.render(CAMERA, ROUND[0])):
        with pytest.raises(RuntimeError, match='add an image first'):
            ask()
    assert mapper.steps == mapper.keyframe_count == 0


def test_an_image_is_kept_if_the_camera_moved():
    mapper = add_views(Mapper(TINY), ROUND[:1])
    image, depth = view(CAMERA, ROUND[0])
    assert not mapper.add(image, CAMERA, ROUND[0], depth)
    assert mapper.keyframe_count == 1
    assert mapper.add(image, CAMERA, ROUND[9], depth) and mapper.keyframe_count == 2


IMAGE, DEPTH = view(CAMERA, ROUND[1])
SHIFTED, SCALED, LOOSE = ROUND[1].copy(), ROUND[1].copy(), ROUND[1].copy()
SHIFTED[0, 3], SCALED[:3, :3], LOOSE[3] = np.nan, 1.1 * ROUND[1][:3, :3], (0, 0, 1, 1)
MALFORMED = {
    'image of floats': {'image': IMAGE / 255},
    'image turned': {'image': IMAGE.swapaxes(0, 1)},
    'image in gray': {'image': IMAGE[..., 0]},
    'image with alpha': {'image': np.concatenate([IMAGE, IMAGE[..., :1]], -1)},
    'image of another size': {'image': IMAGE[:-1]},
    'no image': {'image': None},
    'no camera': {'camera': None},
    'camera of another size': {'camera': CAMERA.scaled(32, 24)},
    'depth turned': {'depth': DEPTH.T},
    'depth in millimetres': {'depth': (DEPTH * 1000).astype(np.uint16)},
    'pose of three rows': {'T_world_camera': ROUND[1][:3]},
    'pose not finite': {'T_world_camera': SHIFTED},
    'pose scaled': {'T_world_camera': SCALED},
    'pose mirrored': {'T_world_camera': ROUND[1] @ np.diag([1, 1, -1, 1])},
    'pose of another bottom row': {'T_world_camera': LOOSE},
    'pose of words': {'T_world_camera': 'map'},
    'angular velocity of one axis': {'angular_velocity': 0.5},
    'angular velocity not finite': {'angular_velocity': [0.0, np.inf, 0.0]},
}


@pytest.mark.parametrize('change', MALFORMED.values(), ids=MALFORMED)
def test_malformed_input_is_refused_and_changes_nothing(change):
    good = {'image': IMAGE, 'camera': CAMERA, 'T_world_camera': ROUND[1], 'depth': DEPTH}
    numba.set_num_threads(1)
    mappers = [add_views(Mapper(TINY), ROUND[:1]) for _ in range(2)]
    with pytest.raises(ValueError):
        mappers[0].add(**{**good, **change})
    with pytest.raises(ValueError):
        Mapper(TINY).add(**{**good, **change})
    assert mappers[0].keyframe_count == 1
    assert mappers[0].step() == mappers[1].step()


def test_the_caller_keeps_its_arrays():
    mappers = [Mapper(TINY), Mapper(TINY)]
    for mapper, spoil in zip(mappers, (False, True)):
        image, depth, T_world_camera = IMAGE.copy(), DEPTH.copy(), ROUND[1].copy()
        mapper.add(image, CAMERA, T_world_camera, depth)
        if spoil:
            image[:], depth[:], T_world_camera[:] = 0, 0, 0
    assert mappers[0].step() == mappers[1].step()


def test_the_same_seed_gives_the_same_bits():
    numba.set_num_threads(1)
    runs = []
    for seed in (7, 7, 8):
        mapper = add_views(Mapper(replace(TINY, {'seed': seed})), ROUND[:3])
        losses = [mapper.step()['loss'] for _ in range(12)]
        seen = mapper.render(CAMERA, ROUND[1])
        runs.append((losses, seen.color, seen.depth, seen.opacity, mapper.voxels().states))
    for first, again in zip(runs[0], runs[1]):
        np.testing.assert_array_equal(first, again)
    assert runs[0][0] != runs[2][0]


def test_steps_of_the_processor_make_no_arrays_of_their_samples():
    mapper = add_views(Mapper(replace(CONFIG, {
        'device': 'cpu', 'keyframes.adapt_exposure': 'never'})), ROUND[:8])
    for _ in range(40):
        mapper.step()
    tracemalloc.start()  # numpy tells it of its arrays
    most = 0
    for _ in range(12):
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        mapper.step()
        if (mapper.steps - 1) % mapper.trainer.schedule.vote_every:  # else a keyframe votes
            most = max(most, tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    budget = mapper.trainer.schedule.budget(mapper.config.sampling, mapper.backend)
    assert most < 8 * budget  # their positions would be 12 bytes each


def test_making_a_mapper_leaves_the_global_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    add_views(Mapper(TINY), ROUND[:1]).step()
    assert torch.equal(torch.rand(5), expected)


def test_cpu_and_reference_train_alike(monkeypatch):
    # Each backend uses its random numbers in its own order, so both train on the same rays here:
    # the CPU samples them, with its kernels, and what the reference gets is a copy.
    samples = []
    cpu, reference = backends.select('cpu'), backends.select('reference')
    sample_rays = cpu.sample_rays

    def record(*arguments):
        rays, sources = sample_rays(*arguments)
        samples.append(copy.deepcopy((rays, sources)))
        return rays, sources

    monkeypatch.setattr(cpu, 'sample_rays', record)
    monkeypatch.setattr(reference, 'sample_rays', lambda *_: samples.pop(0))
    mappers = {}
    for device in ('cpu', 'reference'):
        mapper = Mapper(replace(TINY, {'device': device}))
        assert mapper.backend_name == device
        mappers[device] = add_views(mapper, ROUND[:3])
    mappers['cpu'].trainer.field.load(mappers['reference'].trainer.field.state())
    for _ in range(8):
        first, other = (mapper.step() for mapper in mappers.values())
        assert first.keys() == other.keys()
        for name in first:
            assert first[name] == pytest.approx(other[name], rel=0.02, abs=1e-4)
    views = [mapper.render(CAMERA, ROUND[1]) for mapper in mappers.values()]
    assert np.abs(views[0].color.astype(float) - views[1].color).mean() < 3
    states = [mapper.voxels().states for mapper in mappers.values()]
    assert (states[0] != states[1]).mean() < 0.01 and (states[0] != -1).any()
    for _ in range(25):
        last = [mapper.step() for mapper in mappers.values()]
    assert all(terms['loss'] < 0.5 * first['loss'] for terms in last)


def test_depth_without_measurements_is_no_depth():
    numba.set_num_threads(1)
    losses = []
    for depth in (None, np.full(DEPTH.shape, np.nan, np.float32), np.zeros_like(DEPTH),
                  np.full(DEPTH.shape, -1, np.float32), np.full(DEPTH.shape, np.inf, np.float32)):
        mapper = Mapper(TINY)
        mapper.add(IMAGE, CAMERA, ROUND[1], depth)
        losses.append([mapper.step() for _ in range(3)])
    assert all(loss == losses[0] for loss in losses)
    assert set(losses[0][0]) == {'loss', 'color', 'distortion', 'opacity'}


def test_spoilt_depth_does_not_poison_the_rest():
    random = generator()
    depth = DEPTH.copy()
    spoilt = random.random(depth.shape) < 0.5
    depth[spoilt] = random.choice([np.nan, np.inf, -np.inf, 0, -3, 1e30], spoilt.sum())
    mapper = Mapper(TINY)
    mapper.add(IMAGE, CAMERA, ROUND[1], depth)
    for _ in range(20):
        assert all(np.isfinite(value) for value in mapper.step().values())
    assert all(parameter.isfinite().all() for parameter in mapper.trainer.field.state().values())
    assert np.isfinite(mapper.render(CAMERA, ROUND[1]).opacity).all()
    assert mapper.steps == 20


def test_the_grid_follows_a_camera_that_leaves_it():
    mapper = add_views(Mapper(TINY), ROUND[:1])
    before = mapper.occupancy.corner
    far = ROUND[0].copy()
    far[:3, 3] += [9.0, -4.0, 0.0]
    mapper.add(IMAGE, CAMERA, far)
    after = mapper.occupancy
    end = after.corner + np.array(after.shape) * after.voxel_size
    assert (after.corner <= before).all() and (end >= far[:3, 3]).all()
    assert np.isfinite(mapper.step()['loss'])


@pytest.mark.parametrize('device', ['cpu', 'reference'])
def test_a_step_whose_loss_is_not_finite_changes_nothing(device):
    mapper = add_views(Mapper(replace(TINY, {'device': device})), ROUND[:2])
    mapper.step()
    weight = mapper.trainer.field.state()['color.output'][0]
    healthy = weight.clone()
    weight[:] = math.nan
    before = {name: value.clone() for name, value in mapper.trainer.field.state().items()}
    misses = mapper.occupancy.misses.clone()
    assert math.isnan(mapper.step()['loss'])
    assert mapper.discarded == 1
    for name, value in mapper.trainer.field.state().items():
        assert torch.equal(before[name].nan_to_num(), value.nan_to_num())
    assert torch.equal(misses, mapper.occupancy.misses)
    weight[:] = healthy
    assert math.isfinite(mapper.step()['loss']) and mapper.discarded == 1
    after = mapper.trainer.field.state()
    assert not torch.equal(before['geometry.hidden'], after['geometry.hidden'])


def test_black_images_from_one_place_leave_the_field_finite():
    # All keyframes at one pose, without anything to see; and depth that explodes.
    mapper = Mapper(replace(TINY, {'keyframes.min_translation': 0.0}))
    black, depth = np.zeros_like(IMAGE), np.full(DEPTH.shape, 65.0, dtype=np.float32)
    for k in range(4):
        assert mapper.add(black, CAMERA, ROUND[1], None if k % 2 else depth)
    for _ in range(60):
        last = mapper.step()
    assert all(np.isfinite(value) for value in last.values()) and mapper.discarded == 0
    assert all(value.isfinite().all() for value in mapper.trainer.field.state().values())
    assert mapper.render(CAMERA, ROUND[1]).color.max() < 30


def test_it_settles_when_no_image_comes_and_learns_on_with_the_next(monkeypatch):
    monkeypatch.setattr(schedule, 'MAX_AGE', 3)
    mapper = add_views(Mapper(TINY), ROUND[:1])
    for _ in range(3):
        assert not mapper.converged
        mapper.step()
    assert mapper.converged
    add_views(mapper, ROUND[9:10])
    assert not mapper.converged


@pytest.mark.parametrize('error', [
    torch.cuda.OutOfMemoryError('CUDA out of memory'),
    RuntimeError('Could not allocate memory: cuMemCreate failed: CUDA_ERROR_OUT_OF_MEMORY'),
])  # fmt: skip
def test_a_step_without_memory_is_taken_again_and_smaller(error, monkeypatch):
    mapper = Mapper(CONFIG)
    for pose in poses(3):
        image, depth = view(CAMERA, pose)
        mapper.add(image, CAMERA, pose, depth)
    backend, steps = mapper.backend, []
    train_step = backend.train_step

    def fails_at_first(*arguments):
        steps.append((len(arguments[1]), arguments[-1]))
        if len(steps) == 1:
            raise error
        return train_step(*arguments)

    monkeypatch.setattr(backend, 'train_step', fails_at_first)
    assert np.isfinite(mapper.step()['loss']) and mapper.steps == 1
    (rays, budget), (fewer, less) = steps
    assert fewer == rays // 2 and less == budget // 2


def test_a_wrong_first_pose_is_dropped_when_the_next_one_is_far_from_it(caplog):
    far = ROUND[1].copy()
    far[:3, 3] += 1e6
    mapper = Mapper(TINY)
    mapper.add(IMAGE, CAMERA, far, DEPTH)
    mapper.step()
    add_views(mapper, ROUND[:3])
    assert mapper.keyframe_count == 3 and 'it is dropped' in caplog.text
    assert np.abs(mapper.points()[0]).max() < 10
    assert np.isfinite(mapper.step()['loss'])
    with pytest.raises(ValueError, match='is the pose right'):  # two that agree are right
        mapper.add(IMAGE, CAMERA, far, DEPTH)
    assert mapper.keyframe_count == 3


@pytest.mark.parametrize('distance', [1e19, np.inf, np.nan])
def test_a_pose_beyond_the_earth_changes_nothing(distance):
    far = ROUND[1].copy()
    far[0, 3] = distance
    mapper = Mapper(TINY)
    with pytest.raises(ValueError, match='metres|finite'):
        mapper.add(IMAGE, CAMERA, far, DEPTH)
    assert mapper.occupancy is None and not mapper.keyframe_count
    add_views(mapper, ROUND[:1])
    assert mapper.keyframe_count == 1


def test_live_settings_hold_from_the_next_call_on():
    mapper = add_views(Mapper(TINY), ROUND[:1])
    near = ROUND[0].copy()
    near[0, 3] += 0.01
    assert not mapper.is_new_viewpoint(near)
    mapper.set_config(replace(TINY, {
        'keyframes.min_translation': 0.005, 'loss.distortion_weight': 0.0,
        'map.min_height': -5.0, 'map.max_height': -4.0}))
    assert mapper.is_new_viewpoint(near)
    assert mapper.step()['distortion'] == 0.0
    assert (mapper.map().cells == -1).all()


def test_pixels_without_a_ray_are_left_out():
    """The image of a fisheye lens is a circle; its black corners are no rays of the scene."""
    circle = Camera(61, 61, 9.0, 9.0, 30.0, 30.0, 'equidistant', (0.0,) * 4)
    has_rays = circle.has_rays()
    image = np.where(has_rays[:, None], 200, 0).astype(np.uint8).reshape(61, 61, 1)
    mapper = Mapper(TINY)
    mapper.add(np.repeat(image, 3, axis=2), circle, ROUND[0])
    assert not has_rays.all() and (mapper.keyframes.image(0)[1] == 200).all()
    view = mapper.render(circle, ROUND[0])
    assert (view.opacity.ravel()[~has_rays] == 0).all()
    assert np.isnan(view.depth.ravel()[~has_rays]).all()
    assert (view.color.reshape(-1, 3)[~has_rays] == 0).all()

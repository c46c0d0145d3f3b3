"""Ranges: what a lidar measured, beside images without depth."""
import numpy as np
import pytest
import torch
from randomness import generator
from scenes import BALL, CAMERA, HIGH, LOW, RADIUS, distances, poses, view
from test_mapper import CONFIG, VOXEL

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.capture import ranges
from instant_nerf_ros.nerf.capture.rays import NO_COLOR
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN

SENSOR = np.array([-0.8, 0.3, 0.5])  # metres, in the room


def scan(random, count):
    """Return points (N, 3) that a lidar in the room measures all around."""
    directions = random.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origins = np.broadcast_to(SENSOR, directions.shape)
    return origins + distances(origins, directions)[:, None] * directions


def test_rays_go_from_the_sensor_to_the_points_and_know_no_colour():
    random, store = generator(), ranges.Ranges()
    points = scan(random, 100)
    store.add(ranges.point_rays(np.broadcast_to(SENSOR, points.shape), points, random), 0, random)
    rays = store.sample(1000, random)
    ends = rays.origins + rays.surfaces[:, None] * rays.directions
    error = (ends[:, None] - torch.from_numpy(points).float()).norm(dim=-1).amin(-1)
    assert error.max() < 1e-5 and (rays.pixels == NO_COLOR).all()
    np.testing.assert_allclose(rays.origins, np.broadcast_to(SENSOR, (1000, 3)), rtol=1e-6)
    assert len(np.unique(rays.surfaces)) > 90  # all of them


def test_a_full_store_keeps_some_of_all(monkeypatch):
    monkeypatch.setattr(ranges, 'CAPACITY', 1000)
    random, store = generator(), ranges.Ranges()
    for x in range(4):
        origins, points = (np.tile([x, y, 0.0], (500, 1)) for y in (0.0, 1.0))
        store.add(ranges.point_rays(origins, points, random), x, random)
    assert len(store) == 1000
    counts = np.bincount(store.origins[:, 0].astype(int), minlength=4)
    assert (counts > 100).all() and counts[3] > counts[0]


def test_a_dense_scan_is_thinned_evenly(monkeypatch):
    monkeypatch.setattr(ranges, 'MAX_SCAN_RAYS', 100)
    points = np.stack([np.arange(1, 1001), np.zeros(1000), np.zeros(1000)], axis=-1)
    scan = ranges.point_rays(np.zeros_like(points), points, generator())
    assert len(scan) == 100 and 300 < scan.surfaces.mean() < 700
    assert len(np.unique(scan.surfaces)) == 100


def test_what_is_no_measurement_is_left_out_and_the_malformed_refused():
    mapper = Mapper(CONFIG)
    points = np.array([[1.0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, 0], [0, 2, 0]])
    mapper.add_ranges(np.zeros(3), points)
    store = mapper.measurements.ranges
    assert sorted(store.distances[: len(store)]) == [1.0, 2.0]
    mapper.add_ranges(np.zeros(3), np.full((5, 3), np.nan))
    mapper.add_ranges(np.zeros(3), np.empty((0, 3)))
    assert len(mapper.measurements.ranges) == 2
    for points in (np.zeros(3), np.zeros((5, 2))):
        with pytest.raises(ValueError, match=r'\(N, 3\)'):
            mapper.add_ranges(np.zeros(3), points)


def test_a_scan_votes_once_on_what_it_crosses_and_where_it_ends():
    random, mapper = generator(), Mapper(CONFIG)
    for _ in range(3):  # as many as it takes to believe it
        mapper.add_ranges(SENSOR, scan(random, 4000))
    states = mapper.voxels()
    middles = states.origin + (np.indices(states.states.shape).reshape(3, -1).T + 0.5) * VOXEL
    values = states.states.ravel()
    towards = middles - SENSOR
    along = np.linalg.norm(towards, axis=-1)
    ends = distances(np.broadcast_to(SENSOR, towards.shape), towards / along[:, None])
    inside = np.minimum(middles - LOW, HIGH - middles).min(-1)  # metres from the nearest wall
    ball = np.linalg.norm(middles - BALL, axis=-1) - RADIUS
    assert (values[inside < -VOXEL] == UNKNOWN).all() and (values[ball < -VOXEL] == UNKNOWN).all()
    seen = (along < ends - 0.4) & (along < 1.0)
    assert (values[seen] == FREE).mean() > 0.9 and (values[seen] != OCCUPIED).all()
    occupied = values == OCCUPIED
    assert np.abs(np.minimum(inside, ball))[occupied].max() < VOXEL and occupied.sum() > 500
    with pytest.raises(RuntimeError, match='add an image first'):
        mapper.step()


def test_a_lidar_tells_how_far_walls_without_texture_are():
    random, errors, occupied = generator(), {}, {}
    held_out = poses(64)[5]
    grey = np.full_like(view(CAMERA, held_out)[0], 150)
    for lidar in (False, True):
        mapper = Mapper(CONFIG)
        for pose in poses(64)[::2]:
            mapper.add(grey, CAMERA, pose)
        if lidar:
            for _ in range(10):
                mapper.add_ranges(SENSOR, scan(random, 2000))
        for _ in range(200):
            terms = mapper.step()
        assert ('depth' in terms) is lidar
        seen = mapper.render(CAMERA, held_out)
        assert np.abs(seen.color - 150.0).mean() < 10  # colours are learnt as ever
        errors[lidar] = np.nanmedian(np.abs(seen.depth - view(CAMERA, held_out)[1]))
        occupied[lidar] = (mapper.voxels().states == OCCUPIED).sum()
    assert errors[True] < 0.06 and errors[True] < errors[False] / 2
    assert occupied[True] > occupied[False]


def test_the_space_of_rays_that_met_nothing_becomes_free():
    mapper = Mapper(CONFIG)
    ends = np.array([[1.5, 0.05 * k, 0.5] for k in range(-10, 11)])
    nothing = np.full_like(ends, np.nan)
    for k in range(8):
        assert mapper.add_ranges([0.0, 0.02 * k, 0.5], nothing, ends) is None
    state = mapper.voxels()
    column = np.floor((np.array([1.0, 0.0, 0.5]) - state.origin) / state.voxel_size).astype(int)
    assert state.states[tuple(column)] == FREE
    assert not (state.states == OCCUPIED).any()

"""Adaptation: samples begin, end and lie as close as the scene wants, unless the user says so."""
import numpy as np
import pytest
from randomness import generator
from scenes import CAMERA, look_at, poses, view
from test_bounds import scaled
from test_mapper import TINY

from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.nerf import adaptation as adaptation_module
from instant_nerf_ros.nerf.adaptation import (
    FIRST_KEYFRAMES,
    LENGTHS,
    ROOM_FAR,
    ROOM_NEAR,
    Adaptation,
)
from instant_nerf_ros.nerf.bounds import USUAL_DISTANCE, SceneBounds
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

NAMES = 'near', 'far'
HALL, TABLE = 10.0, 0.05  # scales of the room


def seen(scale, config=None, count=FIRST_KEYFRAMES):
    """Return an Adaptation that has seen so many views of the room at a scale."""
    adaptation, keyframes = Adaptation(config or Config()), Keyframes(KeyframeConfig())
    for T, scaled_T in zip(poses(count), scaled(poses(count), scale)):
        image, depth = view(CAMERA, T)
        keyframes.add(image, CAMERA, scaled_T, scale * depth)
        adaptation.see(keyframes)
    return adaptation


def sampling(adaptation):
    return [getattr(adaptation.config.sampling, name) for name in NAMES]


def test_before_enough_is_seen_it_is_a_room():
    few = FIRST_KEYFRAMES - 1
    for adaptation in (Adaptation(Config()), seen(HALL, count=few)):
        assert sampling(adaptation) == [ROOM_NEAR, ROOM_FAR]


def test_a_room_is_sampled_like_a_room_however_near_its_walls_are():
    near, far = sampling(seen(1.0))
    assert near <= ROOM_NEAR and far >= ROOM_FAR


@pytest.mark.parametrize('scale', [HALL, TABLE])
def test_what_follows_from_another_scene_is_proportional_to_it(scale):
    one, other = sampling(seen(scale)), sampling(seen(1.1 * scale))
    (near, far), ratios = one, np.array(other) / one
    assert ratios[1] == pytest.approx(1.1, rel=0.01) and far > 5 * scale
    if scale == TABLE:
        assert ratios[0] == pytest.approx(1.1, rel=0.01) and near < 0.5 * scale
    else:  # one may come close to a wall of a hall, too
        assert near == ROOM_NEAR


def test_what_the_user_sets_stays_and_the_rest_follows():
    config = replace(Config(), {'sampling.far': 2.0})
    near, far = sampling(seen(HALL, config))
    assert far == 2.0 and near == ROOM_NEAR
    config = replace(Config(), {'sampling.near': 0.3, 'sampling.far': 7.0})
    assert seen(HALL, config).config == config


def test_later_keyframes_only_widen_what_is_sampled():
    adaptation, keyframes = Adaptation(Config()), Keyframes(KeyframeConfig())
    image, depth = view(CAMERA, poses(1)[0])
    before = None
    for scale in generator().uniform(8, 30, 64):
        keyframes.add(image, CAMERA, poses(1)[0], scale * depth)
        changed = adaptation.see(keyframes) is not None
        assert changed == (len(keyframes) in (8, 32))
        if before and changed:
            assert sampling(adaptation)[0] <= before[0] and sampling(adaptation)[1] >= before[1]
        before = sampling(adaptation) if len(keyframes) >= FIRST_KEYFRAMES else None


def test_what_the_user_has_set_is_not_estimated(monkeypatch):
    monkeypatch.setattr(adaptation_module, 'scene_bounds', None)  # fails if it is called
    config = replace(Config(), {'sampling.near': 0.3, 'sampling.far': 7.0})
    assert seen(HALL, config).config == config


def test_the_box_contains_what_cameras_on_a_long_way_see_and_not_much_more():
    adaptation, keyframes = Adaptation(Config()), Keyframes(KeyframeConfig())
    image, depth = np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 2.0, np.float32)
    points = []
    for k in range(FIRST_KEYFRAMES):  # along a wall, and each looks at a part of its own
        pose = look_at([40.0 + 4 * k, 0.0, 1.0], [40.0 + 4 * k, 5.0, 1.0])
        keyframes.add(image, CAMERA, pose, depth)
        rays = CAMERA.directions() / CAMERA.directions()[:, 2:]
        points += [pose[None, :3, 3], pose[:3, 3] + 2.0 * rays @ pose[:3, :3].T]
        box = adaptation.see(keyframes)
    (low, high), points = box, np.concatenate(points)
    assert ((points > low - 0.01) & (points < high + 0.01)).all(1).mean() > 0.98
    assert (low > points.min(0) - 0.6).all() and (high < points.max(0) + 0.6).all()


FLAT_CAMERA = Camera(160, 120, 115.0, 115.0, 79.5, 59.5)
FLAT_POSES = [Tour().T_world_camera(time) for time in np.linspace(0, 6, FIRST_KEYFRAMES)]
FLAT_VIEWS = [Flat().render(FLAT_CAMERA, pose) for pose in FLAT_POSES]


def flat_seen(scale, with_depth=False, **settings):
    """Return an Adaptation that has seen a few views of the flat at a scale."""
    adaptation, keyframes = Adaptation(replace(Config(), settings)), Keyframes(KeyframeConfig())
    for (image, depth), pose in zip(FLAT_VIEWS, scaled(FLAT_POSES, scale)):
        keyframes.add(image, FLAT_CAMERA, pose, scale * depth if with_depth else None)
        adaptation.see(keyframes)
    return adaptation


@pytest.mark.parametrize(('scale', 'with_depth', 'voxel_size', 'is_advised'), [
    (6.0, False, 0.05, True), (6.0, True, 0.05, False), (6.0, False, 0.3, False),
    (1.0, False, 0.05, False)])
def test_the_map_of_a_hall_without_depth_wants_larger_voxels(
        scale, with_depth, voxel_size, is_advised, caplog):
    def advice(size):
        caplog.clear()
        adaptation = flat_seen(scale, with_depth, **{'occupancy.voxel_size': size})
        assert sampling(adaptation)[1] > 3 * scale
        return [each for each in caplog.messages if "'occupancy.voxel_size'" in each]

    messages = advice(voxel_size)
    assert len(messages) == is_advised
    for message in messages:
        assert not advice(float(message.split(' m;')[0].split(' ')[-1]))


def test_the_unit_is_a_metre_in_a_room_and_elsewhere_proportional_to_the_scene():
    assert flat_seen(1.0).unit == 1
    small, hall = (flat_seen(scale).unit / scale for scale in (TABLE, HALL))
    assert small == pytest.approx(hall, rel=0.01) and 0.5 < hall < 2


def test_the_unit_is_a_metre_with_depth_and_for_who_sets_lengths():
    assert flat_seen(HALL, with_depth=True).unit == 1
    for name in LENGTHS:
        assert flat_seen(HALL, **{name: 0.5}).unit == 1
    assert flat_seen(HALL, **{'sampling.near': 0.2, 'sampling.far': 90.0}).unit == 1


@pytest.mark.parametrize(('second', 'expected'), [(12.0, 20.0), (4.0, 4.0)])
def test_the_unit_changes_early_and_only_if_the_scene_is_quite_another_one(
        monkeypatch, second, expected):  # fmt: skip
    distances = {8: 20.0, 32: second, 128: 100.0}
    monkeypatch.setattr(adaptation_module, '_bounds', lambda *_: SceneBounds(
        0.1, 100.0, distances[len(keyframes)], 0.01, (1.0, 1.0, 1.0), False))
    adaptation, keyframes, units = Adaptation(Config()), Keyframes(KeyframeConfig()), []
    for pose in poses(128):
        keyframes.add(np.zeros((6, 8, 3), np.uint8), CAMERA.scaled(8, 6), pose)
        if adaptation.see(keyframes) is not None:
            units.append(adaptation.unit)
    # What was learnt from 128 keyframes is not thrown away.
    assert units == [20 / USUAL_DISTANCE, expected / USUAL_DISTANCE, expected / USUAL_DISTANCE]


@pytest.mark.parametrize('unit', [0.0, -1.0, np.inf, np.nan])
def test_a_unit_that_is_no_length_is_refused(unit):
    adaptation = Adaptation(Config())
    with pytest.raises(ValueError, match='unit of length'):
        adaptation.restore(unit)
    assert adaptation.unit == 1


def test_images_that_show_nothing_in_common_change_nothing():
    blank, adaptation = np.zeros((48, 64, 3), np.uint8), Adaptation(Config())
    keyframes = Keyframes(KeyframeConfig())
    camera = CAMERA.scaled(64, 48)
    for T in poses(16):
        keyframes.add(blank, camera, T)
        assert adaptation.see(keyframes) is None
    assert sampling(adaptation) == [ROOM_NEAR, ROOM_FAR]


def test_the_grid_of_a_mapper_grows_to_the_hall_and_its_rays_too():
    mapper = Mapper(replace(TINY, {'sampling.near': 0.0}))
    for T, large in zip(poses(FIRST_KEYFRAMES), scaled(poses(FIRST_KEYFRAMES), HALL)):
        mapper.add(*view(CAMERA, T)[:1], CAMERA, large, HALL * view(CAMERA, T)[1])
    assert mapper.config.sampling.far == 0  # as the user left it
    assert mapper.trainer.config.sampling.far > ROOM_FAR
    size = np.array(mapper.occupancy.shape) * mapper.occupancy.voxel_size
    assert (size > HALL).all()
    assert np.isfinite(mapper.step()['loss'])

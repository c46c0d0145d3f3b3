"""A session of the simulated flat as data: corrected poses, depth, settings; fit, and export."""
import warnings

import numpy as np
import pytest
import trimesh
from session_drives import SECOND, recorder
from test_flat import CAMERA

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.scenes import evaluate, export, fit
from instant_nerf_ros.scenes.sources import is_posed, open_source
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

CONFIG = replace(Config(), {
    'device': 'cpu', 'field.log2_table': 12, 'occupancy.voxel_size': 0.1,
    'keyframes.held_out_every': 0, 'keyframes.min_translation': 0.25})
IMAGES = 48
T_TRUE_DRIFTED = np.eye(4)
T_TRUE_DRIFTED[:3, 3] = 0.4, -0.3, 0.0


@pytest.fixture(scope='module')
def session(tmp_path_factory):
    """Return the folder of a session, and the true poses of its keyframes.

    The poses of its first half came wrong, and were corrected by a loop closure.
    """
    folder = tmp_path_factory.mktemp('session') / 'flat'
    flat, tour = Flat(), Tour()
    mapper, recording, truth, wrong = Mapper(CONFIG), recorder(folder), [], []
    recording.begin(mapper)
    for k in range(IMAGES):
        if k == IMAGES // 2:
            corrections = dict.fromkeys(wrong, T_TRUE_DRIFTED)
            mapper.correct_poses(corrections)
            recording.add_corrections(corrections)
        pose = tour.T_world_camera(tour.duration * k / IMAGES)
        image, depth = flat.render(CAMERA, pose)
        given = np.linalg.inv(T_TRUE_DRIFTED) @ pose if k < IMAGES // 2 else pose
        if (image_id := mapper.add(image, CAMERA, given, depth)) is not None:
            recording.add_image(image_id, k * SECOND, image, CAMERA, given, depth)
            truth.append(pose)
            wrong.append(image_id)
    assert not recording.close(mapper)
    return folder, np.array(truth)


def test_its_keyframes_have_corrected_poses_depth_and_settings(session):
    folder, truth = session
    assert is_posed(folder)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        source = open_source(folder)
        frames = [frame for _, frame in source.read(range(len(truth)))]
    assert source.metric and source.level
    np.testing.assert_allclose(source.poses, truth, atol=1e-6)
    flat = Flat()
    for frame, pose in list(zip(frames, truth))[::7]:
        image, depth = flat.render(CAMERA, pose)
        assert (frame.image == image).all()
        np.testing.assert_allclose(frame.depth, depth, atol=1e-3)
    assert source.config.keyframes.min_translation == 0.25
    assert source.config.device == Config().device


@pytest.mark.slow
def test_it_is_fitted_and_exported_where_the_flat_is(session, tmp_path):
    folder, truth = session
    scene = fit(folder, tmp_path / 'scene', steps=400, settings={'device': 'cpu'})
    assert scene.provenance.kind == 'session of a node' and scene.provenance.metric
    assert scene.mapper.keyframe_count + len(scene.held_out) == len(truth)
    quality = evaluate(scene)
    assert quality.mean('psnr') > 18 and quality.mean('depth_error') < 0.1
    export(scene, 'mesh', tmp_path / 'flat.ply')
    vertices = trimesh.load(tmp_path / 'flat.ply', process=False).vertices
    assert abs(np.percentile(vertices[:, 2], 1)) < 0.1  # the floor is at z = 0
    low, high = np.percentile(vertices, (0.5, 99.5), axis=0)
    true_low, true_high = Flat().low, Flat().high
    assert (low > true_low - 0.15).all() and (high < true_high + 0.15).all()


def test_what_is_damaged_is_named_and_the_rest_is_fitted(session, tmp_path):
    copy = tmp_path / 'damaged'
    copy.mkdir()
    paths = sorted(path for path in session[0].iterdir() if path.suffix == '.safetensors')
    for path in paths:
        (copy / path.name).write_bytes(path.read_bytes())
    field = next(path for path in paths if 'field' in path.name)
    (copy / field.name).write_bytes(field.read_bytes()[:100])
    with pytest.warns(UserWarning, match=f'{field.name} cannot be read'):
        assert len(open_source(copy).poses) == len(session[1])


def test_a_session_without_images_is_refused(tmp_path):
    recording, mapper = recorder(tmp_path / 'empty'), Mapper(CONFIG)
    recording.begin(mapper)
    recording.close(mapper)
    with pytest.raises(ValueError, match='empty has no images'):
        open_source(tmp_path / 'empty')

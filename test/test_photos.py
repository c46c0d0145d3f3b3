"""Photos and videos: COLMAP finds their poses, and what it cannot find is said."""
import sys

import cv2
import numpy as np
import photo_sets
import pytest
from photo_sets import CAMERA, room
from scenes import poses, view

from instant_nerf_ros.data.frames import load_folder
from instant_nerf_ros.scenes.cli import main
from instant_nerf_ros.scenes.fit_progress import silent
from instant_nerf_ros.scenes.photos import find_photos, pose_photos
from instant_nerf_ros.scenes.video import LEAST, extract, is_video


def similarity(points, targets):
    """Return the errors (N,) of points after the best similarity (Umeyama 1991)."""
    a, b = points - points.mean(0), targets - targets.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation, scale = (u * sign) @ vt, (s * sign).sum() / (a**2).sum()
    return np.linalg.norm(scale * a @ rotation.T - b, axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize('mapper', ['incremental', 'global'])
def test_poses_of_real_photos_are_those_that_were_given(recorded_data, tmp_path, mapper):
    pytest.importorskip('pycolmap')
    given = load_folder(recorded_data / 'fox')
    for entry in given.entries[:16]:
        (tmp_path / entry.image_path.name).symlink_to(entry.image_path)
    reports = []
    folder, names = find_photos(tmp_path)
    source = pose_photos(folder, names, tmp_path / 'work', False, mapper, reports.append)
    assert source.names == [entry.image_path.name for entry in given.entries[:16]]
    true = np.array([entry.T_world_camera for entry in given.entries[:16]])
    errors = similarity(source.poses[:, :3, 3], true[:, :3, 3])
    assert errors.max() < 0.02 * np.ptp(true[:, :3, 3], axis=0).max()
    relative = np.linalg.inv(source.poses[0, :3, :3]) @ source.poses[:, :3, :3]
    expected = np.linalg.inv(true[0, :3, :3]) @ true[:, :3, :3]
    assert np.degrees(np.arccos(np.clip((np.einsum(
        'nij,nij->n', relative, expected) - 1) / 2, -1, 1))).max() < 1.0
    assert source.cameras[0].fx == pytest.approx(given.entries[0].camera.fx, rel=0.05)
    assert len(source.points) > 1000 and not source.metric
    stages = list(dict.fromkeys(report.stage for report in reports))
    assert stages[-1] == 'poses' and set(stages) <= {'features', 'matches', 'poses'}


@pytest.mark.slow
def test_photos_without_texture_are_refused_with_a_sentence(tmp_path, capsys):
    pytest.importorskip('pycolmap')
    (tmp_path / 'data').mkdir()
    for index in range(4):
        photo_sets.write_image(
            tmp_path / 'data' / f'{index}.jpg', np.full((120, 160, 3), 99, np.uint8))
    assert main(['fit', str(tmp_path / 'data'), '--out', str(tmp_path / 'out')]) == 2
    assert 'no poses were found for the 4 photos' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data']


def test_without_pycolmap_the_package_is_named(tmp_path, capsys, monkeypatch):
    photo_sets.write_images(tmp_path / 'data', room(3))
    monkeypatch.setitem(sys.modules, 'pycolmap', None)
    assert main(['fit', str(tmp_path / 'data'), '--out', str(tmp_path / 'out')]) == 2
    assert 'pip install "pycolmap>=4"' in capsys.readouterr().err


def test_photos_are_found_in_order_and_raw_files_named(tmp_path):
    for name in ('img_10.JPG', 'img_9.JPG', 'img_1.JPG'):
        photo_sets.write_image(tmp_path / 'images' / name, np.zeros((8, 8, 3), np.uint8))
    (tmp_path / 'images' / 'img_2.HEIC').write_bytes(b'x')
    with pytest.warns(UserWarning, match='1 files.*JPEG: img_2.HEIC'):
        folder, names = find_photos(tmp_path)
    assert names == ['img_1.JPG', 'img_9.JPG', 'img_10.JPG'] and folder == tmp_path / 'images'


def test_the_sharp_frames_of_a_video_are_taken(tmp_path):
    path = tmp_path / 'clip.avi'
    frames = [view(CAMERA, pose)[0] for pose in poses(2 * LEAST)]
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 30.0, (CAMERA.width, CAMERA.height))
    if not writer.isOpened():
        pytest.skip('OpenCV cannot write a video')
    noise = np.random.default_rng(0).integers(-40, 40, frames[0].shape)
    for index, frame in enumerate(frames):  # every second one is detailed
        detailed = np.clip(frame + noise, 0, 255) if index % 2 else frame
        writer.write(detailed.astype(np.uint8)[..., ::-1])
    writer.release()
    assert is_video(path)
    names = extract(path, tmp_path / 'frames', silent)
    assert len(names) == LEAST
    for index, name in enumerate(names):
        picture = cv2.imread(str(tmp_path / 'frames' / name))[..., ::-1]
        errors = [np.abs(picture.astype(int) - np.clip(frame + noise * (k % 2), 0, 255)).mean()
                  for k, frame in enumerate(frames)]
        assert int(np.argmin(errors)) == 2 * index + 1


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / 'clip.mp4').write_bytes(b'no video' * 100)
    with pytest.raises(ValueError, match='cannot be read as a video'):
        extract(tmp_path / 'clip.mp4', tmp_path / 'frames', silent)

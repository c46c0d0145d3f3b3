"""Rendering: videos and frames show what the mapper renders; depth and normals are true."""
import types

import cv2
import numpy as np
import pytest
from scenes import CAMERA, HIGH, LOW, poses, view

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.nerf.field.render import View
from instant_nerf_ros.scenes.camera_paths import CameraPath
from instant_nerf_ros.scenes.rendering import (
    depth_colors,
    depth_limits,
    normals,
    picture,
    render_frames,
    render_video,
)


class ExactMapper:
    """Renders the scene in closed form, with a transparent border of two rows."""

    def render(self, camera, T_world_camera):
        """Return the View of a camera."""
        color, depth = view(camera, T_world_camera)
        opacity = np.ones_like(depth)
        opacity[:2], depth[:2], color[:2] = 0, np.nan, 0
        return View(color, depth, opacity)


ROUTE = CameraPath([CAMERA] * 12, np.stack(poses(12)), 12.0)


def frames_of(path):
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        more, frame = video.read()
        if not more:
            return np.stack(frames)[..., ::-1], video.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


def test_a_video_shows_the_views(tmp_path):
    pytest.importorskip('imageio_ffmpeg')
    seen = []
    render_video(ExactMapper(), ROUTE, tmp_path / 'a.mp4',
                 on_frame=lambda done, total: seen.append((done, total)))
    frames, fps = frames_of(tmp_path / 'a.mp4')
    assert frames.shape == (12, 48, 64, 3) and fps == 12
    assert seen == [(k, 12) for k in range(1, 13)]
    for frame, pose in zip(frames, ROUTE.T_world_camera):
        error = frame.astype(float) - ExactMapper().render(CAMERA, pose).color
        assert np.sqrt((error**2).mean()) < 12  # of 255: chroma has half the resolution
        assert abs(error.mean()) < 3


@pytest.mark.parametrize('kind', ['color', 'depth', 'normals'])
def test_a_video_of_odd_size_keeps_its_pixels(tmp_path, kind):
    pytest.importorskip('imageio_ffmpeg')
    camera = Camera(41, 31, 40.0, 40.0, 20.0, 15.0)
    render_video(ExactMapper(), CameraPath([camera] * 3, ROUTE.T_world_camera[:3], 30.0),
                 tmp_path / 'a.mp4', kind)
    frames, _ = frames_of(tmp_path / 'a.mp4')
    assert frames.shape == (3, 32, 42, 3)


def test_a_video_is_not_written_over_another(tmp_path):
    pytest.importorskip('imageio_ffmpeg')
    (tmp_path / 'a.mp4').write_text('precious')
    with pytest.raises(FileExistsError):
        render_video(ExactMapper(), ROUTE, tmp_path / 'a.mp4')
    broken = types.SimpleNamespace(render=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render_video(broken, ROUTE, tmp_path / 'a.mp4', overwrite=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ['precious']
    with pytest.raises(ValueError, match='normals'):
        render_video(ExactMapper(), ROUTE, tmp_path / 'b.mp4', 'albedo')


def test_frames_are_exact(tmp_path):
    render_frames(ExactMapper(), ROUTE, tmp_path / 'color')
    render_frames(ExactMapper(), ROUTE, tmp_path / 'depth', 'depth')
    for k, pose in enumerate(ROUTE.T_world_camera):
        expected = ExactMapper().render(CAMERA, pose)
        color = cv2.imread(str(tmp_path / 'color' / f'{k:05d}.png'))[..., ::-1]
        assert (color == expected.color).all()
        depth = cv2.imread(str(tmp_path / 'depth' / f'{k:05d}.png'), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        assert np.abs(depth / 1000 - np.nan_to_num(expected.depth)).max() < 0.00051
    with pytest.raises(FileExistsError):
        render_frames(ExactMapper(), ROUTE, tmp_path / 'color')
    render_frames(ExactMapper(), ROUTE, tmp_path / 'color', overwrite=True)


def test_normals_are_those_of_the_walls():
    pose = ROUTE.T_world_camera[2]
    _, depth = view(CAMERA, pose)
    found = normals(depth, CAMERA) @ pose[:3, :3].T
    rays = CAMERA.directions().reshape(48, 64, 3) @ pose[:3, :3].T
    assert ((found * rays).sum(-1) < 0).all()
    points = pose[:3, 3] + rays * (depth / CAMERA.directions()[:, 2].reshape(48, 64))[..., None]
    inside = (np.abs(points - LOW).min(-1) < 1e-3) | (np.abs(points - HIGH).min(-1) < 1e-3)
    aligned = np.abs(found).max(-1) > 0.999
    assert aligned[inside].mean() > 0.8  # all but the edges between walls


def test_the_background_shows_where_the_scene_is_transparent():
    seen = ExactMapper().render(CAMERA, ROUTE.T_world_camera[0])
    for kind in ('color', 'depth', 'normals'):
        image = picture(seen, CAMERA, ROUTE.T_world_camera[0], kind, 255, (0.5, 3.0))
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8
        assert (image[0] == 255).all()
        assert (image[10:] != 255).any()


def test_near_is_red_and_far_is_blue():
    depth = np.array([[0.5, 1.0, 5.0, np.nan, 0.1, 50.0]], np.float32)
    colors = depth_colors(depth, (0.5, 5.0)).astype(int)[0]
    assert colors[0, 0] > colors[0, 2] + 80 and colors[2, 2] > colors[2, 0] + 80
    assert (colors[3] == 0).all()
    assert (colors[4] == colors[0]).all() and (colors[5] == colors[2]).all()
    assert depth_limits(depth[:, 3:4]) == (0.1, 1.0)

"""Products of a scene: videos, files for other programs, and the report."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.nerf.capture.alpha import is_transparent, keyframe_alpha
from instant_nerf_ros.scenes.camera_paths import CameraPath, orbit, spline
from instant_nerf_ros.scenes.evaluation import evaluate
from instant_nerf_ros.scenes.exports import colmap_model, gaussian_files, maps, meshes
from instant_nerf_ros.scenes.exports.gaussians import gaussians
from instant_nerf_ros.scenes.fit_progress import OnProgress, Progress, silent
from instant_nerf_ros.scenes.nerfstudio_paths import read_camera_path
from instant_nerf_ros.scenes.outputs import check_output
from instant_nerf_ros.scenes.placement import Placement
from instant_nerf_ros.scenes.rendering import render_frames, render_video
from instant_nerf_ros.scenes.report import write_report
from instant_nerf_ros.scenes.scene_folder import Scene

ROUTES = {'orbit': orbit, 'spline': spline}
FILES = {  # by what is exported: suffixes, none for a folder
    'mesh': ('.ply', '.glb'), 'points': ('.ply', '.glb'), 'gaussians': ('.ply', '.spz', '.glb'),
    'colmap': (), 'map': (), 'octomap': ('.bt',),
}
VIDEO = '.mp4'
WHITE = 255  # behind objects that have alpha


def render(
    scene: Scene, out: str | os.PathLike[str], *, route: str = 'orbit', kind: str = 'color',
    seconds: float = 8.0, fps: float = 24.0, size: tuple[int, int] | None = None,
    dataparser_transforms: str | os.PathLike[str] | None = None, overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> None:  # fmt: skip
    """Render a camera path to a video (.mp4) or to a folder of frames.

    route: 'orbit', 'spline' through the training cameras, or the path of a camera path that
    nerfstudio's viewer has written (see nerfstudio_paths.read_camera_path), which has times and
    sizes of its own. kind: 'color', 'depth' or 'normals'. size: width and height [pixels]; None:
    that of the images. overwrite: replace what is there. Raises FileExistsError,
    FileNotFoundError, ImportError or ValueError.
    """
    out = Path(out)
    if route in ROUTES:
        if not (0 < seconds < 1e4 and 0 < fps <= 1000):
            raise ValueError(f'seconds and fps must be positive, are {seconds} and {fps}')
        count = max(round(seconds * fps), 1)
        poses = scene.mapper.keyframe_poses()
        camera = _pinhole(scene.mapper.keyframes.image(0)[0], size)
        path = CameraPath([camera] * count, ROUTES[route](poses, count), fps)
    else:
        path = read_camera_path(route, dataparser_transforms)
        T = scene.provenance.T_scene_data
        scale = float(np.cbrt(np.linalg.det(T[:3, :3])))
        placement = Placement(T[:3, :3] / scale, scale)
        cameras = path.cameras if size is None else [_pinhole(c, size) for c in path.cameras]
        path = CameraPath(cameras, placement.poses(path.T_world_camera), path.fps)

    def on_frame(done: int, total: int) -> None:
        on_progress(Progress('rendering', done / total, f'{done} of {total} frames'))

    write = render_video if out.suffix.lower() == VIDEO else render_frames
    write(scene.mapper, path, out, kind, _background(scene), overwrite, on_frame)


def export(
    scene: Scene, what: str, out: str | os.PathLike[str], *, overwrite: bool = False,
) -> None:  # fmt: skip
    """Write a scene for other programs.

    what: a key of FILES: a mesh, the occupied voxels as points, Gaussians for splatting, a COLMAP
    model with the corrected poses (a folder), map.pgm and map.yaml for Nav2 (a folder), or an
    OctoMap. Lengths are those of the scene: metres where the poses are metric. overwrite: replace
    what is there.
    Raises FileExistsError, ImportError, or ValueError for another kind or suffix.
    """
    if what not in FILES:
        raise ValueError(f"'{what}' cannot be exported; choose {', '.join(FILES)}")
    out, mapper = Path(out), scene.mapper
    if FILES[what] and out.suffix.lower() not in FILES[what]:
        raise ValueError(f"{what} is written to a file {' or '.join(FILES[what])}, not {out}")
    if what == 'gaussians':
        check_output(out, overwrite)
        splats: dict[str, Callable[..., None]] = {
            '.ply': gaussian_files.write_ply, '.spz': gaussian_files.write_spz,
            '.glb': gaussian_files.write_glb}
        splats[out.suffix.lower()](out, gaussians(mapper), overwrite=overwrite)
    elif what == 'colmap':
        names = [str(Path(name).with_suffix('.png')) for name in scene.provenance.frames]
        named = len(set(names)) == mapper.keyframe_count
        colmap_model.write_colmap(mapper, out, names if named else (), overwrite=overwrite)
    else:
        writers: dict[str, Callable[..., None]] = {
            'mesh': meshes.write_mesh, 'points': meshes.write_points, 'map': maps.write_map,
            'octomap': maps.write_octomap}
        writers[what](mapper, out, overwrite=overwrite)


def make_report(
    scene: Scene, out: str | os.PathLike[str], *, overwrite: bool = False,
) -> None:  # fmt: skip
    """Write a page of HTML with views, quality and map of a scene, which needs no other file.

    overwrite: replace what is there. Raises FileExistsError, before anything is computed.
    """
    check_output(Path(out), overwrite)
    made, last = scene.provenance, scene.provenance.history[-1]
    evaluation = evaluate(scene)
    numbers = {
        'mean SSIM': f"{evaluation.mean('ssim'):.3f}", 'steps': f'{last.steps}',
        'training': f'{last.seconds:.0f} s', 'images': f'{len(made.frames)}'}
    if not np.isnan(error := evaluation.mean('depth_error')):
        numbers['depth error'] = f'{100 * error:.1f} cm'
    write_report(
        out, scene.mapper, scene.held_out or scene.training_frames(), Path(made.data).name,
        f'{made.kind}, fitted by instant_nerf_ros {made.package_version} on '
        f'{scene.mapper.backend_name}; {made.ended}', numbers, made.command,
        bool(scene.held_out), [(r.seconds, r.psnr) for r in made.history if not np.isnan(r.psnr)],
        made.metric, overwrite)


def _background(scene: Scene) -> int:
    keyframes = scene.mapper.keyframes
    transparent = any(is_transparent(keyframe_alpha(keyframes, k)) for k in range(len(keyframes)))
    return WHITE if transparent else 0


def _pinhole(camera: Camera, size: tuple[int, int] | None) -> Camera:
    """Return a camera without distortion, of the same vertical field of view."""
    width, height = size or (camera.width, camera.height)
    if width < 1 or height < 1:
        raise ValueError(f'the size must be positive, is {width} x {height}')
    focal = camera.fy * height / camera.height
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

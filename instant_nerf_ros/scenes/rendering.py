"""Rendering: a camera path as a video, or as a folder of frames."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf import Camera, Mapper
from instant_nerf_ros.nerf.field.render import View
from instant_nerf_ros.scenes.camera_paths import CameraPath
from instant_nerf_ros.scenes.outputs import output_file, output_folder

KINDS = 'color', 'depth', 'normals'
MILLIMETRES = 1000.0  # per metre
MAX_COUNT = 65534  # of 16 bits; 65535 is what some programs take for no measurement
RANGE = 1.0, 99.0  # percentiles of depth between which the colors of a video lie
PREVIEW = 8  # pixels of a view for one of the preview that finds this range
QUALITY = '18'  # constant rate factor of x264: hardly to be told from the original

OnFrame = Callable[[int, int], None]  # called with the number of frames done, and of all


def render_video(
    mapper: Mapper, route: CameraPath, path: str | os.PathLike[str], kind: str = 'color',
    background: int = 0, overwrite: bool = False, on_frame: OnFrame | None = None,
) -> None:  # fmt: skip
    """Write the views of a camera path as an MP4 video (H.264).

    kind: one of KINDS. Near is red and far is blue; normals n are those of the world, as
    (n + 1) / 2. background: gray behind the scene. Images of odd size get a row or column more.
    Raises FileExistsError; ImportError without imageio-ffmpeg; ValueError for another kind.
    """
    _check(kind)
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ImportError(
            'a video needs imageio-ffmpeg: pip install imageio-ffmpeg, or render frames') from None
    limits = _depth_limits(mapper, route) if kind == 'depth' else (0.0, 1.0)
    first = route.cameras[0]
    height, width = (size + size % 2 for size in (first.height, first.width))  # for yuv420p
    with output_file(path, overwrite) as new:
        writer = imageio_ffmpeg.write_frames(
            str(new), (width, height), fps=route.fps, codec='libx264', macro_block_size=2,
            quality=None, output_params=['-crf', QUALITY, '-movflags', '+faststart'])
        writer.send(None)  # starts ffmpeg
        try:
            for view, camera, pose in _views(mapper, route, on_frame):
                image = picture(view, camera, pose, kind, background, limits)
                padding = (0, height - first.height), (0, width - first.width), (0, 0)
                writer.send(np.ascontiguousarray(np.pad(image, padding, 'edge')))
        finally:
            writer.close()


def render_frames(
    mapper: Mapper, route: CameraPath, folder: str | os.PathLike[str], kind: str = 'color',
    background: int = 0, overwrite: bool = False, on_frame: OnFrame | None = None,
) -> None:  # fmt: skip
    """Write the views of a camera path as 00000.png, 00001.png, ... to a folder.

    Depth is 16 bits of millimetres along the optical axis, 0 where the scene is transparent, as in
    folders of RGB-D frames; for others see `render_video`. Raises FileExistsError if the folder
    has files, ValueError for another kind.
    """
    _check(kind)
    folder = output_folder(folder, overwrite)
    for number, (view, camera, pose) in enumerate(_views(mapper, route, on_frame)):
        if kind == 'depth':
            counts = np.nan_to_num(view.depth) * MILLIMETRES + 0.5
            image: NDArray = np.minimum(counts, MAX_COUNT).astype(np.uint16)
        else:
            image = picture(view, camera, pose, kind, background)[..., ::-1]
        cv2.imwrite(str(folder / f'{number:05d}.png'), image)


def picture(
    view: View, camera: Camera, T_world_camera: NDArray[np.float64], kind: str,
    background: int = 0, limits: tuple[float, float] = (0.0, 1.0),
) -> NDArray[np.uint8]:  # fmt: skip
    """Return a View as an image (H, W, 3) to look at; limits of depth [m]; see `render_video`."""
    _check(kind)
    behind = (1 - view.opacity[..., None]) * background
    if kind == 'color':
        return np.clip(view.color + behind + 0.5, 0, 255).astype(np.uint8)
    if kind == 'depth':
        return depth_colors(view.depth, limits, background)
    n = normals(view.depth, camera) @ T_world_camera[:3, :3].T
    colors = np.where(np.isfinite(n), (n + 1) * 127.5 + 0.5, background)
    return colors.astype(np.uint8)


def depth_colors(
    depth: NDArray[np.floating], limits: tuple[float, float], background: int = 0,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return colors (H, W, 3) of depth (H, W), from red at the first limit [m] to blue.

    They are linear in disparity, 1 / depth, like the parallax that an eye sees.
    """
    near, far = 1 / max(limits[0], 1e-6), 1 / max(limits[1], 1e-6)
    with np.errstate(divide='ignore', invalid='ignore'):
        share = (1 / depth - far) / max(near - far, 1e-9)
    index = (np.clip(np.nan_to_num(share), 0, 1) * 215 + 20).astype(np.uint8)  # ends are dark
    colors = np.asarray(cv2.applyColorMap(index, cv2.COLORMAP_TURBO))[..., ::-1]
    return np.where(np.isfinite(depth)[..., None], colors, background).astype(np.uint8)


def depth_limits(depth: NDArray[np.floating]) -> tuple[float, float]:
    """Return the range of depth [m] without its extremes; (0.1, 1) where there is none."""
    known = depth[np.isfinite(depth)]
    if not known.size:
        return 0.1, 1.0
    low, high = np.percentile(known, RANGE)
    return float(low), float(max(high, low * 1.01))


def normals(depth: NDArray[np.floating], camera: Camera) -> NDArray[np.float64]:
    """Return unit normals (H, W, 3) in the camera frame, toward it, from depth (H, W) [m].

    They are products of central differences of the points that the pixels see; NaN where a
    neighbor has no depth.
    """
    rays = camera.directions().reshape(*depth.shape, 3).astype(np.float64)
    points = rays * (depth / np.where(rays[..., 2] > 0, rays[..., 2], 1.0))[..., None]
    down, right = np.gradient(points, axis=(0, 1))
    normal = np.cross(down, right)
    with np.errstate(invalid='ignore'):
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    away = (normal * rays).sum(-1, keepdims=True) > 0
    return np.where(away, -normal, normal)


def _views(
    mapper: Mapper, route: CameraPath, on_frame: OnFrame | None,
) -> Iterator[tuple[View, Camera, NDArray[np.float64]]]:  # fmt: skip
    """Yield the views of a camera path."""
    for number, (camera, pose) in enumerate(zip(route.cameras, route.T_world_camera), 1):
        yield mapper.render(camera, pose), camera, pose
        if on_frame:
            on_frame(number, len(route.cameras))


def _depth_limits(mapper: Mapper, route: CameraPath) -> tuple[float, float]:
    """Return one range of depth [m] for all views, or the colors would flicker."""
    views = [
        mapper.render(camera.scaled(max(2, camera.width // PREVIEW),
                                    max(2, camera.height // PREVIEW)), pose).depth.ravel()
        for camera, pose in zip(route.cameras[::PREVIEW], route.T_world_camera[::PREVIEW])]
    return depth_limits(np.concatenate(views))


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind '{kind}' is none of {', '.join(KINDS)}")

"""Evaluation: how well views that were not trained on are rendered, and which are worst."""
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from instant_nerf_ros.data.frames import Frame, load_reference
from instant_nerf_ros.data.metrics import depth_errors, grid_agreement, points_agreement, psnr
from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.capture.alpha import is_transparent
from instant_nerf_ros.nerf.constants import MASKED_ALPHA
from instant_nerf_ros.nerf.field.render import View
from instant_nerf_ros.scenes.rendering import picture
from instant_nerf_ros.scenes.scene_folder import Scene, check_free

WHITE = 255  # behind objects that have alpha, in pictures and metrics: as it is usual
MIN_SSIM_SIZE = 11  # pixels, of the shorter side: the window of SSIM
SSIM_BORDER = MIN_SSIM_SIZE // 2  # pixels, nearer to which the window is not in the image


@dataclasses.dataclass(frozen=True)
class ViewQuality:
    """The quality of a rendered view."""

    name: str
    psnr: float  # dB
    ssim: float  # in [-1, 1]; NaN for images of less than 11 pixels
    depth_error: float  # m, mean of |rendered - measured|; NaN without depth


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The quality of views, and of the map where there is a reference."""

    trained_on: bool  # the views were trained on, as none was held out
    views: list[ViewQuality]
    map: dict[str, float]  # fractions, see data.metrics; empty without a reference

    def mean(self, name: str) -> float:
        """Return the mean of a field of ViewQuality over the views where it is known, or NaN."""
        values = [getattr(view, name) for view in self.views]
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan

    def worst(self, count: int) -> list[ViewQuality]:
        """Return the views of the lowest PSNR, the worst first."""
        return sorted(self.views, key=lambda view: view.psnr)[:count]

    def json(self) -> dict[str, Any]:
        """Return it as values of JSON; what is not known is null."""
        def known(values: Mapping[str, Any]) -> dict[str, Any]:
            return {key: None if isinstance(value, float) and not math.isfinite(value) else value
                    for key, value in values.items()}
        names = 'psnr', 'ssim', 'depth_error'
        return {
            'trained_on': self.trained_on,
            'mean': known({name: self.mean(name) for name in names}),
            'views': [known(dataclasses.asdict(view)) for view in self.views],
            'map': known(self.map)}


def evaluate(scene: Scene) -> Evaluation:
    """Return the quality of the held-out views of a scene; of those trained on if it has none.

    PSNR is that of 8-bit colors; SSIM that of Wang et al. 2004, with its Gaussian window, by
    scikit-image. Masked pixels do not count. If the data has a reference occupancy, the map is
    compared with it.
    """
    frames = scene.held_out or scene.training_frames()
    views = [_quality(name, frame, scene.mapper) for name, frame in frames.items()]
    return Evaluation(not scene.held_out, views, _map_agreement(scene))


def rendered(mapper: Mapper, frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return image (H, W, 3) and depth (H, W) of a frame's camera, over white for alpha."""
    view = mapper.render(frame.camera, frame.T_world_camera)
    return over_white(view, frame), view.depth


def over_white(view: View, frame: Frame) -> NDArray[np.uint8]:
    """Return the colors (H, W, 3) of a view, over white if the true image is transparent."""
    background = WHITE if is_transparent(frame.alpha) else 0
    return picture(view, frame.camera, frame.T_world_camera, 'color', background)


def reference(frame: Frame) -> NDArray[np.uint8]:
    """Return the true image (H, W, 3) of a frame, over white for alpha; masked pixels as well."""
    if frame.alpha is None:
        return frame.image
    alpha = np.where(used_pixels(frame), frame.alpha, 255)[..., None] / 255
    return (frame.image * alpha + (1 - alpha) * WHITE + 0.5).astype(np.uint8)


def used_pixels(frame: Frame) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of a frame no mask covers."""
    if frame.alpha is None:
        return np.ones((frame.camera.height, frame.camera.width), dtype=bool)
    return np.asarray(frame.alpha != MASKED_ALPHA)


def write(evaluation: Evaluation, scene: Scene, folder: Path, worst: int = 4) -> None:
    """Write results.json and pictures of the worst views: true, rendered, and their difference.

    Raises FileExistsError if the folder has files.
    """
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(evaluation.json(), indent=1)
    (folder / 'results.json').write_text(text + '\n')
    frames = scene.held_out or scene.training_frames()
    for number, view in enumerate(evaluation.worst(worst), 1):
        frame = frames[view.name]
        picture = comparison(
            reference(frame), rendered(scene.mapper, frame)[0], used_pixels(frame))
        stem = Path(view.name.replace('/', '_')).stem
        cv2.imwrite(str(folder / f'worst_{number}_{stem}_{view.psnr:.1f}dB.png'),
                    cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def comparison(
    true: NDArray[np.uint8], image: NDArray[np.uint8], used: NDArray[np.bool_],
) -> NDArray[np.uint8]:  # fmt: skip
    """Return two images (H, W, 3) and their difference, amplified, where used (H, W), in a row."""
    difference = np.where(used, np.abs(true.astype(np.int16) - image).max(axis=2), 0)
    heat = cv2.applyColorMap(
        np.clip(4 * difference, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    gap = np.full((true.shape[0], 4, 3), 255, np.uint8)
    return np.concatenate(
        [true, gap, image, gap, np.asarray(heat, np.uint8)[..., ::-1]], axis=1)


def _quality(name: str, frame: Frame, mapper: Mapper) -> ViewQuality:
    image, depth = rendered(mapper, frame)
    true, used, depth_error = reference(frame), used_pixels(frame), math.nan
    if frame.depth is not None and len(errors := depth_errors(depth, frame.depth)):
        depth_error = float(errors.mean())
    ssim = math.nan
    if min(image.shape[:2]) >= MIN_SSIM_SIZE:
        filled = np.where(used[..., None], image, true)  # windows reach into what is masked
        _, values = structural_similarity(
            true, filled, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True)
        inner = np.s_[SSIM_BORDER:-SSIM_BORDER, SSIM_BORDER:-SSIM_BORDER]
        ssim = float(values[inner][used[inner]].mean()) if used[inner].any() else math.nan
    return ViewQuality(name, psnr(image[used], true[used]), ssim, depth_error)


def _map_agreement(scene: Scene) -> dict[str, float]:
    """Return how well the map agrees with the reference in the folder of the data, if any."""
    data = Path(scene.provenance.data)
    try:
        states, origin, voxel_size = load_reference(data)
    except FileNotFoundError:
        return {}
    grid = scene.mapper.voxels()
    if not math.isclose(voxel_size, scene.mapper.config.occupancy.voxel_size):
        return {}
    return {
        **points_agreement(scene.mapper.points()[0], states, origin, voxel_size),
        **grid_agreement(grid.states, grid.origin, voxel_size, states, origin)}

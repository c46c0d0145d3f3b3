"""Report: a scene as one HTML page that needs nothing else, to look at and to send."""
from __future__ import annotations

import importlib.resources
import math
import os
import string
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.scenes.evaluation import reference, rendered, used_pixels
from instant_nerf_ros.scenes.outputs import output_file
from instant_nerf_ros.scenes.rendering import depth_colors, depth_limits
from instant_nerf_ros.scenes.report_parts import image_uri, line_chart, map_picture

MAX_VIEWS = 8  # in the page; the table has all


def write_report(
    path: str | os.PathLike[str], mapper: Mapper, views: Mapping[str, Frame],
    title: str, summary: str, numbers: Mapping[str, str], reproduce: str, held_out: bool = True,
    psnr_over_time: Sequence[tuple[float, float]] = (), metric: bool = True,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write the page of a mapper's scene.

    views: true frames by name, and whether they were held out; summary, a sentence; numbers by
    name, as texts; reproduce: commands; psnr_over_time: seconds and dB; metric: the unit of the
    scene is the metre. Raises FileExistsError; ValueError without views.
    """
    if not views:
        raise ValueError('a report needs at least one view')
    with output_file(path, overwrite) as new:
        chosen = set(list(views)[:: -(-len(views) // MAX_VIEWS)])
        rows, figures = [], []
        for name, frame in views.items():
            image, depth = rendered(mapper, frame)
            true, used = reference(frame), used_pixels(frame)
            rows.append((name, psnr(image[used], true[used])))
            if name in chosen:
                figures.append(_figure(*rows[-1], true, image, depth, metric))
        mean = float(np.mean([quality for _, quality in rows]))
        kind = 'held out: it was not trained on' if held_out else 'an image trained on'
        page = string.Template(
            importlib.resources.files(__package__).joinpath('report.html').read_text())
        new.write_text(page.substitute(
            title=escape(title), summary=escape(summary), reproduce=escape(reproduce),
            numbers=''.join(
                f'<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>'
                for name, text in {'mean PSNR': f'{mean:.2f} dB', **numbers}.items()),
            views_note=f'Left of the line is the real image, right of it the rendering. '
                       f'Each real image is {kind}.',
            views=''.join(figures),
            details=_table(rows) + _wide(_chart(psnr_over_time), _map(mapper, metric))))


def _figure(
    name: str, quality: float, true: NDArray[np.uint8], image: NDArray[np.uint8],
    depth: NDArray[np.floating], metric: bool,
) -> str:  # fmt: skip
    low, high = depth_limits(depth)
    unit, label = 'm' if metric else 'units', escape(name, quote=True)
    height, width = true.shape[:2]
    size = f'width="{width}" height="{height}"'
    return (
        '<figure><div class="pair"><div class="compare">'
        f'<img {size} src="{image_uri(true)}" alt="real image {label}">'
        f'<img {size} src="{image_uri(image)}" alt="rendering of {label}">'
        '<span class="tag real" aria-hidden="true">real</span>'
        '<span class="tag rendered" aria-hidden="true">rendered</span>'
        f'<input type="range" min="0" max="100" value="50" step="1" '
        f'aria-label="{label}: share of the real image"></div>'
        f'<img class="depth" {size} src="{image_uri(depth_colors(depth, (low, high)))}" '
        f'alt="depth of {label}, from red at {low:.2f} to blue at {high:.2f} {unit}"></div>'
        f'<figcaption>{escape(name)}: {quality:.2f} dB; depth from {low:.2f} (red) to '
        f'{high:.2f} {unit} (blue)</figcaption></figure>')


def _table(rows: Sequence[tuple[str, float]]) -> str:
    lines = ''.join(f'<tr><td>{escape(name)}</td><td>{quality:.2f}</td></tr>'
                    for name, quality in rows)
    return (f'<details><summary>PSNR of all {len(rows)} views</summary><div class="scroll"><table>'
            '<thead><tr><th scope="col">view</th><th scope="col">PSNR [dB]</th></tr></thead>'
            f'<tbody>{lines}</tbody></table></div></details>')


def _chart(psnr_over_time: Sequence[tuple[float, float]]) -> str:
    known = np.array([point for point in psnr_over_time if math.isfinite(point[1])])
    if not len(known):
        return ''
    seconds, quality = known.T
    summary = (f'PSNR over time: {quality[0]:.1f} dB after {seconds[0]:.0f} s, '
               f'{quality[-1]:.1f} dB after {seconds[-1]:.0f} s')
    return ('<section><h2>PSNR over time</h2>'
            + line_chart(seconds, quality, 'time of training [s]', 'PSNR [dB]', summary)
            + f'<p class="soft">{summary}.</p></section>')


def _map(mapper: Mapper, metric: bool) -> str:
    grid = mapper.map()
    image = map_picture(grid, mapper.keyframe_poses()[:, :3, 3])
    if image is None:
        return ''
    cell = f'{100 * grid.resolution:.1f} cm' if metric else f'{grid.resolution:.3g} units'
    return ('<section><h2>Map</h2>'
            f'<img class="map" src="{image_uri(image, lossless=True)}" alt="map from above: white '
            'is free, black is occupied, gray is unknown, blue dots are cameras">'
            f'<p class="soft">White is free, black is occupied, gray is unknown; blue dots are '
            f'cameras. A cell is {cell} wide.</p></section>')


def _wide(*sections: str) -> str:
    return f'<div class="wide">{"".join(sections)}</div>'

"""Animate how the simulated flat is mapped: the occupancy map beside rendered and real views.

Uses the library alone, without ROS. Images and training steps follow the time of the simulated
drive, not the clock, so that the result does not depend on the speed of the machine.
"""
import argparse
import math
import os
from collections.abc import Iterator
from pathlib import Path

# One thread adds in one order, so that every run gives the same result.
os.environ['NUMBA_NUM_THREADS'] = '1'

import cv2
import numpy as np
from drawing import FAINT, INK, PAPER, Picture, write
from numpy.typing import NDArray
from PIL import Image

from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf import Camera, Config, Mapper
from instant_nerf_ros.nerf.products.grids import MapGrid
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

OUTPUT = Path(__file__).resolve().parents[1] / 'docs' / 'images' / 'mapping.webp'
CAMERA = Camera(320, 240, 230.0, 230.0, 159.5, 119.5)
FRAMES, FRAME_TIME, LAST_FRAME_TIME = 76, 100, 2000  # number, ms, ms
IMAGES, STEPS_PER_IMAGE = 4, 15  # before each frame

# The colors differ in brightness too, so that color-blind people can tell them apart.
CELL_COLORS = {UNKNOWN: (170, 176, 184), FREE: (255, 255, 255), OCCUPIED: (24, 36, 66)}
PATH_COLOR, ROBOT_COLOR = (230, 120, 0), (0, 110, 200)
LOW, SIZE = np.array([-3.8, -2.8]), np.array([7.6, 5.6])  # m, what is drawn of the map
ZOOM = 3  # pixels per cell
VIEW = 288, 216  # pixels
MARGIN, GAP, LINE, TEXT = 16, 12, 26, 16  # pixels
QUALITY = 75  # of 100


def main() -> None:
    """Write the animation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('output', nargs='?', type=Path, default=OUTPUT, help=f'file ({OUTPUT})')
    output = parser.parse_args().output
    save(output, list(draw_frames()))


def draw_frames() -> Iterator[Picture]:
    """Drive a lap through the flat, mapping it, and yield the frames."""
    flat, tour, mapper = Flat(), Tour(), Mapper(Config())
    view_camera, path = CAMERA.scaled(*VIEW), []
    times = np.linspace(0.0, tour.duration, FRAMES * IMAGES + 1)[1:]
    for number, time in enumerate(times, start=1):
        T_world_camera = tour.T_world_camera(time)
        image, depth = flat.render(CAMERA, T_world_camera)
        mapper.add(image, CAMERA, T_world_camera, depth)
        for _ in range(STEPS_PER_IMAGE):
            mapper.step()
        path.append(tour.T_world_base(time))
        if number % IMAGES == 0:
            view = mapper.render(view_camera, T_world_camera)
            background = (1 - view.opacity[..., None]) * CELL_COLORS[UNKNOWN]
            rendered = np.clip(view.color + background, 0, 255).astype(np.uint8)
            real, _ = flat.render(view_camera, T_world_camera)
            quality = mapper.psnr()
            yield draw_frame(mapper.map(), np.array(path), rendered, real, [
                f'{time:.0f} s of driving',
                f'{mapper.keyframe_count} keyframes, {mapper.steps:,} training steps',
                '' if math.isnan(quality) else f'PSNR of held-out images: {quality:.0f} dB'])


def draw_frame(
    grid: MapGrid, path: NDArray[np.float64], rendered: Picture, real: Picture,
    figures: list[str],
) -> Picture:  # fmt: skip
    """Return a frame; path (N, 4, 4): T_world_base up to now."""
    plan = draw_map(grid, path)
    width = 3 * MARGIN + plan.shape[1] + VIEW[0]
    canvas = np.empty((2 * MARGIN + 2 * (LINE + VIEW[1]) + GAP, width, 3), np.uint8)
    canvas[:] = PAPER
    left = 2 * MARGIN + plan.shape[1]
    place(canvas, 'Occupancy map', plan, MARGIN, MARGIN)
    place(canvas, 'Rendered from the radiance field', rendered, left, MARGIN)
    place(canvas, 'Camera image', real, left, MARGIN + LINE + VIEW[1] + GAP)
    baseline = MARGIN + LINE + plan.shape[0] + 34
    draw_legend(canvas, baseline)
    for number, figure in enumerate(figures):
        write(canvas, figure, MARGIN, baseline + 40 + number * LINE, TEXT, FAINT)
    return canvas


def place(canvas: Picture, heading: str, picture: Picture, left: int, top: int) -> None:
    """Draw a picture with a heading above it."""
    write(canvas, heading, left, top + TEXT, TEXT, INK, weight=600)
    height, width = picture.shape[:2]
    canvas[top + LINE:top + LINE + height, left:left + width] = picture


def draw_map(grid: MapGrid, path: NDArray[np.float64]) -> Picture:
    """Return a picture of a map with the path (N, 4, 4) of the robot and its last pose."""
    shape = np.round(SIZE / grid.resolution).astype(int)
    offset = np.round((LOW - grid.origin) / grid.resolution).astype(int)
    cells = np.full(shape, UNKNOWN, np.int8)
    first, last = np.maximum(offset, 0), np.minimum(offset + shape, grid.cells.T.shape)
    cells[tuple(map(slice, first - offset, last - offset))] = grid.cells.T[
        tuple(map(slice, first, last))]
    colors = np.empty((*shape[::-1], 3), np.uint8)
    for state, color in CELL_COLORS.items():
        colors[np.flipud(cells.T) == state] = color
    picture = colors.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)

    def pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:  # in 16ths
        scaled = (points - LOW) * [1, -1] + [0, SIZE[1]]
        return np.round(scaled * ZOOM / grid.resolution * 16).astype(np.int32)

    cv2.polylines(picture, [pixels(path[:, :2, 3])], False, PATH_COLOR, 2, cv2.LINE_AA, 4)
    outline = np.array([[0.24, 0.0], [-0.15, 0.14], [-0.07, 0.0], [-0.15, -0.14]])
    position, forward = path[-1, :2, 3], path[-1, :2, :2]
    arrow = pixels(position + outline @ forward.T)
    cv2.fillPoly(picture, [arrow], ROBOT_COLOR, cv2.LINE_AA, 4)
    cv2.polylines(picture, [arrow], True, PAPER, 1, cv2.LINE_AA, 4)
    return picture


def draw_legend(canvas: Picture, baseline: int) -> None:
    """Draw what the colors of the map mean."""
    left, middle = MARGIN, baseline - 6
    for text, state in (('free', FREE), ('occupied', OCCUPIED), ('unknown', UNKNOWN)):
        corners = (left, middle - 8), (left + 16, middle + 8)
        cv2.rectangle(canvas, *corners, CELL_COLORS[state], -1)
        cv2.rectangle(canvas, *corners, FAINT, 1)
        left = 20 + write(canvas, text, left + 24, baseline, TEXT, INK)
    cv2.line(canvas, (left, middle), (left + 24, middle), PATH_COLOR, 2, cv2.LINE_AA)
    write(canvas, 'robot path', left + 32, baseline, TEXT, INK)


def save(path: Path, frames: list[Picture]) -> None:
    """Write frames as an animated WebP, which is smaller than a GIF and has all colors."""
    images = [Image.fromarray(frame) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(
        path, save_all=True, append_images=images[1:], loop=0, quality=QUALITY,
        duration=[FRAME_TIME] * (len(images) - 1) + [LAST_FRAME_TIME])


if __name__ == '__main__':
    main()

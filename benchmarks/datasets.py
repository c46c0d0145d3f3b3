"""What is mapped: recorded scenes where they are there, and a simulated one that always is."""
import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
from truths import BAND, Truth

from instant_nerf_ros.data.frames import Frame, holdout, load_folder, load_reference
from instant_nerf_ros.data.layouts import GRAVITY_FILE
from instant_nerf_ros.data.metrics import OCCUPIED, UNKNOWN, project
from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

sys.path.append(str(Path(__file__).resolve().parents[1] / 'examples'))
from scenes import SimulatedFlat  # noqa: E402

DATA = Path(os.environ.get(
    'INSTANT_NERF_DATA', Path(__file__).resolve().parents[2] / 'shared' / 'data'))
FLAT_FRAMES = 160  # of one lap
TOUCH = 1e-3  # m; whatever a solid reaches into is no place to drive
SCALES = {'fox': 0.3}  # metres per unit, where a scene has no metres
# All images are kept: how many there are is part of the scene.
EXACT = {'motion.align': False, 'motion.stereo': False}  # poses that images need not correct
SETTINGS = {
    'fox': {'sampling.far': 6.0, 'keyframes.min_translation': 0.0, **EXACT},
    'kitchen': {'keyframes.min_translation': 0.0},
    'flat': {'keyframes.min_translation': 0.0},
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """Frames to learn from, and others to be judged by."""

    name: str
    with_depth: bool
    train: list
    held_out: list

    @property
    def title(self):
        """Return the name and what is used of the scene."""
        return f'{self.name} {"RGB-D" if self.with_depth else "RGB"}'

    def mapper(self, seed=0, settings=None):
        """Return a new Mapper with the settings for this scene, and others {name: value}."""
        return Mapper(replace(
            Config(), {**SETTINGS[self.name], 'seed': seed, **(settings or {})}))

    def give(self, frame, mapper):
        """Add a frame to a mapper."""
        mapper.add(frame.image, frame.camera, frame.T_world_camera,
                   frame.depth if self.with_depth else None)

    def trained(self, steps=3, settings=None):
        """Return a Mapper that has all frames and has taken some steps: all is compiled."""
        mapper = self.mapper(settings=settings)
        for frame in self.train:
            self.give(frame, mapper)
        for _ in range(steps):
            mapper.step()
        return mapper


def load(name, with_depth):
    """Return a Scene, or None, with a line that says so, where its data is missing."""
    if name == 'flat':
        frames = _flat()
    elif (DATA / name).is_dir():
        folder = load_folder(DATA / name, scale=SCALES.get(name, 1.0))
        frames = [folder[index] for index in range(len(folder))]
    else:
        print(f'not measured: {name}, which is not in {DATA} (set INSTANT_NERF_DATA)')
        return None
    split = [[], []]
    for index, frame in enumerate(frames):
        split[holdout(index)].append(frame)
    return Scene(name, with_depth, *split)


def load_rgbd():
    """Return the RGB-D scene of the figures of speed: the kitchen, or else the flat."""
    return load('kitchen', True) or load('flat', True)


def load_truth(name):
    """Return the Truth of the kitchen or the flat.

    Of the kitchen all that is known is what was measured, so its occupied cells are what a robot
    can hit. The boxes of the flat are known exactly.
    """
    if name != 'flat':
        states, origin, size = load_reference(DATA / name)
        cells = np.argwhere(project(states, origin, size, *BAND).T == OCCUPIED)
        lows = origin[:2] + cells * size
        with np.load(DATA / name / GRAVITY_FILE) as arrays:
            ended, crossed = arrays['hit_frames'] > 0, arrays['pass_frames'] > 0
        contested = (states == UNKNOWN) & ended & crossed
        return Truth(
            states, states, contested, origin, size, np.stack([lows, lows + size], axis=1))
    states, origin, size = SimulatedFlat(True, 1.0, 320).reference()
    flat = Flat()
    boxes = [[box.low[:2], box.high[:2]] for box in flat.boxes
             if box.low[2] < BAND[1] and box.high[2] > BAND[0]]
    return Truth(states, flat.occupancy(size, TOUCH)[0], np.zeros(states.shape, bool), origin,
                 size, np.array(boxes))


def _flat():
    camera = Camera(320, 240, 230.0, 230.0, 159.5, 119.5)
    flat, tour = Flat(), Tour()
    for time in np.linspace(0.0, tour.duration, FLAT_FRAMES, endpoint=False):
        pose = tour.T_world_camera(time)
        image, depth = flat.render(camera, pose)
        yield Frame(int(time * 1e9), image, camera, pose, depth)

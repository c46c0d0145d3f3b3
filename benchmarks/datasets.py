"""The scenes that are mapped: recorded ones, if they are there, and the simulated flat."""
import dataclasses
import os
import sys
from pathlib import Path

import drives
import numpy as np
from ground_truth import BAND, GroundTruth

from instant_nerf_ros.data.frames import Frame, holdout, load_folder, load_reference
from instant_nerf_ros.data.layouts import REFERENCE_FILE
from instant_nerf_ros.data.metrics import OCCUPIED, UNKNOWN, project
from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

sys.path.append(str(Path(__file__).resolve().parents[1] / 'examples'))
from scenes import SimulatedFlat  # noqa: E402

DATA = Path(os.environ.get(
    'INSTANT_NERF_DATA', Path(__file__).resolve().parents[2] / 'shared' / 'data'))
FLAT_FRAMES = 160  # of one lap
BASE_POSES = 10  # of the robot's base, from one of these frames to the next
MIN_OVERLAP = 1e-3  # m; a robot can collide with whatever reaches into a voxel
SCALES = {'fox': 0.3}  # metres per unit, for scenes that are not in metres
# Every image is kept and trained on: the held-out ones are those of the scene.
ALL_IMAGES = {'keyframes.min_translation': 0.0, 'keyframes.held_out_every': 0}
EXACT_POSES = {'motion.align': False, 'motion.stereo': False}
SETTINGS = {
    'fox': {'sampling.far': 6.0, **ALL_IMAGES, **EXACT_POSES},
    'kitchen': ALL_IMAGES,
    'flat': ALL_IMAGES,
}
BODY = {'body.radius': drives.RADIUS, 'body.height': BAND[1]}


@dataclasses.dataclass(frozen=True)
class Scene:
    """Frames to train on, and held-out frames to measure the quality of views."""

    name: str
    with_depth: bool
    train: list[Frame]
    held_out: list[Frame]
    # Poses of the robot's base until a frame, by its stamp: the body then counts as well.
    base: dict[int, list[Pose]] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the name, and whether depth and the body of the robot are used."""
        body = ', with the body' if self.base else ''
        return f'{self.name} {"RGB-D" if self.with_depth else "RGB"}{body}'

    def mapper(self, seed: int = 0, settings: dict[str, object] | None = None) -> Mapper:
        """Return a new Mapper with the settings of this scene and others, {name: value}."""
        return Mapper(replace(
            Config(), {**SETTINGS[self.name], **(BODY if self.base else {}), 'seed': seed,
                       **(settings or {})}))

    def add(self, frame: Frame, mapper: Mapper) -> None:
        """Add a frame to a mapper, and the poses of the base until then."""
        mapper.add(frame.image, frame.camera, frame.T_world_camera,
                   frame.depth if self.with_depth else None,
                   angular_velocity=frame.angular_velocity)
        for pose in self.base.get(frame.stamp, ()):
            mapper.add_body_pose(pose)

    def trained(self, steps: int = 3, settings: dict[str, object] | None = None) -> Mapper:
        """Return a Mapper with all frames after some steps, so that everything is compiled."""
        mapper = self.mapper(settings=settings)
        for frame in self.train:
            self.add(frame, mapper)
        for _ in range(steps):
            mapper.step()
        return mapper


def load(name: str, with_depth: bool) -> Scene | None:
    """Return a Scene; print a line and return None if its data is missing."""
    if name == 'flat':
        numbered = enumerate(_flat())
    elif (DATA / name).is_dir():
        folder = load_folder(DATA / name, scale=SCALES.get(name, 1.0))
        numbered = folder.readable(range(len(folder)))
    else:
        print(f'not measured: {name}, which is not in {DATA} (set INSTANT_NERF_DATA)')
        return None
    split = [[], []]
    for index, frame in numbered:
        split[holdout(index)].append(frame)
    return Scene(name, with_depth, *split)


def load_rgbd() -> Scene:
    """Return the RGB-D scene on which speed is measured: the kitchen, or else the flat."""
    return load('kitchen', True) or load('flat', True)


def load_ground_truth(name: str) -> GroundTruth:
    """Return the GroundTruth of the kitchen or the flat.

    The kitchen is only known as it was measured, so its occupied cells are the obstacles. The
    boxes of the flat are known exactly.
    """
    if name != 'flat':
        states, origin, size = load_reference(DATA / name)
        cells = np.argwhere(project(states, origin, size, *BAND).T == OCCUPIED)
        lows = origin[:2] + cells * size
        with np.load(DATA / name / REFERENCE_FILE) as arrays:
            hit, crossed = arrays['hit_frames'] > 0, arrays['pass_frames'] > 0
        contested = (states == UNKNOWN) & hit & crossed
        return GroundTruth(
            states, states, contested, origin, size, np.stack([lows, lows + size], axis=1))
    states, origin, size = SimulatedFlat(True, 1.0, 320).reference()
    flat = Flat()
    boxes = [[box.low[:2], box.high[:2]] for box in flat.boxes
             if box.low[2] < BAND[1] and box.high[2] > BAND[0]]
    return GroundTruth(
        states, flat.occupancy(size, MIN_OVERLAP)[0], np.zeros(states.shape, bool), origin, size,
        np.array(boxes))


def flat_base() -> dict[int, list[Pose]]:
    """Return the poses of the robot's base until each frame of the flat, by its stamp."""
    tour, poses = Tour(), {}
    times = _flat_times(tour)
    for before, time in zip([times[0], *times], times):
        poses[int(time * 1e9)] = [
            tour.T_world_base(between) for between in np.linspace(before, time, BASE_POSES)]
    return poses


def _flat_times(tour):
    return np.linspace(0.0, tour.duration, FLAT_FRAMES, endpoint=False)


def _flat():
    camera = Camera(320, 240, 230.0, 230.0, 159.5, 119.5)
    flat, tour = Flat(), Tour()
    for time in _flat_times(tour):
        pose = tour.T_world_camera(time)
        image, depth = flat.render(camera, pose)
        yield Frame(int(time * 1e9), image, camera, pose, depth)

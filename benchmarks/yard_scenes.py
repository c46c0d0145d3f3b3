"""The yard: random buildings, of which some are developed with and others only reported."""
import dataclasses
import math
from pathlib import Path

import numpy as np
from cache import cached, key
from ground_truth import BAND, GroundTruth
from numpy.typing import NDArray
from visibility import Visibility

from instant_nerf_ros import simulation
from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN, dilate
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.building import MIN_OVERLAP, Building
from instant_nerf_ros.simulation.generator import generate
from instant_nerf_ros.simulation.imperfections import (
    EXACT,
    REALISTIC,
    Drift,
    with_pose_noise,
)
from instant_nerf_ros.simulation.recording import Capture, Recording
from instant_nerf_ros.simulation.route import survey
from instant_nerf_ros.simulation.walker import Walker

VOXEL_SIZE = 0.05  # m
TOUCHED = 1e-3  # m; a robot can collide with whatever reaches into a voxel
CAMERA = Camera(320, 240, 230.0, 230.0, 159.5, 119.5)
TRANSLATION, ROTATION = 0.5, math.radians(40.0)  # between two images that are used


@dataclasses.dataclass(frozen=True)
class YardScene:
    """A building, the robot in it, and its sensor."""

    seed: int
    kind: str
    contrast: float = 1.0  # of textures: 0 plain, 1 rich
    brightness: float = 1.0  # of the lamps
    far: float = 8.0  # m, the range of the depth sensor
    height: float = 0.6  # m, of the camera
    pitch: float = 8.0  # degrees, downward
    rate: float = 15.0  # Hz
    walker: bool = False


# Rules are made with these.
DEVELOPED = (
    YardScene(1, 'flat', 1.0, 1.0, 8.0, 0.6, 8.0, 15.0),
    YardScene(2, 'flat', 0.6, 0.7, 3.0, 0.3, 0.0, 10.0),
    YardScene(3, 'flat', 0.2, 1.0, 8.0, 1.2, 20.0, 30.0, True),
    YardScene(4, 'flat', 0.0, 1.0, 3.0, 0.9, 15.0, 15.0),
    YardScene(5, 'office', 1.0, 1.0, 8.0, 0.2, -5.0, 30.0),
    YardScene(6, 'office', 0.6, 1.2, 3.0, 1.0, 15.0, 5.0, True),
    YardScene(7, 'office', 0.0, 0.8, 8.0, 1.5, 25.0, 15.0),
    YardScene(8, 'corridor', 1.0, 0.6, 8.0, 0.5, 5.0, 10.0, True),
    YardScene(9, 'corridor', 0.4, 1.0, 3.0, 0.8, 10.0, 15.0),
    YardScene(10, 'corridor', 0.0, 1.0, 8.0, 0.3, 0.0, 20.0),
)
# These are reported: no rule may be chosen by what it does here.
REPORTED = (
    YardScene(101, 'flat', 1.0, 0.8, 3.0, 0.8, 10.0, 15.0, True),
    YardScene(102, 'flat', 0.5, 1.0, 8.0, 0.2, 0.0, 30.0),
    YardScene(103, 'flat', 0.0, 0.9, 8.0, 1.0, 15.0, 10.0),
    YardScene(104, 'office', 1.0, 1.0, 3.0, 0.5, 5.0, 15.0),
    YardScene(105, 'office', 0.3, 0.7, 8.0, 0.7, 8.0, 5.0, True),
    YardScene(106, 'office', 0.0, 1.0, 8.0, 1.3, 22.0, 20.0),
    YardScene(107, 'office', 0.7, 1.1, 8.0, 0.3, -3.0, 30.0),
    YardScene(108, 'corridor', 1.0, 1.0, 8.0, 1.5, 25.0, 15.0),
    YardScene(109, 'corridor', 0.2, 0.8, 3.0, 0.4, 3.0, 10.0),
    YardScene(110, 'corridor', 0.8, 1.0, 8.0, 0.9, 12.0, 5.0, True),
)
SCENES = {scene.seed: scene for scene in DEVELOPED + REPORTED}


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The frames of a scene, and what is true of it."""

    scene: YardScene
    frames: list[Frame]
    truth: GroundTruth  # of the surfaces and the free space that its depth images measured
    seen: NDArray[np.bool_]  # (nx, ny, nz) voxels that cameras or measured rays may have touched
    hidden: NDArray[np.int8]  # states of voxels that cameras saw from two places without depth
    holes: float  # share of pixels without depth


def load_yard(scene: YardScene, exact: bool) -> Recorded:
    """Return a scene with realistic or exact sensors; it is rendered once, and then cached."""
    return cached(scene_key(scene, exact), lambda: record(scene, exact))


def scene_key(scene: YardScene, exact: bool) -> str:
    """Return a text that is another one for another scene or another simulation."""
    here = Path(__file__)
    return key(f'{scene.seed}-{"exact" if exact else "realistic"}', (scene, exact), [
        here, here.with_name('visibility.py'), *Path(simulation.__file__).parent.glob('*.py')])


def recording(scene: YardScene, exact: bool) -> tuple[Building, Recording]:
    """Return the building and the recording of a scene."""
    errors = REALISTIC if not exact else EXACT
    errors = dataclasses.replace(errors, depth=dataclasses.replace(errors.depth, far=scene.far))
    building = generate(scene.kind, scene.seed, scene.contrast, scene.brightness)
    route = survey(building)
    return building, Recording(
        building, route, CAMERA, scene.height, math.radians(scene.pitch), scene.rate, errors,
        Walker(route) if scene.walker else None, scene.seed)


def base_poses(scene: YardScene, exact: bool) -> list[tuple[int, NDArray[np.float64]]]:
    """Return stamps [ns] and poses (4, 4) of the robot's base as its TF has them, at each image.

    They have the same drift as the poses of the camera, and noise of the same size.
    """
    _, drive = recording(scene, exact)
    random = np.random.default_rng(scene.seed)
    drift = Drift(drive.imperfections, random)
    times = np.arange(int(drive.route.duration * scene.rate) + 1) / scene.rate
    return [(round(time * 1e9), with_pose_noise(
        drift.displaced(drive.route.T_world_base(time), time), drive.imperfections, random))
        for time in times]


def record(scene: YardScene, exact: bool) -> Recorded:
    """Return the frames of a scene and its ground truth."""
    building, drive = recording(scene, exact)
    solid, origin = building.occupancy(VOXEL_SIZE, TOUCHED)
    firm = building.occupancy(VOXEL_SIZE, MIN_OVERLAP)[0] == OCCUPIED
    by_camera, by_depth, claimed = (
        Visibility(firm, origin, VOXEL_SIZE) for _ in range(3))
    frames, holes = [], []
    for capture in drive.captures(TRANSLATION, ROTATION):
        frames.append(_compact(capture.frame))
        holes.append(float((capture.frame.depth == 0).mean()))
        _add(capture, by_camera, by_depth, claimed)
    return Recorded(
        scene, frames, _truth(building, solid, firm, origin, by_depth),
        dilate(by_camera.seen | claimed.seen),
        _hidden(solid, firm, by_camera, by_depth), float(np.mean(holes)))


def _add(
    capture: Capture, by_camera: Visibility, by_depth: Visibility, claimed: Visibility,
) -> None:  # fmt: skip
    """Add an image to what cameras saw, what depth images measured, and what these claim."""
    pose, depth, measured = capture.T_world_camera, capture.depth, capture.frame.depth > 0
    by_camera.add(capture.lens, pose, depth, capture.still)
    by_depth.add(capture.lens, pose, np.where(measured, depth, np.float32(0)), capture.still)
    claimed.add(capture.frame.camera, capture.frame.T_world_camera, capture.frame.depth,
                np.zeros(depth.shape, bool))


def _truth(
    building: Building, solid: NDArray[np.int8], firm: NDArray[np.bool_],
    origin: NDArray[np.float64], measured: Visibility,
) -> GroundTruth:  # fmt: skip
    """Return the ground truth of what was measured.

    Free is where no solid reaches into a voxel that a ray crossed; occupied is where one ended.
    """
    free = (solid == FREE) & measured.seen
    states = np.where(free, FREE, np.where(measured.ended > 0, OCCUPIED, UNKNOWN))
    solid = np.where((solid == FREE) & ~free, UNKNOWN, solid)
    return GroundTruth(
        states.astype(np.int8), solid.astype(np.int8), np.zeros(solid.shape, bool), origin,
        VOXEL_SIZE, building.footprints(*BAND), building.yaw)


def _hidden(
    solid: NDArray[np.int8], firm: NDArray[np.bool_], camera: Visibility, depth: Visibility,
) -> NDArray[np.int8]:  # fmt: skip
    """Return the states of voxels that were in images of two places, but in no depth image."""
    twice = (camera.crossed > 1) | (camera.ended > 1)
    states = np.where(solid == FREE, FREE, np.where(firm & (camera.ended > 1), OCCUPIED, UNKNOWN))
    return np.where(twice & ~depth.seen, states, UNKNOWN).astype(np.int8)


def _compact(frame: Frame) -> Frame:
    """Return a frame whose depth is in full millimetres, as 16UC1 has it."""
    return dataclasses.replace(frame, depth=np.round(frame.depth, 3))

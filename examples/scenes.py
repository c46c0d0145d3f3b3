"""The scenes of the demo: their images, held-out views and ground truth."""
import os.path
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.bags import is_bag, open_recording
from instant_nerf_ros.data.cameras import find_camera
from instant_nerf_ros.data.frames import Frame, holdout, load_folder, load_reference
from instant_nerf_ros.data.metrics import OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

VOXEL_SIZE = 0.05  # m
CAMERA_TOPICS = {  # of the simulated robot and of a replayed folder
    'image': 'camera/color/image_raw',
    'camera_info': 'camera/color/camera_info',
    'depth': 'camera/depth/image_raw',
}
VIEWS = 12  # held out, along the simulated tour
# m right, down and ahead of the camera: below it, so that no more of the ceiling is in view.
OFFSET = np.array([0.12, 0.15, -0.10])
SURVEY_IMAGES = 200  # along the tour, to find the visible voxels
# How far behind a surface its solid voxel is searched, per distance: thin objects (a picture on a
# wall) do not occupy the voxel of their surface.
BEHIND = (0.001, 0.01, 0.03)

Pose = NDArray[np.float64]  # T_world_camera (4, 4)
Reference = tuple[NDArray[np.int8], NDArray[np.float64], float]  # states, origin [m], voxel size


class Scene(Protocol):
    """A source of images for the mapper, and what is known about the place."""

    name: str
    node: str  # the node that publishes the images
    parameters: Mapping[str, object]  # of the node
    topics: Mapping[str, str]  # of the node, by the names that the mapper has for them
    mapper_parameters: Mapping[str, object]  # which these topics require

    def held_out_poses(self) -> list[Pose]:
        """Return the poses from which views are rendered."""

    def held_out(self) -> list[Frame]:
        """Return the true images of these poses."""

    def reference(self) -> Reference | None:
        """Return the true states of the voxels, None if they are not known."""


def open_scene(path: str | None, with_depth: bool, laps: float, width: int) -> Scene:
    """Return the scene of a path, or the simulated flat for None.

    Raises FileNotFoundError or ValueError, with the reason.
    """
    if path is None:
        return SimulatedFlat(with_depth, laps, width)
    return Bag(path) if is_bag(path) else Folder(path, with_depth)


class SimulatedFlat:
    """The robot of sim_robot in its flat."""

    name = 'simulated flat'
    node = 'sim_robot'
    topics = CAMERA_TOPICS
    mapper_parameters: Mapping[str, object] = {}

    def __init__(self, with_depth: bool, laps: float, width: int) -> None:
        """Drive so many laps with images of a width [pixels]."""
        height = width * 3 // 4
        self.parameters = {
            'laps': laps, 'width': width, 'height': height, 'wait_for_subscriber': 60.0,
            'depth_encoding': '16UC1' if with_depth else 'none'}
        focal = 0.72 * width
        self._camera = Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        self._tour = Tour()
        self._driven = min(laps, 1.0) * self._tour.duration
        self._flat: Flat | None = None

    def held_out_poses(self) -> list[Pose]:
        """Return poses beside the path, at positions and heights where the camera never was."""
        poses = []
        for number, time in enumerate(np.linspace(0.0, self._driven, VIEWS + 2)[1:-1]):
            T_camera_view = np.eye(4)
            T_camera_view[:3, 3] = OFFSET * (-1 if number % 2 else 1, 1, 1)
            poses.append(self._tour.T_world_camera(time) @ T_camera_view)
        return poses

    def held_out(self) -> list[Frame]:
        """Return the Frames of these poses."""
        return [
            Frame(0, image, self._camera, pose, depth)
            for pose in self.held_out_poses()
            for image, depth in [self._built().render(self._camera, pose)]]

    def reference(self) -> Reference:
        """Return the states of free space and of the surfaces that can be seen.

        Solid voxels in which no ray of the images along the path ends are unknown.
        """
        states, origin = self._built().occupancy(VOXEL_SIZE)
        seen = np.zeros(states.shape, bool)
        camera = self._camera.scaled(80, 60)
        rays = camera.directions() / camera.directions()[:, 2:]
        for time in np.linspace(0.0, self._driven, SURVEY_IMAGES):
            T_world_camera = self._tour.T_world_camera(time)
            _, depth = self._built().render(camera, T_world_camera)
            ends = np.append(rays * depth.reshape(-1, 1), np.ones((len(rays), 1)), axis=1)
            ends = (ends @ T_world_camera.T)[:, :3]
            for behind in BEHIND:
                points = ends + behind * (ends - T_world_camera[:3, 3])
                index = tuple(np.floor((points - origin) / VOXEL_SIZE).astype(int).T)
                seen[index] = True
                ends = ends[states[index] != OCCUPIED]
        states[(states == OCCUPIED) & ~seen] = UNKNOWN
        return states, origin, VOXEL_SIZE

    def _built(self) -> Flat:
        self._flat = self._flat or Flat()  # takes seconds, during which the mapper can start
        return self._flat


class Folder:
    """A folder of posed images, replayed at the recorded rate without every eighth."""

    node = 'replay'
    topics = CAMERA_TOPICS
    mapper_parameters: Mapping[str, object] = {}

    def __init__(self, path: str, with_depth: bool) -> None:
        """Open the folder."""
        self._path, frames = path, load_folder(path)
        self.name = os.path.basename(os.path.abspath(path))
        self.parameters = {'path': path, 'hold_out': True, 'with_depth': with_depth}
        indices = [index for index in range(len(frames)) if holdout(index)]
        try:
            self._held_out = [frame for _, frame in frames.readable(indices)]
        except ValueError as error:  # the others may still be mapped
            print(f'{path}: nothing to compare with: {error}')
            self._held_out = []

    def held_out_poses(self) -> list[Pose]:
        """Return the poses of the frames that are not replayed."""
        return [frame.T_world_camera for frame in self._held_out]

    def held_out(self) -> list[Frame]:
        """Return the readable Frames that are not replayed."""
        return self._held_out

    def reference(self) -> Reference | None:
        """Return the reference occupancy of the folder, None without one."""
        try:
            return load_reference(self._path)
        except FileNotFoundError:
            return None


class Bag:
    """A rosbag2; there is neither a held-out image nor ground truth."""

    node = 'replay'

    def __init__(self, path: str) -> None:
        """Find the topics of the camera."""
        self.name = os.path.basename(os.path.abspath(path))
        self.parameters = {'path': path}
        with open_recording(path) as recording:
            camera = find_camera(recording)
        print(f'{path}: {camera.reason}')
        self.topics = {'image': camera.image, 'camera_info': camera.camera_info}
        self.mapper_parameters = {'image_transport': camera.image_transport}
        if camera.depth:
            self.topics.update(depth=camera.depth, depth_camera_info=camera.depth_camera_info)
            self.mapper_parameters['depth_transport'] = camera.depth_transport

    def held_out_poses(self) -> list[Pose]:
        """Return no poses: all images are replayed."""
        return []

    def held_out(self) -> list[Frame]:
        """Return no Frames."""
        return []

    def reference(self) -> None:
        """Return None: the ground truth is not known."""
        return None

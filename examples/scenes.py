"""What the demo can map: where the images come from, and what is true there."""
import os.path

import numpy as np

from instant_nerf_ros.data.bags import is_bag, open_bag
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
VIEWS = 12  # held out of the simulated tour
# m right, down, ahead of where the robot was: from lower, no more of the ceiling is seen.
BESIDE = np.array([0.12, 0.15, -0.10])
LOOKS = 200  # along the tour, to find out what can be seen
# Shares of the distance behind a surface at which its solid voxel is looked for: thin things (a
# picture on a wall) do not fill the voxel of their surface.
BEHIND = (0.001, 0.01, 0.03)


def open_scene(path, with_depth, laps, width):
    """Return the scene of a path, or the simulated flat without one.

    Raises FileNotFoundError or ValueError with what is wrong.
    """
    if path is None:
        return SimulatedFlat(with_depth, laps, width)
    return Bag(path) if is_bag(path) else Folder(path, with_depth)


class SimulatedFlat:
    """The robot of sim_robot in its flat."""

    name = 'simulated flat'
    node = 'sim_robot'
    topics = CAMERA_TOPICS

    def __init__(self, with_depth, laps, width):
        """Keep how much of the tour is driven, and the image width [pixels]."""
        height = width * 3 // 4
        self.parameters = {
            'laps': laps, 'width': width, 'height': height, 'wait_for_subscriber': 60.0,
            'depth_encoding': '16UC1' if with_depth else 'none'}
        focal = 0.72 * width
        self._camera = Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        self._tour = Tour()
        self._driven = min(laps, 1.0) * self._tour.duration
        self._flat = None

    def held_out_poses(self):
        """Return poses beside the way, at places and heights where the robot never was."""
        poses = []
        for number, time in enumerate(np.linspace(0.0, self._driven, VIEWS + 2)[1:-1]):
            T_camera_beside = np.eye(4)
            T_camera_beside[:3, 3] = BESIDE * (-1 if number % 2 else 1, 1, 1)
            poses.append(self._tour.T_world_camera(time) @ T_camera_beside)
        return poses

    def held_out(self):
        """Return the Frames of these poses."""
        return [
            Frame(0, image, self._camera, pose, depth)
            for pose in self.held_out_poses()
            for image, depth in [self._built().render(self._camera, pose)]]

    def reference(self):
        """Return states, origin and voxel size: free space, and the solids that can be seen.

        Solid voxels in which no look along the way ends are unknown.
        """
        states, origin = self._built().occupancy(VOXEL_SIZE)
        seen = np.zeros(states.shape, bool)
        camera = self._camera.scaled(80, 60)
        rays = camera.directions() / camera.directions()[:, 2:]
        for time in np.linspace(0.0, self._driven, LOOKS):
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

    def _built(self):
        self._flat = self._flat or Flat()
        return self._flat


class Folder:
    """A folder of posed images, replayed at the recorded rate without every eighth."""

    node = 'replay'
    topics = CAMERA_TOPICS

    def __init__(self, path, with_depth):
        """Open the folder."""
        self._path, self._frames = path, load_folder(path)
        self.name = os.path.basename(os.path.abspath(path))
        self.parameters = {'path': path, 'hold_out': True, 'with_depth': with_depth}

    def held_out_poses(self):
        """Return the poses of the frames that are not replayed."""
        entries = self._frames.entries
        return [entry.T_world_camera for i, entry in enumerate(entries) if holdout(i)]

    def held_out(self):
        """Return the Frames that are not replayed."""
        return [self._frames[i] for i in range(len(self._frames)) if holdout(i)]

    def reference(self):
        """Return states, origin and voxel size of the folder's reference, None without one."""
        try:
            return load_reference(self._path)
        except FileNotFoundError:
            return None


class Bag:
    """A rosbag2, of which nothing more is known."""

    node = 'replay'

    def __init__(self, path):
        """Find the topics of the camera."""
        self.name = os.path.basename(os.path.abspath(path))
        self.parameters = {'path': path}
        with open_bag(path) as (types, _):
            images = sorted(topic for topic, kind in types.items() if kind.endswith('/Image'))
            infos = sorted(topic for topic, kind in types.items() if kind.endswith('/CameraInfo'))
        depths = [topic for topic in images if 'depth' in topic]
        colors = [topic for topic in images if 'depth' not in topic]
        if not colors or not infos:
            raise ValueError(
                f'{path} needs a topic of colour images (sensor_msgs/Image) and their CameraInfo')
        self.topics = {
            'image': colors[0],
            'camera_info': max(
                infos, key=lambda info: len(os.path.commonprefix([info, colors[0]])))}
        if depths:
            self.topics['depth'] = depths[0]

    def held_out_poses(self):
        """Return no poses: all images were played."""
        return []

    def held_out(self):
        """Return no Frames."""
        return []

    def reference(self):
        """Return None: the truth is not known."""
        return None

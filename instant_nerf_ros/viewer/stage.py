"""The stage: the objects in the scene that all browsers share."""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import viser
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from instant_nerf_ros.viewer.picture_source import Keyframe

SLAB = 0.25  # m, height of the layers of voxels that are shown and hidden as one
OUTLIERS = 1  # percent of the voxels on each side that an overview may leave out
# Of Okabe and Ito (2008), which people with all kinds of color vision tell apart.
BLUE, ORANGE, PURPLE = (0, 114, 178), (230, 159, 0), (204, 121, 167)
FREE, OCCUPIED = (225, 225, 225, 200), (30, 30, 30, 255)
CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32) - 0.5
FACES = np.array([
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])
NO_SHADOW: Any = {'cast_shadow': False, 'receive_shadow': False}

OnClick = Callable[[viser.ClientHandle, int], None]


class Stage:
    """Shows keyframes, voxels, map, mesh, robot, path and plan; may be called by any thread.

    Everything stands below a node of the scene with the name of its layer, e.g. /keyframes/0007,
    voxels also below that of their slab: browsers hide these nodes.
    """

    def __init__(self, server: viser.ViserServer, on_keyframe: OnClick) -> None:
        """Keep the server; on_keyframe(client, index) is called when one is clicked."""
        self._scene, self._on_keyframe = server.scene, on_keyframe
        self._scene.configure_default_lights(cast_shadow=False)
        self._lock = threading.Lock()
        self._slabs: dict[int, tuple[NDArray, NDArray, float]] = {}
        self._keyframes: list[Keyframe] = []
        self._handles: list[Any] = []
        self._lines: dict[str, NDArray] = {}
        self._robot: viser.FrameHandle | None = None
        self._T_world_robot = np.zeros((4, 4))  # as it is shown
        self.on_slabs: Callable[[], None] = lambda: None  # when there are others
        self.floor = 0.0  # m

    @property
    def slabs(self) -> list[int]:
        """Return the numbers of the slabs with voxels.

        The n-th begins n * SLAB above the voxels of the floor, which are in those below 0.
        """
        return sorted(self._slabs)

    @property
    def keyframes(self) -> list[Keyframe]:
        """Return the keyframes that are shown."""
        return self._keyframes

    def extent(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return two corners (3,) [m] of a box around keyframes and voxels, None without any.

        The outermost voxels, which are often wrong, may lie outside of it.
        """
        corners = [keyframe.T_world_camera[:3, 3] for keyframe in self._keyframes]
        with self._lock:
            slabs = [centers for centers, *_ in self._slabs.values()]
        if slabs:
            shares = OUTLIERS, 100 - OUTLIERS
            corners.extend(np.percentile(np.concatenate(slabs), shares, axis=0))
        return (np.min(corners, axis=0), np.max(corners, axis=0)) if corners else None

    def show_voxels(
        self, centers: NDArray[np.floating], colors: NDArray[np.uint8], size: float,
    ) -> None:  # fmt: skip
        """Show cubes at centers (N, 3) [m] with colors (N, 3); size: their edge [m]."""
        numbers = np.floor((centers[:, 2] - self.floor - size) / SLAB).astype(int)
        with self._lock:
            before = self.slabs
            for number in {*np.unique(numbers).tolist(), *before}:
                inside = numbers == number
                self._show_slab(number, centers[inside], colors[inside], size)
            changed = self.slabs != before
        if changed:
            self.on_slabs()

    def _show_slab(
        self, number: int, centers: NDArray, colors: NDArray, size: float,
    ) -> None:  # fmt: skip
        name = f'/voxels/{number}/cubes'
        if not len(centers):
            self._scene.remove_by_name(name)
            del self._slabs[number]
            return
        shown = self._slabs.get(number)
        if shown and shown[2] == size and np.array_equal(shown[0], centers) and np.array_equal(
                shown[1], colors):
            return
        self._slabs[number] = centers, colors, size
        upright = np.tile(np.array([1.0, 0.0, 0.0, 0.0], np.float32), (len(centers), 1))
        self._scene.add_batched_meshes_simple(
            name, CUBE * np.float32(size), FACES, upright, centers.astype(np.float32),
            batched_colors=colors, flat_shading=True, lod='off', **NO_SHADOW)

    def show_map(
        self, cells: NDArray[np.int8], origin: Sequence[float], resolution: float, floor: float,
    ) -> None:  # fmt: skip
        """Show a map on the floor: cells (ny, nx) -1, 0, 100; the lower left corner (x, y) [m]."""
        self.floor = floor
        if not (cells >= 0).any():
            self._scene.remove_by_name('/map/cells')
            return
        image = np.zeros((*cells.shape, 4), np.uint8)
        image[cells == 0], image[cells > 0] = FREE, OCCUPIED
        height, width = (size * resolution for size in cells.shape)
        # The axes of an image node are those of images: x right and y down, so it lies face down.
        self._scene.add_image(
            '/map/cells', image[::-1], width, height, format='png', **NO_SHADOW,
            wxyz=(0.0, 1.0, 0.0, 0.0),
            position=(origin[0] + width / 2, origin[1] + height / 2, floor - resolution / 2))

    def show_keyframes(self, keyframes: Sequence[Keyframe]) -> None:
        """Show the frustums of keyframes; only those that have changed are sent."""
        with self._lock:
            while len(self._handles) > len(keyframes):
                self._handles.pop().remove()
            for index, keyframe in enumerate(keyframes):
                shown = self._keyframes[index] if index < len(self._handles) else None
                if shown is None or not _same(shown, keyframe):
                    self._show_keyframe(index, keyframe)
            self._keyframes = list(keyframes)

    def _show_keyframe(self, index: int, keyframe: Keyframe) -> None:
        handle = self._scene.add_camera_frustum(
            f'/keyframes/{index:04d}', keyframe.fov, keyframe.aspect, scale=0.12,
            thickness=0.004, color=BLUE, image=keyframe.thumbnail, **NO_SHADOW,
            wxyz=wxyz(keyframe.T_world_camera), position=keyframe.T_world_camera[:3, 3])
        handle.on_click(lambda event: self._on_keyframe(event.client, index))
        self._handles[index:index + 1] = [handle]

    def show_robot(self, T_world_robot: NDArray[np.float64]) -> None:
        """Show the robot at a pose (4, 4)."""
        if self._robot is None:
            self._robot = self._scene.add_frame('/robot/pose', axes_length=0.4, axes_radius=0.02)
            self._scene.add_label('/robot/pose/name', 'robot', position=(0.0, 0.0, 0.25))
        if not np.array_equal(self._T_world_robot, T_world_robot):
            self._T_world_robot = T_world_robot
            self._robot.wxyz, self._robot.position = wxyz(T_world_robot), T_world_robot[:3, 3]

    def show_path(self, positions: NDArray[np.floating]) -> None:
        """Show where the camera was: a line through positions (N, 3) [m]."""
        self._line('/path/line', positions, ORANGE, 2.5)

    def show_plan(self, positions: NDArray[np.floating]) -> None:
        """Show where the robot is going to drive: a line through positions (N, 3) [m]."""
        self._line('/plan/line', positions, PURPLE, 5.0)

    def show_goal(self, T_world_goal: NDArray[np.float64]) -> None:
        """Show the goal of the robot at a pose (4, 4)."""
        self._scene.add_frame(
            '/plan/goal', axes_length=0.3, axes_radius=0.015, wxyz=wxyz(T_world_goal),
            position=T_world_goal[:3, 3])
        self._scene.add_label('/plan/goal/name', 'goal', position=(0.0, 0.0, 0.2))

    def show_mesh(
        self, positions: NDArray[np.floating], colors: NDArray[np.uint8], faces: NDArray,
    ) -> None:  # fmt: skip
        """Show triangles: positions (N, 3) [m], colors (N, 3), faces (M, 3)."""
        import trimesh
        self._scene.add_mesh_trimesh(
            '/mesh/triangles', trimesh.Trimesh(
                positions, faces, vertex_colors=colors, process=False), **NO_SHADOW)

    def _line(self, name: str, positions: NDArray, color: Any, width: float) -> None:
        if np.array_equal(self._lines.get(name, ()), positions):
            return
        self._lines[name] = positions
        if len(positions) < 2:
            self._scene.remove_by_name(name)
            return
        points = np.stack([positions[:-1], positions[1:]], axis=1).astype(np.float32)
        self._scene.add_line_segments(
            name, points, color, thickness=width, thickness_units='screen')


def wxyz(T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quaternion w, x, y, z of a pose (4, 4)."""
    x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
    return np.array([w, x, y, z])


def _same(one: Keyframe, other: Keyframe) -> bool:
    return one is other or (
        one.thumbnail is other.thumbnail and one.fov == other.fov
        and np.array_equal(one.T_world_camera, other.T_world_camera))

"""BrowserPanel: what one browser shows, and from where."""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import viser
from numpy.typing import NDArray

from instant_nerf_ros.viewer.comparison import open_comparison
from instant_nerf_ros.viewer.picture_source import Source
from instant_nerf_ros.viewer.rendered_pictures import RenderedPictures
from instant_nerf_ros.viewer.stage import SLAB, Stage

CEILING = 1.8  # m above the floor: what is higher is hidden at first, to look into rooms
LAYERS = {  # of the stage: (title, what it is)
    'voxels': ('Voxels', 'cubes that the map takes for occupied'),
    'map': ('Map on the floor', 'white: free, black: occupied, nothing: unknown'),
    'keyframes': ('Keyframes', 'the images that are mapped; click one to see how well'),
    'path': ('Path of the camera', 'orange line'),
    'robot': ('Robot', 'its axes: x, the red one, is ahead'),
    'plan': ('Plan and goal', 'purple line: where Nav2 drives'),
    'mesh': ('Mesh', 'the surface as triangles; made when it is first shown'),
}


class BrowserPanel:
    """Layers, heights and viewpoints of one browser, in its own panel."""

    def __init__(
        self, client: viser.ClientHandle, stage: Stage, source: Source,
        pictures: RenderedPictures, layers: dict[str, bool],
        on_layer: Callable[[str, bool], None] = lambda name, shown: None,
    ) -> None:  # fmt: skip
        """Create the panel; layers {name: shown at first}, with 'field' for the pictures.

        on_layer(name, shown) is called when a layer is switched.
        """
        self._client, self._stage, self._source = client, stage, source
        self._pictures, self._on_layer = pictures, on_layer
        self._slabs: dict[int, viser.FrameHandle] = {}
        self._boxes: dict[str, viser.GuiCheckboxHandle] = {}  # of the layers
        gui = client.gui
        with gui.add_folder('Show', order=1):
            self._add_field(layers['field'])
            for name, shown in layers.items():
                if name != 'field':
                    self._add_layer(name, shown)
            self._band = gui.add_multi_slider(
                'Heights [m]', -1.0, 4.0, SLAB, (0.0, CEILING),
                hint='voxels between these heights above the floor are shown; below 0: the floor')
            self._band.on_update(lambda _: self.apply_band())
        with gui.add_folder('Look', order=2):
            self._keyframe = gui.add_number('Keyframe', 0, min=0, step=1, hint=(
                'the number of a keyframe; a click on one in the scene does the same'))
            fly, compare = gui.add_button('Stand there'), gui.add_button('Compare with image')
            overview = gui.add_button('Overview')
        fly.on_click(lambda _: self.stand_at(int(self._keyframe.value)))
        compare.on_click(lambda _: self.compare(int(self._keyframe.value)))
        overview.on_click(lambda _: self.overview())
        self.apply_band()

    def _add_field(self, shown: bool) -> None:
        box = self._client.gui.add_checkbox('Rendered view', shown, hint=(
            'the field from where you look: coarse while you move, sharp when you rest'))
        box.on_update(lambda _: self._show_field(box.value))
        self._show_field(shown)

    def _show_field(self, shown: bool) -> None:
        (self._pictures.show if shown else self._pictures.hide)(self._client)

    def _add_layer(self, name: str, shown: bool) -> None:
        title, hint = LAYERS[name]
        # A node of this browser alone: it hides what all browsers share below it.
        parent = self._client.scene.add_frame(f'/{name}', show_axes=False, visible=shown)
        box = self._boxes[name] = self._client.gui.add_checkbox(title, shown, hint=hint)

        @box.on_update
        def _(_: object) -> None:
            parent.visible = box.value
            self._on_layer(name, box.value)

    def apply_band(self) -> None:
        """Show the slabs of voxels within the heights; to be called when there are new ones."""
        low, high = self._band.value
        for number in self._stage.slabs:
            inside = low <= (number + 0.5) * SLAB <= high
            if number not in self._slabs:
                self._slabs[number] = self._client.scene.add_frame(
                    f'/voxels/{number}', show_axes=False, visible=inside)
            self._slabs[number].visible = inside

    def choose(self, index: int) -> None:
        """Take a keyframe that was clicked, and compare it."""
        self._keyframe.value = index  # type: ignore[misc]  # the setter accepts it
        self.compare(index)

    def compare(self, index: int) -> None:
        """Open the window that compares a keyframe with its view."""
        keyframes = self._stage.keyframes
        if 0 <= index < len(keyframes):
            open_comparison(self._client, self._source, index, keyframes[index].name)
        else:
            self._missing()

    def stand_at(self, index: int) -> None:
        """Move the camera of the browser to a keyframe, and hide those that stand before it."""
        keyframes = self._stage.keyframes
        if not 0 <= index < len(keyframes):
            self._missing()
            return
        self._boxes['keyframes'].value = False  # type: ignore[misc]  # as above
        T, camera = keyframes[index].T_world_camera, self._client.camera
        with self._client.atomic():
            camera.position = T[:3, 3]
            camera.look_at = T[:3, 3] + T[:3, 2]
            camera.up_direction = (0.0, 0.0, 1.0) if abs(T[2, 2]) < 0.9 else -T[:3, 1]

    def overview(self) -> None:
        """Look at everything from above, at an angle; keyframes are shown again."""
        extent, camera = self._stage.extent(), self._client.camera
        if extent is None:
            self._missing()
            return
        self._boxes['keyframes'].value = True  # type: ignore[misc]  # as above
        position, target = overview_of(
            *extent, camera.fov, camera.image_width / max(camera.image_height, 1))
        with self._client.atomic():
            camera.position, camera.look_at = position, target
            camera.up_direction = (0.0, 0.0, 1.0)

    def _missing(self) -> None:
        count = len(self._stage.keyframes)
        text = f'there are keyframes 0 to {count - 1}' if count else 'there is no keyframe yet'
        self._client.add_notification('No such keyframe', text, auto_close_seconds=4.0)


def overview_of(
    low: NDArray[np.float64], high: NDArray[np.float64], fov: float, aspect: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return position (3,) and target (3,) [m] from which a box is seen as a whole.

    low and high (3,) [m] are corners of the box, fov [rad] is the vertical field of view, and
    aspect is width / height of the picture. A wide picture is not filled: panels need the room.
    """
    target = (low + high) / 2
    axis = np.array([0.45, 0.55, -0.95])
    axis /= np.linalg.norm(axis)
    right = np.cross(axis, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    corners = np.array(list(itertools.product(*zip(low, high)))) - target
    # A corner x beside the axis, and z along it, is seen from a distance d if x < tan * (d + z).
    tangent = math.tan(fov / 2)
    across = np.abs(corners @ right) / (tangent * min(aspect, 1.0))
    upward = np.abs(corners @ np.cross(axis, right)) / tangent
    distance = np.max(np.maximum(across, upward) - corners @ axis)
    return target - max(distance, 1.0) * axis, target

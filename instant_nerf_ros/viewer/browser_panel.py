"""BrowserPanel: what one browser shows, and from where."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import viser
from numpy.typing import NDArray

from instant_nerf_ros.viewer.comparison import open_comparison
from instant_nerf_ros.viewer.picture_source import Keyframe, Source
from instant_nerf_ros.viewer.rendered_pictures import FOV, RenderedPictures
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
        gui = client.gui
        with gui.add_folder('Show', order=1):
            self._add_field(layers['field'])
            for name, shown in layers.items():
                if name != 'field':
                    self._add_layer(name, shown)
            self._band = gui.add_multi_slider(
                'Heights [m]', -1.0, 4.0, SLAB, (-1.0, CEILING),
                hint='voxels between these heights above the floor are shown')
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
        box = self._client.gui.add_checkbox(title, shown, hint=hint)

        @box.on_update
        def _(_: object) -> None:
            parent.visible = box.value
            self._on_layer(name, box.value)

    def apply_band(self) -> None:
        """Show the slabs of voxels within the heights; to be called when there are new ones."""
        low, high = (height + self._stage.floor for height in self._band.value)
        for number in self._stage.slabs:
            middle = (number + 0.5) * SLAB
            inside = low <= middle <= high
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
        """Move the camera of the browser to a keyframe."""
        keyframes = self._stage.keyframes
        if not 0 <= index < len(keyframes):
            self._missing()
            return
        T, camera = keyframes[index].T_world_camera, self._client.camera
        with self._client.atomic():
            camera.position = T[:3, 3]
            camera.look_at = T[:3, 3] + T[:3, 2]
            camera.up_direction = (0.0, 0.0, 1.0) if abs(T[2, 2]) < 0.9 else -T[:3, 1]

    def overview(self) -> None:
        """Look at everything from above, at an angle."""
        keyframes = self._stage.keyframes
        if not keyframes:
            self._missing()
            return
        position, target = overview_of(keyframes)
        with self._client.atomic():
            self._client.camera.position = position
            self._client.camera.look_at = target
            self._client.camera.up_direction = (0.0, 0.0, 1.0)

    def _missing(self) -> None:
        count = len(self._stage.keyframes)
        text = f'there are keyframes 0 to {count - 1}' if count else 'there is no keyframe yet'
        self._client.add_notification('No such keyframe', text, auto_close_seconds=4.0)


def overview_of(
    keyframes: Sequence[Keyframe],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return position (3,) and target (3,) [m] from which all keyframes are seen."""
    positions = np.stack([keyframe.T_world_camera[:3, 3] for keyframe in keyframes])
    low, high = positions.min(axis=0), positions.max(axis=0)
    size = max(*(high - low)[:2], 2.0) + 2.0
    middle, distance = (low + high) / 2, size / 2 / math.tan(FOV / 2)
    return middle + distance * np.array([-0.45, -0.55, 0.95]), middle

"""Page: server, stage and pictures of a source, and the panel of every browser."""
from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import viser

from instant_nerf_ros.viewer.browser_panel import BrowserPanel, overview_of
from instant_nerf_ros.viewer.page_server import open_server
from instant_nerf_ros.viewer.picture_source import Source
from instant_nerf_ros.viewer.rendered_pictures import FOV, RenderedPictures
from instant_nerf_ros.viewer.stage import BLUE, Stage


class Page:
    """What browsers open: everybody sees the same scene, each through layers of their own."""

    def __init__(
        self, source: Source, host: str, port: int, layers: dict[str, bool], token: str = '',
        on_layer: Callable[[str, bool], None] = lambda name, shown: None,
    ) -> None:  # fmt: skip
        """Open a server; see open_server and BrowserPanel for the arguments and errors."""
        self.server, self.url = open_server(host, port, token)
        self._source, self._layers, self._on_layer = source, layers, on_layer
        self._panels: dict[int, BrowserPanel] = {}
        self._overview = False  # browsers begin with an overview
        self.stage = Stage(self.server, self._choose)
        self.pictures = RenderedPictures(source)
        self.server.gui.configure_theme(
            show_logo=False, show_share_button=False, control_width='medium', brand_color=BLUE)
        self.server.initial_camera.fov = FOV

    def start(self) -> None:
        """Let browsers in, and render for them."""
        self.stage.on_slabs = self._apply_bands
        self.server.on_client_connect(self._enter)
        self.server.on_client_disconnect(self._leave)
        self.pictures.start()

    def set_overview(self) -> None:
        """Let browsers that come look at everything from above."""
        if extent := self.stage.extent():
            position, target = overview_of(*extent, FOV, aspect=1.0)
            self.server.initial_camera.position = position
            self.server.initial_camera.look_at = target
            self._overview = True

    @property
    def watched(self) -> bool:
        """Return whether any browser is connected."""
        return bool(self._panels)

    def stop(self) -> None:
        """Close the page."""
        self.pictures.stop()
        self.server.stop()

    def _enter(self, client: viser.ClientHandle) -> None:
        async def moved(_: Any) -> None:  # in the event loop of the server, so without delay
            self.pictures.move(client)
        client.camera.on_update(moved)  # before the first picture: no move after it is missed
        self._panels[client.client_id] = BrowserPanel(
            client, self.stage, self._source, self.pictures, self._layers, self._on_layer)
        if self._overview and client.camera.image_width < client.camera.image_height:
            self._panels[client.client_id].overview()  # it needs more distance on a phone

    def _leave(self, client: viser.ClientHandle) -> None:
        self.pictures.forget(client)
        self._panels.pop(client.client_id, None)

    def _choose(self, client: viser.ClientHandle, index: int) -> None:
        if panel := self._panels.get(client.client_id):
            panel.choose(index)

    def _apply_bands(self) -> None:
        for panel in list(self._panels.values()):
            panel.apply_band()


def view_scene(
    folder: str | os.PathLike[str], host: str, port: int, say: Callable[[str], Any],
) -> None:  # fmt: skip
    """Show a saved scene until Ctrl-C; say(text) tells the address.

    Raises ValueError for a host that is no address of this machine, and what Scene.load raises.
    """
    from instant_nerf_ros.viewer.saved_scene import SavedScene
    source = SavedScene(folder)
    layers = {'field': True, 'voxels': False, 'map': False, 'keyframes': True, 'path': False,
              'mesh': False}
    page: Page

    @functools.lru_cache(maxsize=1)
    def make_mesh() -> None:
        source.show_mesh(page.stage)

    def on_layer(name: str, shown: bool) -> None:
        if name == 'mesh' and shown:
            make_mesh()

    page = Page(source, host, port, layers, on_layer=on_layer)
    with page.server.gui.add_folder('Scene', order=0):
        page.server.gui.add_markdown(source.summary(folder))
    source.show(page.stage)
    first = page.stage.keyframes[0].T_world_camera
    camera = page.server.initial_camera
    camera.position, camera.look_at = first[:3, 3], first[:3, 3] + first[:3, 2]
    page.start()
    say(f'{page.url}\nCtrl-C ends it')
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.stop()

"""RenderedPictures: the field behind the objects of the scene, from the camera of each browser."""
from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable

import numpy as np
import viser
from scipy.spatial.transform import Rotation

from instant_nerf_ros.viewer.picture_source import Frustum, Picture, Source

ANSWER_TIMEOUT = 5.0  # s, for the first picture of a view
RETRY = 0.1  # s after no picture has come, until it is asked for again
SHARP_TIMEOUT = 8.0  # s, for the last one
POLL = 0.05  # s, between two looks at whether a camera has moved
# The pause after a coarse picture, in multiples of the time that it took. All browsers share it,
# so that the work for them together is bounded.
PAUSE = 3.0
MIN_PERIOD = 1 / 30  # s between coarse pictures
REFRESH = 30.0  # times that of a sharp picture, until it is rendered again
MIN_REFRESH, MAX_REFRESH = 2.0, 30.0  # s, the limits of that
FAR = 160.0  # m, for pixels without depth: viser's depth ends at 168 m
FOV = math.radians(60)  # of a browser that is shown no picture


@dataclasses.dataclass
class _Browser:
    """What one browser has been shown."""

    client: viser.ClientHandle
    frustum: Frustum | None = None
    moved: bool = False  # since the last picture
    sharp: bool = False  # the last picture was
    shown_at: float = 0.0
    took: float = 0.0  # s, for the last sharp picture


class RenderedPictures(threading.Thread):
    """Renders for one browser after the other: coarse pictures first, sharp ones when all rest."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep a source and a clock in seconds."""
        super().__init__(name='pictures', daemon=True)
        self._source, self._clock = source, clock
        self._browsers: dict[int, _Browser] = {}
        self._changed = threading.Condition()
        self._earliest = 0.0  # for the next coarse picture
        self._stopping = False

    @property
    def wanted(self) -> bool:
        """Return whether any browser shows pictures."""
        return bool(self._browsers)

    def show(self, client: viser.ClientHandle) -> None:
        """Show pictures to a browser from now on."""
        with self._changed:
            self._browsers[client.client_id] = _Browser(client)
        self.move(client)

    def hide(self, client: viser.ClientHandle) -> None:
        """Show no pictures to a browser any more."""
        with self._changed:
            known = self._browsers.pop(client.client_id, None)
        if known:
            client.scene.set_background_image(None)
            client.camera.fov = FOV
            client.flush()

    def forget(self, client: viser.ClientHandle) -> None:
        """Forget a browser that has gone."""
        with self._changed:
            self._browsers.pop(client.client_id, None)

    def move(self, client: viser.ClientHandle) -> None:
        """Note where the camera of a browser is; takes no time."""
        camera = client.camera
        aspect = camera.image_width / max(camera.image_height, 1)
        frustum = Frustum(pose_of(camera), camera.fov, aspect)
        if frustum.aspect <= 0:
            return  # a page that is not shown
        with self._changed:
            browser = self._browsers.get(client.client_id)
            if browser and (browser.frustum is None or not _same(browser.frustum, frustum)):
                browser.frustum, browser.moved = frustum, True
                self._changed.notify()

    def stop(self) -> None:
        """End the thread soon."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Work until stop() is called."""
        while True:
            with self._changed:
                if self._stopping:
                    return
                browser = self._next()
                if browser is None:
                    self._changed.wait(POLL if self.wanted else None)
                    continue
                frustum, moved, browser.moved = browser.frustum, browser.moved, False
            if frustum is not None:
                self._serve(browser, frustum, moved)

    def _next(self) -> _Browser | None:
        """Return whose picture is due: of a moved camera, else a sharp or a newer one."""
        now = self._clock()
        browsers = sorted(self._browsers.values(), key=lambda browser: browser.shown_at)
        moved = [browser for browser in browsers if browser.moved]
        if moved:
            return moved[0] if now >= self._earliest else None
        for browser in browsers:
            age, period = now - browser.shown_at, REFRESH * browser.took
            if not browser.sharp and age > ANSWER_TIMEOUT:
                return browser
            if self._source.changes and age > min(max(period, MIN_REFRESH), MAX_REFRESH):
                return browser
        return None

    def _serve(self, browser: _Browser, frustum: Frustum, moved: bool) -> None:
        """Show the picture of a frustum, and the better ones until a camera moves."""
        begin = self._clock()
        self._source.begin(frustum)
        picture = self._source.next_picture(ANSWER_TIMEOUT)
        if picture is None:
            browser.shown_at, browser.moved = self._clock(), browser.moved or moved
            self._earliest = self._clock() + RETRY
            return
        if moved:
            self._earliest = max(
                self._clock() + PAUSE * (self._clock() - begin), begin + MIN_PERIOD)
            browser.sharp = False
        if moved or picture.sharp:
            self._send(browser, frustum, picture)
        while not picture.sharp and self._clock() < begin + SHARP_TIMEOUT:
            if self._stopping or any(each.moved for each in list(self._browsers.values())):
                return
            if (better := self._source.next_picture(POLL)) is not None:
                picture = better
                self._send(browser, frustum, picture)
        browser.sharp, browser.took = True, self._clock() - begin

    def _send(self, browser: _Browser, frustum: Frustum, picture: Picture) -> None:
        client = browser.client
        if browser.client.client_id not in self._browsers:
            return
        fov = self._source.best_fov(frustum.aspect)
        if fov is not None and abs(fov - frustum.fov) > 1e-3:
            client.camera.fov = fov  # the browser answers with another frustum
        depth = np.nan_to_num(np.where(picture.depth > 0, picture.depth, FAR), nan=FAR)
        client.scene.set_background_image(
            picture.color, format='jpeg', jpeg_quality=85, depth=np.minimum(depth, FAR))
        client.flush()
        browser.shown_at = self._clock()


def pose_of(camera: viser.CameraHandle) -> np.ndarray:
    """Return T_world_camera (4, 4) of the camera of a browser."""
    w, x, y, z = camera.wxyz
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    pose[:3, 3] = camera.position
    return pose


def _same(one: Frustum, other: Frustum) -> bool:
    return (abs(one.fov - other.fov) < 1e-4 and abs(one.aspect - other.aspect) < 1e-3
            and np.allclose(one.T_world_camera, other.T_world_camera, atol=1e-4))

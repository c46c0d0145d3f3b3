"""NodePanel: what the mapper does, as text and plots, and buttons that change it."""
from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import viser
from viser import uplot

from instant_nerf_ros.viewer.advice import drops_text, status_text
from instant_nerf_ros.viewer.stage import BLUE, ORANGE

MAX_POINTS = 600  # of a plot; older ones are thinned out


class Controls(Protocol):
    """What changes the mapper or the robot; each answers with (success, sentence)."""

    def pause(self, paused: bool) -> tuple[bool, str]:
        """Pause or resume mapping."""

    def reset(self) -> tuple[bool, str]:
        """Discard the map."""

    def save(self) -> tuple[bool, str]:
        """Save the map where the node runs."""

    def send_goal(self, x: float, y: float) -> tuple[bool, str]:
        """Send the robot to a position of the map [m]."""


class NodePanel:
    """The panel that all browsers share."""

    def __init__(self, server: viser.ViserServer, mapper: str, controls: Controls | None) -> None:
        """Create it; controls None: browsers can change nothing."""
        self._server, self._mapper, self._controls = server, mapper, controls
        self._history: collections.deque[tuple[float, float, float]] = collections.deque()
        gui = server.gui
        with gui.add_folder('Mapper', order=0):
            self._status = gui.add_markdown(status_text(0, '', {}, np.inf, mapper))
            if controls:
                self._add_controls(controls)
        with gui.add_folder('Progress', order=3):
            self._psnr = self._plot('PSNR of held-out images [dB]', BLUE)
            self._speed = self._plot('training steps per second', ORANGE)
        with gui.add_folder('Dropped messages', order=4, expand_by_default=False):
            self._drops = gui.add_markdown(drops_text({}))
        self._floor: Callable[[], float] = lambda: 0.0

    def set_floor(self, floor: Callable[[], float]) -> None:
        """Keep floor() -> the height [m] at which clicks meet the floor."""
        self._floor = floor

    def show(self, level: int, message: str, values: Mapping[str, str], age: float) -> None:
        """Show diagnostics of an age [s]."""
        text, drops = status_text(level, message, values, age, self._mapper), drops_text(values)
        if text != self._status.content:
            self._status.content = text
        if drops != self._drops.content:
            self._drops.content = drops
        if self._controls and values:
            paused = values.get('state') == 'paused'
            label = 'Resume mapping' if paused else 'Pause mapping'
            if self._pause.label != label:
                self._pause.label = label

    def add_point(self, time_s: float, psnr: float, speed: float) -> None:
        """Append a point to the plots: PSNR [dB], nan without one, and steps per second."""
        self._history.append((time_s, psnr, speed))
        if len(self._history) > MAX_POINTS:
            self._history = collections.deque(list(self._history)[::2])
        times, psnrs, speeds = np.array(self._history).T
        known = np.isfinite(psnrs)
        if known.any():
            self._psnr.data = times[known], psnrs[known]
        self._speed.data = times, speeds

    def _plot(self, title: str, color: tuple[int, int, int]) -> viser.GuiUplotHandle:
        stroke = 'rgb({}, {}, {})'.format(*color)
        return self._server.gui.add_uplot(
            (np.zeros(1), np.full(1, np.nan)),
            (uplot.Series(label='s'), uplot.Series(label=title, stroke=stroke, width=2)),
            title=title, scales={'x': uplot.Scale(time=False)}, height=160)

    def _add_controls(self, controls: Controls) -> None:
        gui = self._server.gui
        self._pause = gui.add_button('Pause mapping', icon=viser.Icon.PLAYER_PAUSE)
        save = gui.add_button('Save the map', icon=viser.Icon.DEVICE_FLOPPY)
        reset = gui.add_button('Discard the map ...', icon=viser.Icon.TRASH, color='orange')
        goals = gui.add_checkbox('A click on the floor sends the robot there', False, hint=(
            'publishes goal_pose for Nav2'))

        @self._pause.on_click
        def _(event: Any) -> None:
            _tell(event.client, controls.pause(self._pause.label == 'Pause mapping'))

        @save.on_click
        def _(event: Any) -> None:
            _tell(event.client, controls.save())

        @reset.on_click
        def _(event: Any) -> None:
            with event.client.gui.add_modal('Discard the map?') as modal:
                event.client.gui.add_markdown('All keyframes and the map are lost.')
                yes = event.client.gui.add_button('Discard it', color='orange')
                no = event.client.gui.add_button('Keep it')
            no.on_click(lambda _: modal.close())

            @yes.on_click
            def _(_: Any) -> None:
                modal.close()
                _tell(event.client, controls.reset())

        @goals.on_update
        def _(_: Any) -> None:
            if goals.value:
                self._server.scene.on_click()(self._goal)
            else:
                self._server.scene.remove_click_callback()

    def _goal(self, event: viser.SceneClickEvent) -> None:
        """Send the robot where the ray of a click meets the floor."""
        origin, direction = np.array(event.ray_origin), np.array(event.ray_direction)
        if self._controls is None or direction[2] > -0.05:
            return  # toward the horizon or the ceiling
        x, y, _ = origin + direction * ((self._floor() - origin[2]) / direction[2])
        _tell(event.client, self._controls.send_goal(float(x), float(y)))


def _tell(client: viser.ClientHandle | None, answer: tuple[bool, str]) -> None:
    if client:
        success, text = answer
        client.add_notification(
            'Done' if success else 'It did not work', text, auto_close_seconds=8.0,
            color='green' if success else 'orange')

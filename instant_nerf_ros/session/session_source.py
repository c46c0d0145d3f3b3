"""SessionSource: what a map begins with: a base, and the session that is resumed."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from instant_nerf_ros.session.base_session import PARAMETER, BaseSession, base_of
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.resume import Resumed, resume
from instant_nerf_ros.session.session_folder import SessionFolder

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


@dataclasses.dataclass(frozen=True)
class SessionConfig:
    """Where and how a session is kept; see NodeConfig for the settings of these names."""

    folder: str
    resume: bool = False
    images: str = 'jpeg'
    map_frame: str = 'map'
    base_folder: str = ''


class SessionSource:
    """The folder of a session, locked from the first `load` on, and the base under it."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self.folder = SessionFolder(config.folder) if config.folder else None
        self._base: BaseSession | None = None
        self._is_open = self._is_on_base = False

    @property
    def base(self) -> Mapping[str, str] | None:
        """Return folder and id of the base under the map, None without one."""
        return self._base.reference if self._base and self._is_on_base else None

    def load(self, mapper: Mapper) -> Resumed:
        """Load base and session into an empty Mapper; another time, the base alone.

        Raises OSError if the folder cannot be written, ValueError if it, or the base, cannot be
        used; nothing has changed then.
        """
        if self._is_open:
            return self._load(mapper, None)
        try:
            history = self._open()
            self._base = self._find_base(history)
            resumed = self._load(mapper, history)
        except BaseException:
            self.close()
            raise
        if self.folder and not self._config.resume and (aside := self.folder.set_aside()):
            resumed.sentences.append(f'resume is false: the earlier session is now in {aside}')
        self._is_open = True
        return resumed

    def leave_base(self) -> None:
        """Note that another map has taken the place of all, also of the base."""
        self._is_on_base = False

    def close(self) -> None:
        """Let others write to both."""
        for each in (self.folder, self._base):
            if each:
                each.close()
        self._base, self._is_open = None, False

    def _open(self) -> History | None:
        """Lock the folder; return what is to be resumed, None without any."""
        if self.folder is None:
            return None
        self.folder.open()
        history = History(self.folder) if self._config.resume else None
        return history if history and (
            history.inputs or history.findings or history.base) else None

    def _find_base(self, history: History | None) -> BaseSession | None:
        folder = self._config.base_folder
        if folder and self.folder and (
                Path(folder).expanduser().resolve() == self.folder.path.resolve()):
            raise ValueError(
                f"{PARAMETER} is the 'session_folder': choose another 'session_folder', in which "
                'what is new is kept')
        if history and history.base:
            return base_of(history, folder)
        if folder and history and history.starts:
            raise ValueError(
                f'the session in {self._config.folder} has no base: resume it without '
                f"{PARAMETER}, or choose another 'session_folder'")
        return BaseSession(folder) if folder else None

    def _load(self, mapper: Mapper, history: History | None) -> Resumed:
        frame, self._is_on_base = self._config.map_frame, self._base is not None
        sentences = self._base.load(mapper, frame) if self._base else []
        resumed = resume(mapper, history, frame) if history else Resumed()
        return Resumed(resumed.stamps, [*resumed.sentences, *sentences])

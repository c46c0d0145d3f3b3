"""Base session: a session under another one, which adds to its map and never changes it."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

from instant_nerf_ros.session.history import Entry, History
from instant_nerf_ros.session.resume import Resumed, resume
from instant_nerf_ros.session.session_folder import SessionFolder

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

PARAMETER = "'base_session_folder'"
WHERE = (f'Put the base back as it was, or say where it is: by {PARAMETER}, or by --base of the '
         'command; nothing is lost')


class BaseSession:
    """It is only read, by any number of processes, and nobody may write to it meanwhile."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Hold the session in a folder, and the one under it, if it has a base itself.

        Raises ValueError if there is none, or if it cannot be a base now.
        """
        self._folder = SessionFolder(folder)
        self._folder.hold()
        try:
            self.history = History(self._folder)
            if not self.history.inputs:
                raise ValueError(f'the session in {folder} has no images: map first, then build '
                                 'on that')
            self._under = base_of(self.history)
        except BaseException:
            self._folder.close()
            raise
        # What a session says of its base.
        self.reference = {'folder': str(self._folder.path.absolute()), 'id': self.history.id}

    def load(self, mapper: Mapper, map_frame: str) -> list[str]:
        """Load it into an empty Mapper, frozen; return sentences on what became of it.

        Raises ValueError if it is of another map frame, or if nothing of it can be read.
        """
        below = self._under.load(mapper, map_frame) if self._under else []
        resumed = resume(mapper, self.history, map_frame)
        if mapper.occupancy is None:
            raise ValueError(f'nothing of the base in {self._folder.path} can be read: put it '
                             f'back from a copy; {resumed.sentences[-1]}')
        mapper.measurements.freeze()
        return [*below, *(f'base {self._folder.path}: {text}' for text in resumed.sentences)]

    def close(self) -> None:
        """Let others write to it."""
        if self._under:
            self._under.close()
        self._folder.close()


def base_of(history: History, folder: str = '') -> BaseSession | None:
    """Return the base of a session, held; folder: where it is, if not where it was.

    Returns None for a session without a base. Raises ValueError if it is not there, or if it has
    changed since.
    """
    reference = history.base
    if reference is None:
        return None
    folder = folder or reference['folder']
    try:
        base = BaseSession(folder)
    except ValueError as error:
        raise ValueError(
            f'the session goes on from a base, but {error}. {WHERE}') from error
    # What is damaged is named when it is loaded, and the rest is used.
    newer = set(base.history.ids()) & set(history.ids())
    if base.reference['id'] != reference['id'] and (newer or not base.history.findings):
        base.close()
        raise ValueError(
            f'the session goes on from a base, but that in {folder} is another one, or has '
            f'changed since. {WHERE}')
    return base


def load(mapper: Mapper, history: History, folder: str = '') -> Resumed:
    """Load a session into an empty Mapper, with its base if it has one; see `base_of`."""
    sentences: list[str] = []
    if base := base_of(history, folder):
        sentences = base.load(mapper, history.map_frame)
        base.close()
    resumed = resume(mapper, history, history.map_frame)
    return Resumed(resumed.stamps, [*resumed.sentences, *sentences])


def inputs_with_base(history: History) -> list[Entry]:
    """Return the inputs of a session, and before them those of its base; see `base_of`."""
    if (base := base_of(history)) is None:
        return history.inputs
    base.close()
    return [*inputs_with_base(base.history), *history.inputs]

"""SnapshotSchedule: when votes and field of a Mapper are copied."""
from __future__ import annotations

import time
from typing import TYPE_CHECKING

from instant_nerf_ros.session.session_folder import FIELD, VOTES

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

VOTES_PERIOD, FIELD_PERIOD = 5.0, 60.0  # s between copies, at least
MAX_SHARE = 0.01  # of the time that copies may take

State = tuple[int, ...]


class SnapshotSchedule:
    """They are copied if they have changed, and less often if a copy takes long."""

    def __init__(self) -> None:
        """Begin with a map of which nothing was copied."""
        now = time.monotonic()
        self._due = {VOTES: now + VOTES_PERIOD, FIELD: now + FIELD_PERIOD}
        self._copied: dict[str, State] = {}
        self._with_depth: dict[int, bool] = {}  # keyframes, by id

    def due(self) -> list[str]:
        """Return what may be copied now."""
        now = time.monotonic()
        return [kind for kind, due in self._due.items() if now >= due]

    def state(self, kind: str, mapper: Mapper, dropped: int) -> State:
        """Return numbers that change with votes or field; dropped: copies that were not written.

        Training changes the votes of keyframes without depth, which vote with what is rendered.
        """
        keyframes, steps = mapper.keyframes, mapper.steps
        if kind == VOTES:
            for k, key in enumerate(keyframes.ids.tolist()):
                if key not in self._with_depth:
                    self._with_depth[key] = bool(keyframes.image(k)[2].any())
            if all(self._with_depth[key] for key in keyframes.ids.tolist()):
                steps = 0
        return steps, keyframes.next_id, keyframes.revision, dropped

    def is_copied(self, kind: str, state: State) -> bool:
        """Return whether the latest copy has a state."""
        return self._copied.get(kind) == state

    def copied(self, kind: str, state: State) -> None:
        """Note that something was copied in a state."""
        self._copied[kind] = state

    def took(self, kind: str, duration: float) -> None:
        """Note how long a copy took [s], or to find that none was needed."""
        period = {VOTES: VOTES_PERIOD, FIELD: FIELD_PERIOD}[kind]
        self._due[kind] = time.monotonic() + max(period, duration / MAX_SHARE)

"""Progress: how far a fit is, as values for a program, and as a bar for a person."""
import contextlib
import dataclasses
import math
import sys
import time
import warnings
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

PERIOD = 10.0  # s between lines where there is no terminal


@dataclasses.dataclass(frozen=True)
class Record:
    """The state of training at some time."""

    seconds: float  # of training
    steps: int
    loss: float  # mean since the last record
    psnr: float  # dB, of pixels of held-out images; NaN without any
    steps_per_second: float = math.nan
    rays_per_second: float = math.nan


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    stage: str  # what is done, in words
    share: float  # of it that is done, in [0, 1]
    text: str = ''  # what else is known
    record: Record | None = None  # while training


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""


class TerminalProgress:
    """Shows progress on standard error: bars where it is a terminal, otherwise a line at times.

    Warnings appear above the bar while it is used as a context manager.
    """

    def __init__(self, is_shown: bool = True) -> None:
        """is_shown: if not, nothing is said, as by all ranks but one."""
        self._console = Console(file=sys.stderr, quiet=not is_shown)
        self._bars = Bars(
            TextColumn('{task.description:<9}'), BarColumn(24),
            TextColumn('{task.percentage:>3.0f} %'), TimeRemainingColumn(compact=True),
            TextColumn('{task.fields[text]}'), console=self._console,
            disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._said_at = -math.inf
        self._exit = contextlib.ExitStack()
        self._caught: list[warnings.WarningMessage] = []

    def __enter__(self) -> 'TerminalProgress':
        """Show the bars, and catch warnings."""
        caught = self._exit.enter_context(warnings.catch_warnings(record=True))
        assert caught is not None  # as it records
        self._caught = caught
        warnings.simplefilter('default', UserWarning)
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bars as they are."""
        self._say_warnings()
        self._bars.stop()
        self._exit.close()

    def __call__(self, progress: Progress) -> None:
        """Show a stage."""
        stage, text = progress.stage, progress.text
        self._say_warnings()
        if not self._console.is_terminal:
            now = time.monotonic()
            if stage not in self._tasks or progress.share >= 1 or now > self._said_at + PERIOD:
                self._tasks[stage], self._said_at = TaskID(0), now
                self._console.print(
                    f'{stage}: {100 * progress.share:.0f} % {text}', highlight=False,
                    markup=False, soft_wrap=True)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=1.0, text=text)
        self._bars.update(self._tasks[stage], completed=progress.share, text=text)

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _say_warnings(self) -> None:
        while self._caught:
            self.say(f'warning: {self._caught.pop(0).message}')

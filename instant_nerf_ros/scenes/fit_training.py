"""Training: steps until a limit of time, steps or quality, or until Ctrl-C."""
import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.ranks import ALONE, Ranks
from instant_nerf_ros.nerf.warm_up import warm_up
from instant_nerf_ros.scenes.evaluation import over_white, reference, used_pixels
from instant_nerf_ros.scenes.fit_progress import OnProgress, Progress, Record

DEFAULT_SECONDS = 60.0
PERIOD, GROWTH = 1.0, 0.05  # s between records, and their share of the time that has passed
REPORT_PERIOD = 0.25  # s between reports
VIEWS, ROWS = 8, 32  # held-out views, and rows of them all, whose PSNR is measured meanwhile


@dataclasses.dataclass(frozen=True)
class Limits:
    """When training ends: at the first of these. Raises ValueError for what is no limit."""

    seconds: float | None = None
    steps: int | None = None
    target_psnr: float | None = None  # dB

    def __post_init__(self) -> None:
        """Check the limits."""
        for name, value in (('seconds', self.seconds), ('steps', self.steps),
                            ('target-psnr', self.target_psnr)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f'{name} must be positive, is {value}')

    def share(self, seconds: float, steps: int) -> float:
        """Return the share of the time or the steps that has passed, in [0, 1]."""
        shares = [seconds / self.seconds] if self.seconds else []
        shares += [steps / self.steps] if self.steps else []
        if not shares and self.target_psnr is None:
            shares = [seconds / DEFAULT_SECONDS]
        return min(max(shares, default=0.0), 1.0)


def train(
    mapper: Mapper, held_out: Sequence[Frame], limits: Limits, on_progress: OnProgress,
    ranks: Ranks = ALONE,
) -> tuple[list[Record], str]:  # fmt: skip
    """Train a mapper; return the records of training, and why it ended.

    With nothing but a target, training also ends when it has converged. Raises ValueError for a
    target without held-out frames.
    """
    target = limits.target_psnr
    if target is not None and not held_out:
        raise ValueError('a target PSNR needs held-out views: give eight images or more')
    on_progress(Progress('training', 0.0, 'compiling'))
    warm_up(mapper.config.device, mapper.config.field)
    rows = SampledRows(held_out)
    records: list[Record] = []
    with _interruptible() as interrupted:
        begin = reported = time.monotonic()
        losses: list[float] = []
        rays, since, share = 0, (begin, mapper.steps), 0.0
        ended = ''
        while not ended:
            if share:
                mapper.set_progress(share)
            rays += ranks.size * mapper.trainer.schedule.rays
            losses.append(mapper.step()['loss'])
            now = time.monotonic()
            seconds, stopped = ranks.largest(now - begin, interrupted())
            share = limits.share(seconds, mapper.steps)
            if stopped:
                ended = 'Ctrl-C'
            elif share >= 1:
                done = mapper.steps == limits.steps
                ended = 'the steps are done' if done else 'the time is over'
            elif share == 0 and mapper.converged:
                ended = 'it has converged'
            last = records[-1].seconds if records else 0.0
            if ended or not records or seconds - last > max(PERIOD, GROWTH * seconds):
                elapsed = max(now - since[0], 1e-9)
                [quality] = ranks.mean(rows.psnr(mapper))
                records.append(Record(
                    seconds, mapper.steps, float(np.nanmean(losses)), quality,
                    (mapper.steps - since[1]) / elapsed, rays / elapsed))
                losses, rays, since = [], 0, (time.monotonic(), mapper.steps)
                if not ended and target is not None and records[-1].psnr >= target:
                    ended = 'the target is reached'
            if ended or now - reported > REPORT_PERIOD:
                reported = now
                record = records[-1] if records else None
                on_progress(Progress(
                    'training', 1.0 if ended else share, _text(mapper.steps, record), record))
    return records, ended


class SampledRows:
    """A few rows of pixels of held-out frames: an estimate of the PSNR that takes no time.

    They are at equal distances in each frame: of random ones, some frames of an object would have
    nothing but background, whose PSNR is high.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        random = np.random.default_rng(0)
        chosen = frames[:: max(1, -(-len(frames) // VIEWS))]
        count = -(-ROWS // max(len(chosen), 1))
        self._rows = [
            (frame, row, reference(frame)[row].astype(np.float64), used_pixels(frame)[row])
            for frame in chosen
            for row in ((np.arange(count) + random.random()) * frame.camera.height / count
                        ).astype(int)]

    def psnr(self, mapper: Mapper) -> float:
        """Return the PSNR [dB]: the mean of the views', as it is usual; NaN without any."""
        errors: dict[int, list[NDArray[np.float64]]] = {}
        for frame, row, true, used in self._rows:
            view = mapper.render(frame.camera, frame.T_world_camera, slice(row, row + 1))
            difference = (over_white(view, frame)[0] - true)[used]
            errors.setdefault(id(frame), []).append(difference**2)
        known = [each.mean() for each in map(np.concatenate, errors.values()) if each.size]
        if not known:
            return math.nan
        return float(np.mean([10 * math.log10(255**2 / max(each, 1e-3)) for each in known]))


def _text(steps: int, record: Record | None) -> str:
    if record is None:
        return f'{steps} steps'
    quality = '' if math.isnan(record.psnr) else f', {record.psnr:.1f} dB'
    return (f'{steps} steps, {record.steps_per_second:.0f}/s, '
            f'{record.rays_per_second / 1e3:.0f}k rays/s, loss {record.loss:.4f}{quality}')


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event.is_set
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    try:
        yield event.is_set
    finally:
        signal.signal(signal.SIGINT, previous)

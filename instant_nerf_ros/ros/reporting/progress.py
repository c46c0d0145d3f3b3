"""Progress: a snapshot of the training for other threads."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Progress:
    """A snapshot of the training; replaced as a whole, so that any thread can read it."""

    backend: str = ''  # '' until the engine has started
    steps: int = 0
    discarded: int = 0  # steps whose loss was not finite
    keyframes: int = 0
    keyframe_bytes: int = 0  # memory of the keyframes
    images_with_depth: int = 0  # of the images that became keyframes
    scans: int = 0  # of range sensors
    loss: float = float('nan')  # of the latest step
    psnr: float = float('nan')  # of rendered views against held-out images [dB]
    correction: tuple[float, float] = (0.0, 0.0)  # m, degrees: of the latest poses, median
    map_stamp_ns: int = 0  # stamp of the newest image in the map, 0 without any
    converged: bool = False  # training rests until the next keyframe
    session: str = ''  # what is written, '' without a session
    session_problem: str = ''  # what is not written, and why

"""How far the engine is, for threads other than its own."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the engine is; replaced as a whole, so that other threads may read it."""

    backend: str = ''  # '' until the engine is ready
    steps: int = 0
    discarded: int = 0  # steps whose loss was not finite
    keyframes: int = 0
    stored: int = 0  # bytes of the keyframes
    depths: int = 0  # images with depth among those that became keyframes
    scans: int = 0  # of range sensors
    loss: float = float('nan')
    psnr: float = float('nan')  # of views against images that are not learnt from [dB]
    fused_ns: int = 0  # stamp of the newest image in the map

"""Names for the arrays that many signatures share."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Alpha = NDArray[np.uint8]  # (H, W), 255 is opaque; colors are not multiplied by it
Depth = NDArray[np.floating]  # (H, W) metres along the optical axis
Pose = NDArray[np.float64]  # (4, 4)
Poses = dict[int, Pose]  # by the id of a keyframe, a held-out image or a scan


@dataclasses.dataclass(frozen=True)
class EstimatedDepth:
    """Depth that a network has estimated from an image: no measurement.

    It may be depth or inverse depth, in any unit, with an error of scale and shift of its own in
    each image. It is fitted to what stereo knows, and only then used.
    """

    values: Depth  # (H, W); not finite or <= 0 where it is unknown


AnyDepth = Depth | EstimatedDepth

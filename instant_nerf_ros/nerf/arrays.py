"""Names for the arrays that many signatures share."""
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Alpha = NDArray[np.uint8]  # (H, W), 255 is opaque; colors are not multiplied by it
Depth = NDArray[np.floating]  # (H, W) metres along the optical axis
Pose = NDArray[np.float64]  # (4, 4)
Poses = dict[int, Pose]  # by the id of a keyframe, a held-out image or a scan

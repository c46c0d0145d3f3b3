"""Records of inputs: an image with its depth, a scan."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Image
from instant_nerf_ros.nerf.capture.ranges import MAX_SCAN_RAYS
from instant_nerf_ros.nerf.capture.validation import to_millimetres
from instant_nerf_ros.session.image_codecs import compress, encode_image
from instant_nerf_ros.session.records import Record


def image_record(
    values: Mapping[str, Any], image: Image, depth: NDArray[np.floating] | None,
    alpha: NDArray[np.uint8] | None, kind: str,
) -> Record:  # fmt: skip
    """Return the record of an image; kind: how it is encoded."""
    arrays: dict[str, NDArray[Any]] = {'image': encode_image(image, kind)}
    if depth is not None:
        arrays['depth'] = compress(to_millimetres(depth))
    if alpha is not None:
        arrays['alpha'] = compress(alpha)
    return Record('image', values, arrays)


def thinned(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a scan with about as many points as a Mapper keeps of it."""
    every = max(-(-len(arrays[name]) // MAX_SCAN_RAYS)
                for name in ('points', 'free_ends') if name in arrays)
    return {name: array[::every] if array.ndim == 2 else array for name, array in arrays.items()}

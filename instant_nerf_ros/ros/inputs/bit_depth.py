"""Images of 16 bits, of which a camera may use only the lower 10 or 12."""
import numpy as np
from numpy.typing import NDArray

BIT_DEPTHS = 10, 12  # that cameras have


def to_8_bits(image: NDArray, bits: int) -> NDArray[np.uint8]:
    """Return an image of 8 bits; of one of 16 bits, so many are in use, the lower ones.

    Raises ValueError for other types.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != 'u' or image.dtype.itemsize != 2:
        raise ValueError(f'pixels of {image.dtype} are not a color image: check the topic')
    return np.minimum(image >> (bits - 8), 255).astype(np.uint8)


def dark_warning(image: NDArray[np.uint16], bits: int) -> str:
    """Return a sentence if an image is so dark that fewer bits are probably in use; else ''."""
    brightest = int(image.max())
    used = next((few for few in BIT_DEPTHS if brightest < 2**few), 16)
    if used >= bits:
        return ''
    return (
        f'its brightest value is {brightest}, less than 2^{used}, so that it is almost black: set '
        f"'image_bits' to {used} if the camera has so many bits")

"""Which spatial frequencies rows of synapses, or images, are made of."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float, Float64, Int

from jax_bioadv.attacks.batch import checked_image_shape


def radial_spectrum(
    rows: Float[Array | np.ndarray, "rows inputs"], image_shape: Sequence[int]
) -> Float64[np.ndarray, "rows rings"]:
    """Power of each row, as an image, in rings of equal spatial frequency.

    Args:
        rows: flattened images or synapses.
        image_shape: (height, width, channels) in which the inputs were flattened.

    Returns:
        For each row, the total power of all channels at frequencies nearest to 0, 1, 2, … cycles per image (of the
        longer side), up to the corner of the frequency plane; a row's rings add up to its squared L2 norm.

    Raises:
        ValueError: a shape that does not fit the rows.
    """
    height, width, channels = checked_image_shape(image_shape)
    if height * width * channels != rows.shape[1]:
        raise ValueError(f"rows of {rows.shape[1]} inputs are no images of (height, width, channels) {image_shape}")
    images = np.asarray(rows, np.float64).reshape(-1, height, width, channels)
    power = np.abs(np.fft.fft2(images, axes=(1, 2))) ** 2 / (height * width)
    rings = rings_of(height, width)
    of_ring = np.eye(rings.max() + 1)[rings.ravel()]
    return power.sum(axis=3).reshape(len(images), -1) @ of_ring


def rings_of(height: int, width: int) -> Int[np.ndarray, "height width"]:
    """The ring of each discrete frequency of an image: the nearest number of cycles per image, of the longer side."""
    longer = max(height, width)
    vertical, horizontal = np.fft.fftfreq(height) * longer, np.fft.fftfreq(width) * longer
    return np.rint(np.hypot(vertical[:, None], horizontal)).astype(int)

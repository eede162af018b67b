"""From raw images to model inputs: flattening, division by each image's own L_p norm, and white noise.

Holzhausen et al., arXiv 2405.00679, divide every image by its own L_p norm, p = 3, before any model sees it, as the
Krotov–Hopfield rule requires. With p = 3 and 3072 inputs a pixel is about 0.07 and an image's L2 norm below 3.9.
"""

import jax.numpy as jnp
import numpy as np
import scipy
from jax import lax
from jaxtyping import Array, Float, Shaped

from jax_bioadv.data.dataset import DataError

_BLOCK_VALUES = 2**18  # float64 blocks that stay in the processor's cache


def unit_norm(images: Shaped[np.ndarray, "count ..."], p: float = 3.0) -> Float[np.ndarray, "count inputs"]:
    """Flatten images and divide each by its own L_p norm, ``x / (Σ_i x_i^p)^(1/p)``.

    The norm is taken in float64 of the image divided by its largest pixel, so that neither a large p nor tiny values
    lose accuracy; only the quotient is rounded to float32.

    Args:
        images: integer or floating-point, non-negative, of shape (count, …).
        p: order of the norm, at least 1; ``inf`` divides by the largest pixel.

    Returns:
        ``float32`` images of shape (count, inputs), values in [0, 1], each of L_p norm 1.

    Raises:
        DataError: on an all-zero image (named by its index), NaN, infinite or negative values, or p below 1.
    """
    if not p >= 1.0:
        raise DataError(f"p must be at least 1 for a norm, got {p}")
    if images.ndim < 2 or images.size == 0:
        raise DataError(f"images must be of shape (count, …) and not empty, got shape {images.shape}")
    if images.dtype.kind not in "uif":
        raise DataError(f"images must be integer or floating-point, got {images.dtype}")
    flat = np.asarray(images).reshape(len(images), -1)
    normed = np.empty(flat.shape, np.float32)
    step = max(1, _BLOCK_VALUES // flat.shape[1])
    for start in range(0, len(flat), step):
        block = flat[start : start + step].astype(np.float64)
        largest = block.max(axis=1, keepdims=True)
        _check_block(block, largest, start)
        block /= largest
        normed[start : start + step] = block / _norm(block, p)
    return normed


def divided_by_norm(images: Float[Array, "batch inputs"], p: float) -> Float[Array, "batch inputs"]:
    """:func:`unit_norm` as a differentiable function of JAX, for a classifier of raw pixels; zero stays zero.

    Images are divided by their largest pixel first, or small ones would underflow. A constant factor cancels, so this
    division has no part in the gradient.

    Args:
        images: flattened, floating-point.
        p: order of the norm, at least 1; ``inf`` divides by the largest pixel.

    Returns:
        One image per row, of the same type, rounded as that type rounds.
    """
    p, magnitude = float(p), jnp.abs(images)
    largest = lax.stop_gradient(jnp.max(magnitude, axis=1, keepdims=True))
    scale = jnp.where(largest > 0, largest, 1)
    images, magnitude = images / scale, magnitude / scale
    if p == jnp.inf:
        length = jnp.max(magnitude, axis=1, keepdims=True)
    else:
        total = jnp.sum(magnitude ** (int(p) if p.is_integer() else p), axis=1, keepdims=True)
        length = jnp.where(total > 0, total, 1) ** (1 / p)
    return images / jnp.where(length > 0, length, 1)


def _norm(scaled: Float[np.ndarray, "count inputs"], p: float) -> Float[np.ndarray, "count 1"]:
    """L_p norm of rows whose largest entry is 1."""
    if np.isinf(p):
        return np.ones((len(scaled), 1))
    if p == 3.0:
        return np.cbrt(np.einsum("ni,ni,ni->n", scaled, scaled, scaled))[:, None]
    return (scaled**p).sum(axis=1, keepdims=True) ** (1.0 / p)


def _check_block(block: np.ndarray, largest: np.ndarray, start: int) -> None:
    if not np.isfinite(largest).all():
        index = start + int(np.argmin(np.isfinite(largest[:, 0])))
        raise DataError(f"image {index} holds NaN or infinite values; a norm needs finite ones")
    smallest = block.min(axis=1)
    if smallest.min() < 0.0:
        index = start + int(np.argmax(smallest < 0.0))
        raise DataError(f"image {index} holds negative values; give pixels of at least 0")
    if largest.min() == 0.0:
        index = start + int(np.argmin(largest[:, 0]))
        raise DataError(f"image {index} is all zero and has no unit norm; remove it (without_blank_images)")


def white_noise(seed: int, count: int, inputs: int) -> Float[np.ndarray, "count inputs"]:
    """Independent N(0, 1) inputs, the same for every model that is measured with one seed.

    Drawn once, on the host: the raw output of NumPy's Philox generator, a stream defined bit by bit and promised never
    to change, is taken as 52-bit uniform numbers, which go through the normal quantile function in float64 and are
    rounded to float32. Nothing depends on the accelerator, the number of devices, JAX's generators or the NumPy
    version; C libraries may differ in the last bit of a float64 logarithm, which the rounding hides in all but about
    one of 10^8 values.

    Args:
        seed: at least 0.
        count: number of noise images.
        inputs: number of pixels D of each.

    Returns:
        ``float32`` of shape (count, inputs).

    Raises:
        DataError: if the seed is negative, or count or inputs is below 1.
    """
    if seed < 0:
        raise DataError(f"seed must be at least 0, got {seed}")
    if count < 1 or inputs < 1:
        raise DataError(f"count and inputs must be at least 1, got {count} and {inputs}")
    generator = np.random.Philox(seed)
    noise = np.empty(count * inputs, np.float32)
    for start in range(0, noise.size, _BLOCK_VALUES):
        block = noise[start : start + _BLOCK_VALUES]
        uniform = ((generator.random_raw(block.size) >> np.uint64(12)) + 0.5) * 2.0**-52
        block[:] = scipy.special.ndtri(uniform)
    return noise.reshape(count, inputs)

"""Corrupted images for robustness to what is not adversarial: ten corruptions of small images, five severities each.

These are *not* CIFAR-10-C (Hendrycks & Dietterich, arXiv 1903.12261), whose files are fixed and whose corruptions have
other strengths: use those, of :mod:`jax_bioadv.data.cifar10_c`, for numbers that others compare with. The kinds are its
kinds, made here from a seed for any set of small images, on the accelerator where they are arithmetic::

    foggy = corrupt(dataset.test_images, "fog", severity=3, seed=0)

An image's corruption depends on its place in the set and on the seed, not on the other images.
"""

import io
import zlib
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Key, UInt8

from jax_bioadv.blocks import equal_blocks, over_blocks
from jax_bioadv.extras import extra

SEVERITIES = (1, 2, 3, 4, 5)
_BLOCK = 1000
_BLUR_REACH = 5  # pixels: more than three standard deviations of the widest blur

Pixels = Float[Array, "height width channels"]
"""One image with pixels between 0 and 1."""
Strength = Float[Array, ""] | float


def _gaussian_noise(key: Key[Array, ""], image: Pixels, deviation: Strength) -> Pixels:
    return image + deviation * jax.random.normal(key, image.shape, image.dtype)


def _shot_noise(key: Key[Array, ""], image: Pixels, photons: Strength) -> Pixels:
    return jax.random.poisson(key, image * photons) / photons


def _impulse_noise(key: Key[Array, ""], image: Pixels, share: Strength) -> Pixels:
    where, what = jax.random.split(key)
    hit, white = (jax.random.uniform(key, image.shape, image.dtype) for key in (where, what))
    return jnp.where(hit < share, white < 0.5, image)


def _blurred(image: Pixels, deviation: Strength) -> Pixels:
    offsets = jnp.arange(-_BLUR_REACH, _BLUR_REACH + 1)
    weights = jnp.exp(-((offsets / deviation) ** 2) / 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(0, 0)] * 3
        padding[axis] = (_BLUR_REACH, _BLUR_REACH)
        wide = jnp.pad(image, padding, mode="symmetric")
        image = jnp.apply_along_axis(lambda line: jnp.convolve(line, weights, mode="valid"), axis, wide)
    return image


def _blur(key: Key[Array, ""], image: Pixels, deviation: Strength) -> Pixels:
    return _blurred(image, deviation)


def _contrast(key: Key[Array, ""], image: Pixels, kept: Strength) -> Pixels:
    mean = image.mean(axis=(0, 1))
    return mean + kept * (image - mean)


def _brightness(key: Key[Array, ""], image: Pixels, added: Strength) -> Pixels:
    return image + added


def _fog(key: Key[Array, ""], image: Pixels, thickness: Strength) -> Pixels:
    """A cloud whose power falls as the cube of the spatial frequency, the same in all channels."""
    height, width, _ = image.shape
    frequency = jnp.hypot(jnp.fft.fftfreq(height)[:, None], jnp.fft.fftfreq(width)) * max(height, width)
    waves = jnp.fft.fft2(jax.random.normal(key, (height, width), image.dtype)) / jnp.maximum(frequency, 1) ** 1.5
    cloud = jnp.fft.ifft2(waves).real
    cloud = (cloud - cloud.min()) / (cloud.max() - cloud.min())
    return (1 - thickness) * image + thickness * (0.5 + 0.5 * cloud[..., None])


def _pixelation(key: Key[Array, ""], image: Pixels, kept: float) -> Pixels:
    height, width, channels = image.shape
    small = (max(1, round(kept * height)), max(1, round(kept * width)), channels)
    return jax.image.resize(jax.image.resize(image, small, "linear"), image.shape, "nearest")


def _elastic(key: Key[Array, ""], image: Pixels, pixels: Strength) -> Pixels:
    """Every pixel comes from a place some pixels away, neighbours from neighbouring places."""
    height, width, channels = image.shape
    field = _blurred(jax.random.normal(key, (height, width, 2), image.dtype), 2.0)
    field *= pixels / jnp.sqrt(jnp.mean(field**2))
    rows, columns = jnp.mgrid[:height, :width]
    places = [rows + field[..., 0], columns + field[..., 1]]
    bent = [map_coordinates(image[..., channel], places, order=1, mode="nearest") for channel in range(channels)]
    return jnp.stack(bent, axis=-1)


_ON_DEVICE: dict[str, tuple[Callable[..., Pixels], tuple[float, ...]]] = {
    "gaussian_noise": (_gaussian_noise, (0.02, 0.04, 0.06, 0.08, 0.12)),  # standard deviation
    "shot_noise": (_shot_noise, (400.0, 200.0, 100.0, 50.0, 25.0)),  # photons of a white pixel
    "impulse_noise": (_impulse_noise, (0.01, 0.03, 0.06, 0.1, 0.15)),  # share of black or white values
    "blur": (_blur, (0.5, 0.7, 0.9, 1.2, 1.6)),  # standard deviation in pixels
    "contrast": (_contrast, (0.8, 0.6, 0.45, 0.3, 0.2)),  # what is kept of it
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.22, 0.3)),  # what is added
    "fog": (_fog, (0.15, 0.3, 0.45, 0.6, 0.75)),  # share of the fog in a pixel
    "pixelation": (_pixelation, (0.8, 0.65, 0.5, 0.4, 0.3)),  # of the pixels along a side
    "elastic": (_elastic, (0.3, 0.5, 0.8, 1.1, 1.5)),  # root mean square of each displacement, in pixels
}
_JPEG_QUALITY = (80, 60, 40, 25, 12)
CORRUPTIONS = (*_ON_DEVICE, "jpeg")


def corrupt(
    images: UInt8[np.ndarray, "count height width channels"], corruption: str, severity: int, seed: int = 0
) -> UInt8[np.ndarray, "count height width channels"]:
    """The images, each with one corruption.

    Args:
        images: bytes, grey (one channel) or colour (three).
        corruption: one of ``CORRUPTIONS``.
        severity: 1, mild, to 5, severe.
        seed: of what is random in it.

    Returns:
        Bytes of the same shape.

    Raises:
        ValueError: an unknown corruption or severity, or images that are no such bytes.
    """
    if corruption not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {corruption!r}; choose among {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is a whole number from 1 to 5, got {severity}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise ValueError(
            f"images must be uint8 of shape (count, height, width, 1 or 3), got {images.dtype} of shape {images.shape}"
        )
    if corruption == "jpeg":
        return np.stack([_compressed(image, _JPEG_QUALITY[severity - 1]) for image in images])
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), zlib.crc32(corruption.encode()))
    strength = _ON_DEVICE[corruption][1][severity - 1]
    static = strength if corruption == "pixelation" else None  # whose strength is a shape

    def of_block(places: np.ndarray) -> Array:
        return _block(corruption, static, key, images[places], places, strength)

    return over_blocks(of_block, len(images), equal_blocks(len(images), _BLOCK))


@partial(jax.jit, static_argnums=(0, 1))
def _block(
    corruption: str, static: float | None, key: Key[Array, ""], images: Array, places: Array, strength: Array
) -> Array:
    function, _ = _ON_DEVICE[corruption]

    def of_one(image: Array, place: Array) -> Array:
        own = jax.random.fold_in(key, place)
        made = function(own, image.astype(jnp.float32) / 255, strength if static is None else static)
        return jnp.rint(jnp.clip(made, 0, 1) * 255).astype(jnp.uint8)

    return jax.vmap(of_one)(images, places)


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    with extra("data"):
        from PIL import Image
    stream = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as opened:
        return np.asarray(opened).reshape(image.shape)

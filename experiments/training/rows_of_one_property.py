"""Rows that share one property with images and nothing else, to ask which of their properties does the work.

Training images as rows of a fixed layer give it much of what Krotov–Hopfield learning gives. Each function here keeps
one thing that such rows have: the amplitudes of their frequencies, the images' covariance, a radial frequency spectrum,
their coarse or their fine structure, the distribution of their values. All take and return flattened images, and the
layer scales its rows as those of the rule are, and all of them by one factor, so that on average the strongest response
to an image is as strong as that of images as rows: the power of the activation would let weak ones vanish.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images as Data
from experiments.training.layers import images_as_rows
from jax_bioadv.analysis.frequency import radial_spectrum, rings_of
from jax_bioadv.attacks.batch import checked_image_shape
from jax_bioadv.learning.krotov_hopfield import effective_weights
from jax_bioadv.learning.krotov_hopfield_increment import row_norms

Rows = Float[np.ndarray, "rows inputs"]
Images = Float[Array | np.ndarray, "rows inputs"]


def without_mean(images: Images) -> Rows:
    """Images less their own mean, so that they have both signs; all their structure stays."""
    host = np.asarray(images, np.float64)
    return (host - host.mean(axis=1, keepdims=True)).astype(np.float32)


def phase_scrambled(images: Images, image_shape: Sequence[int], generator: np.random.Generator) -> Rows:
    """Images with the amplitudes of their frequencies, and phases turned at random, in all channels alike.

    Args:
        images: (rows, inputs), flattened.
        image_shape: (height, width, channels).
        generator: of the phases, those of white noise, so that the image stays real.

    Returns:
        Rows with the amplitude spectrum, mean and colours of their images, and none of their edges.

    Raises:
        ValueError: a shape that does not fit.
    """
    waves = np.fft.fft2(_shaped(images, image_shape), axes=(1, 2))
    turn = np.fft.fft2(generator.normal(size=waves.shape[:3]), axes=(1, 2))[..., None]
    turn[:, 0, 0] = 1  # the mean stays as it is
    return _flat(np.fft.ifft2(waves * turn / np.abs(turn), axes=(1, 2)).real)


def gaussian_rows(
    count: int,
    variances: Float[np.ndarray, " inputs"],
    directions: Float[np.ndarray, "inputs inputs"],
    generator: np.random.Generator,
) -> Rows:
    """Gaussian noise with the covariance of the images: their second moments, and no others.

    Args:
        count: how many rows.
        variances: of the images along their principal directions.
        directions: these, a row each.
        generator: of the noise.
    """
    return ((generator.normal(size=(count, len(variances))) * np.sqrt(variances)) @ directions).astype(np.float32)


def rows_of_radial_spectrum(
    count: int, spectrum: Float[np.ndarray, " rings"], image_shape: Sequence[int], generator: np.random.Generator
) -> Rows:
    """Gaussian noise, of its own in each channel, with so much power in each ring of spatial frequency.

    Args:
        count: how many rows.
        spectrum: a mean of :func:`jax_bioadv.analysis.frequency.radial_spectrum`; these rows have it on average.
        image_shape: (height, width, channels).
        generator: of the noise.

    Raises:
        ValueError: a shape whose rings are not those of the spectrum.
    """
    height, width, channels = checked_image_shape(image_shape)
    rings = rings_of(height, width)
    if len(spectrum) != rings.max() + 1:
        raise ValueError(f"{len(spectrum)} rings are not the {rings.max() + 1} of images of {tuple(image_shape)}")
    each = np.asarray(spectrum) / np.bincount(rings.ravel()) / channels
    waves = np.fft.fft2(generator.normal(size=(count, height, width, channels)), axes=(1, 2))
    return _flat(np.fft.ifft2(waves * np.sqrt(each)[rings][..., None], axes=(1, 2)).real)


def low_passed(images: Images, image_shape: Sequence[int], cycles: float) -> Rows:
    """Images of frequencies up to so many cycles per image (of the longer side), blurred.

    Args:
        images: (rows, inputs), flattened.
        image_shape: (height, width, channels).
        cycles: the highest ring that stays.

    Raises:
        ValueError: a shape that does not fit, or cycles below 0.
    """
    if not cycles >= 0:
        raise ValueError(f"cycles per image must be at least 0, got {cycles}")
    shaped = _shaped(images, image_shape)
    kept = rings_of(*shaped.shape[1:3]) <= cycles
    return _flat(np.fft.ifft2(np.fft.fft2(shaped, axes=(1, 2)) * kept[..., None], axes=(1, 2)).real)


def high_passed(images: Images, image_shape: Sequence[int], cycles: float) -> Rows:
    """What :func:`low_passed` takes away: images of higher frequencies alone, which have both signs and no mean."""
    return np.asarray(images, np.float32) - low_passed(images, image_shape, cycles)


def shuffled_pixels(images: Images, generator: np.random.Generator) -> Rows:
    """Images whose pixels are in an order of each image's own: the distribution of their values alone."""
    return generator.permuted(np.asarray(images, np.float32), axis=1)


def _shaped(images: Images, image_shape: Sequence[int]) -> np.ndarray:
    height, width, channels = checked_image_shape(image_shape)
    if height * width * channels != images.shape[1]:
        raise ValueError(f"rows of {images.shape[1]} inputs are no images of (height, width, channels) {image_shape}")
    return np.asarray(images, np.float64).reshape(-1, height, width, channels)


def _flat(images: np.ndarray) -> Rows:
    return images.reshape(len(images), -1).astype(np.float32)


# Rows from the training images that "images as rows" of the same seed takes, and all that the data say.
Make = Callable[[np.ndarray, Data, np.random.Generator], np.ndarray]
# Cycles per image up to which structure is coarse: of 16 that images of 32 pixels have.
COARSE_SHARE = 0.25


def _cutoff(data: Data) -> float:
    return COARSE_SHARE * max(data.dataset.image_shape[:2]) / 2


def signed(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return without_mean(rows)


def scrambled(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return phase_scrambled(rows, data.dataset.image_shape, generator)


def gaussian(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return gaussian_rows(len(rows), *data.principal, generator)


def radial(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    shape = data.dataset.image_shape
    return rows_of_radial_spectrum(len(rows), radial_spectrum(rows, shape).mean(axis=0), shape, generator)


def blurred(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return low_passed(rows, data.dataset.image_shape, _cutoff(data))


def sharpened(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return high_passed(rows, data.dataset.image_shape, _cutoff(data))


def shuffled(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return shuffled_pixels(rows, generator)


def positive(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return np.abs(generator.normal(size=rows.shape)).astype(np.float32)


def white(rows: np.ndarray, data: Data, generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=rows.shape).astype(np.float32)


def of_one_property(make: Make, work: Work, *, seed: int, hidden: int, p: float, radius: float) -> Outcome:
    """The encoder's kernel of a layer whose rows have one property of those of ``images_as_rows``."""
    images = images_as_rows(work, seed=seed, hidden=hidden, p=p, radius=radius).arrays["synapses"]
    rows = jnp.asarray(make(images, work.images, np.random.default_rng(seed)))
    norms = row_norms(rows, p)[:, None]
    layer = effective_weights(radius * rows / jnp.where(norms > 0, norms, 1), p)
    wanted, found = (_strongest(one, work.images.train) for one in (effective_weights(jnp.asarray(images), p), layer))
    return Outcome({"converged": True}, {"kernel": np.asarray(wanted / found * layer).T})


@jax.jit
def _strongest(layer: jax.Array, images: jax.Array) -> jax.Array:
    """The strongest response to an image, averaged over them."""
    return jnp.mean(jnp.max(jnp.matmul(images, layer.T, precision="highest"), axis=1))

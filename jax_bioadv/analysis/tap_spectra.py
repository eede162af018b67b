"""Covariance spectra of any representation, however large, from a pass or a few over the images.

:mod:`jax_bioadv.analysis.spectra` has the covariance of features that are all there. A map of a convolutional network
may have 100 000 features an image, too many to keep, let alone their covariance. Here activations are computed block by
block and not kept, and the side is chosen on which the eigenvalues are a problem that fits the memory:

- ``features``: the covariance itself, where there are no more features than samples;
- ``samples``: the Gram matrix of the samples, whose eigenvalues are the same, where there are fewer of them;
- ``sketch``, where neither fits: the leading ones by randomised subspace iteration (Halko, Martinsson & Tropp 2011, doi
  10.1137/090771806), with the error of each.

All sums are in float64 on the host, about the mean of the first block, which leaves so little of the mean that nothing
cancels. Fit the exponent as always::

    spectrum = tap_spectrum(taps_of(network)["stages.0"], images)
    fit_power_law(spectrum.eigenvalues, first=11, last=500)
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float64, PRNGKeyArray

from jax_bioadv.analysis.spectra import covariance_spectrum
from jax_bioadv.blocks import over_blocks, whole_blocks
from jax_bioadv.models import as_pytree

_BYTES = np.dtype(np.float64).itemsize


class TapSpectrum(NamedTuple):
    """Eigenvalues of the sample covariance (divisor samples - 1) of a representation."""

    eigenvalues: Float64[np.ndarray, " n"]
    """The largest first: all that can differ from zero, of which there are at most samples - 1, or a sketch's."""
    errors: Float64[np.ndarray, " n"]
    """Zero, or of a sketch: the covariance has an eigenvalue within this distance, and its n-th is no smaller."""
    total_variance: float
    """Their sum, the left-out ones included."""
    side: Literal["features", "samples", "sketch"]
    samples: int
    features: int


def tap_spectrum(
    representation: Callable[[Array], Array],
    images: ArrayLike,
    *,
    samples: Literal["images", "positions"] = "images",
    memory: int = 2**30,
    rank: int = 500,
    passes: int = 4,
    key: PRNGKeyArray | None = None,
    image_block: int = 256,
) -> TapSpectrum:
    """Covariance spectrum of a representation.

    Args:
        representation: batch of flattened images to an array with a row for each, such as a tap; see
            :func:`jax_bioadv.taps.taps_of`.
        images: (images, inputs), at least two.
        samples: "images", of which each is a vector of all that there is of it, maps being flattened; or "positions",
            for maps (images, height, width, channels): every position of every image is a vector of its channels.
        memory: bytes for the covariance or the Gram matrix; the latter's blocks of samples, or a sketch's vectors, take
            as much again.
        rank: eigenvalues that a sketch is for; it has twice as many vectors, and all their eigenvalues are given.
        passes: passes over the images for a sketch; errors fall with each, the faster the steeper the spectrum.
        key: of a sketch's first vectors; None for key 0.
        image_block: images that are computed together.

    Returns:
        The spectrum, and how it was found.

    Raises:
        ValueError: for fewer than two samples, positions of what is no map, a representation that is not finite, too
            little memory for a single sample, or settings out of range.
    """
    if memory < 1 or rank < 1 or passes < 2 or image_block < 1:
        raise ValueError(
            "memory, rank and image_block must be positive and passes at least 2, got "
            f"{memory}, {rank}, {image_block} and {passes}"
        )
    if samples not in ("images", "positions"):
        raise ValueError(f"samples must be 'images' or 'positions', got {samples!r}")
    stream = _stream(representation, images, samples == "positions", image_block)
    side = min(stream.samples, stream.features)
    if side**2 * _BYTES <= memory:
        if stream.features == side:
            return _spectrum(stream, covariance_spectrum(_covariance(stream)), "features")
        return _spectrum(stream, covariance_spectrum(_gram(stream, memory)), "samples")
    size = min(2 * rank, stream.features, stream.samples - 1)
    return _sketch(stream, size, passes, jax.random.key(0) if key is None else key)


class _Stream(NamedTuple):
    """Samples (samples, features), which are computed when they are asked for."""

    tap: Partial
    images: np.ndarray
    image_block: int
    samples: int
    features: int

    @property
    def samples_per_image(self) -> int:
        return self.samples // len(self.images)

    def of_images(self, first: int, last: int) -> Float64[np.ndarray, "some features"]:
        """Samples of some images."""
        images = self.images[first:last]
        blocks = whole_blocks(len(images), min(self.image_block, len(self.images)))
        values = over_blocks(lambda rows: _represented(self.tap, images[rows]), len(images), blocks)
        values = values.reshape(-1, self.features).astype(np.float64)
        if not np.isfinite(values.sum()):
            raise ValueError("the representation is not finite; check that the network has not diverged")
        return values

    def blocks(self) -> Iterator[Float64[np.ndarray, "some features"]]:
        """All samples about the mean of the first block, block by block."""
        mean: Any = None
        for first in range(0, len(self.images), self.image_block):
            values = self.of_images(first, first + self.image_block)
            mean = values.mean(axis=0) if mean is None else mean
            yield values - mean


@jax.jit
def _represented(tap: Partial, images: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        return tap(images)


def _stream(representation: Callable[[Array], Array], images: ArrayLike, positions: bool, image_block: int) -> _Stream:
    images, tap = np.asarray(images), as_pytree(representation)
    if images.ndim != 2 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be floating and flattened to (images, inputs), got {images.dtype} of shape {images.shape}"
        )
    one = jax.eval_shape(_represented, tap, jax.ShapeDtypeStruct((1, images.shape[1]), jnp.float32)).shape[1:]
    if positions and len(one) != 3:
        raise ValueError(f"only maps (height, width, channels) have positions, not a representation of shape {one}")
    per_image = one[0] * one[1] if positions else 1
    samples, features = len(images) * per_image, int(np.prod(one)) // per_image
    if samples < 2 or features < 1:
        raise ValueError(f"a spectrum needs two samples of one feature or more, got {samples} of {features}")
    return _Stream(tap, images, image_block, samples, features)


def _covariance(stream: _Stream) -> Float64[np.ndarray, "features features"]:
    scatter, total = np.zeros((stream.features, stream.features)), np.zeros(stream.features)
    for values in stream.blocks():
        scatter += values.T @ values
        total += values.sum(axis=0)
    scatter -= np.outer(total, total / stream.samples)
    return scatter / (stream.samples - 1)


def _gram(stream: _Stream, memory: int) -> Float64[np.ndarray, "samples samples"]:
    """Products of all pairs of samples; those that do not fit the memory are computed again for every block."""
    images, per_image = len(stream.images), stream.samples_per_image
    together = memory // (2 * _BYTES * stream.features * per_image)
    if together < 1:
        raise ValueError(f"memory = {memory} bytes does not hold two images' {stream.features} features; give more")
    gram, mean = np.empty((stream.samples, stream.samples)), None
    for first in range(0, images, together):
        some = stream.of_images(first, first + together)
        mean = some.mean(axis=0) if mean is None else mean
        some -= mean
        rows = slice(first * per_image, first * per_image + len(some))
        gram[rows, rows] = some @ some.T
        for second in range(first + together, images, together):
            others = stream.of_images(second, second + together) - mean
            columns = slice(second * per_image, second * per_image + len(others))
            gram[rows, columns] = some @ others.T
            gram[columns, rows] = gram[rows, columns].T
    means = gram.mean(axis=0)
    gram -= means + means[:, None] - means.mean()
    return gram / (stream.samples - 1)


def _spectrum(
    stream: _Stream, eigenvalues: Float64[np.ndarray, " n"], side: Literal["features", "samples"]
) -> TapSpectrum:
    eigenvalues = eigenvalues[: stream.samples - 1]
    total = float(eigenvalues.sum())
    return TapSpectrum(eigenvalues, np.zeros_like(eigenvalues), total, side, stream.samples, stream.features)


def _sketch(stream: _Stream, size: int, passes: int, key: PRNGKeyArray) -> TapSpectrum:
    """Ritz values of the covariance on a subspace that passes turn towards the leading eigenvectors."""
    product = np.asarray(jax.random.normal(key, (stream.features, size)), np.float64)
    for _ in range(passes):
        basis = np.linalg.qr(product)[0]
        product, total, square = np.zeros_like(basis), np.zeros(stream.features), 0.0
        for values in stream.blocks():
            product += values.T @ (values @ basis)
            total += values.sum(axis=0)
            square += np.sum(values**2)
        product -= np.outer(total, total / stream.samples @ basis)
        product /= stream.samples - 1
    eigenvalues, turn = np.linalg.eigh(basis.T @ product)
    errors = np.linalg.norm(product @ turn - basis @ turn * eigenvalues, axis=0)
    variance = (square - total @ total / stream.samples) / (stream.samples - 1)
    found = np.maximum(eigenvalues[::-1], 0.0), errors[::-1], float(variance)
    return TapSpectrum(*found, "sketch", stream.samples, stream.features)

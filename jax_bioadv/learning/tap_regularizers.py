"""Penalties on what is inside any network: the Jacobian, or the covariance spectrum, of a tap.

As :mod:`jax_bioadv.learning.regularizers`, whose closed forms hold for one hidden layer; a tap is named as in
:mod:`jax_bioadv.taps`. The network is looked at in evaluation mode, as measurements see it, with running statistics
held constant: by a second pass over the batch, without dropout. ::

    penalty = combine(jacobian_at_tap("stages.0"), spectral_at_tap("stages.1.convolution", anchor=variance))
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jax_bioadv.jacobian import on_one_image
from jax_bioadv.learning.regularizers import (
    Batch,
    Regularizer,
    Scalar,
    SpectralTarget,
    TrainingData,
    check_spectral_target,
    distance_from_target,
    projected_jacobian,
    spectral_target,
)
from jax_bioadv.taps import taps_of


def _tap(model: nnx.Module, name: str) -> Partial:
    graphdef, parameters, statistics = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
    return taps_of(nnx.merge(graphdef, parameters, lax.stop_gradient(statistics)), name)[name]


def jacobian_at_tap(tap: str, weight: Scalar = 1e-3, projections: int = 3) -> Regularizer:
    """``weight · E_x ‖∂tap/∂x‖²_F``, estimated by random projections (Hoffman et al., arXiv 1908.02729).

    Args:
        tap: its name; a map counts as the vector of all its entries.
        weight: factor.
        projections: random directions per image.

    Raises:
        ValueError: a weight out of range; from ``refresh``, a network without this tap.
    """

    def check(model: Any, data: TrainingData) -> None:
        taps_of(model, tap)

    at_tap = projected_jacobian(lambda model, image: on_one_image(_tap(model, tap))(image), weight, projections)
    return at_tap._replace(refresh=check)


def spectral_at_tap(
    tap: str,
    weight: Scalar = 1.0,
    exponent: Scalar = 1.0,
    first: int = 1,
    anchor: Scalar | None = None,
    image_block: int = 500,
) -> Regularizer:
    """Pulls the covariance spectrum of a tap towards the power law ``n^-exponent``.

    The loss is that of :func:`jax_bioadv.learning.regularizers.spectral` (Nassar et al., arXiv 2012.04729). Of a map
    (batch, height, width, channels) it is the spectrum of its channels, with all positions of all images as samples.
    Every refresh passes over all images and decomposes the covariance anew, so that renewals are dearer than there.

    Args:
        tap: its name.
        weight: factor.
        exponent: the α of the target.
        first: first eigenvalue, counted from 1, that is pulled; the anchor's index τ.
        anchor: λ_τ in ``γ_n = λ_τ (τ/n)^α``, constant throughout the training: an eigenvalue of
            :func:`tap_covariance` of the model to be trained. None gives ``γ_n = n^-α``.
        image_block: images that a refresh computes together.

    Raises:
        ValueError: a weight, exponent, index or anchor out of range; from ``refresh``, a network without this tap.
    """
    check_spectral_target(weight, exponent, first, anchor)

    def refresh(model: Any, data: TrainingData) -> SpectralTarget:
        eigenvectors = jnp.linalg.eigh(tap_covariance(model, tap, data.images, image_block))[1]
        return spectral_target(eigenvectors[:, ::-1], exponent, first, anchor)

    def penalty(model: Any, batch: Batch, aux: SpectralTarget, key: Key[Array, ""]) -> Float[Array, ""]:
        return weight * distance_from_target(_samples(_tap(model, tap), batch.images), aux, first)

    return Regularizer(refresh, penalty)


def tap_covariance(
    model: nnx.Module, tap: str, images: Float[Array, "images inputs"], image_block: int = 500
) -> Float[Array, "features features"]:
    """Covariance of a tap in float32, about the mean, for :func:`spectral_at_tap`; analyses use float64 instead.

    Args:
        model: the network.
        tap: its name; of a map the covariance is that of its channels over all positions.
        images: flattened images.
        image_block: images that are computed together; none of their activations is kept.

    Raises:
        ValueError: a network without this tap, or blocks of none.
    """
    if image_block < 1:
        raise ValueError(f"image_block must be at least 1, got {image_block}")
    return _covariance(taps_of(model, tap)[tap], images, image_block)


@jax.jit(static_argnames="image_block")
def _covariance(tap: Partial, images: Array, image_block: int) -> Array:
    block = min(image_block, len(images))
    first = len(images) % block or block
    shift = jnp.mean(_samples(tap, images[:first]), axis=0)

    def sums(some: Array) -> tuple[Array, Array]:
        centred = _samples(tap, some) - shift
        return jnp.sum(centred, axis=0), jnp.matmul(centred.T, centred, precision="highest")

    rest = images[first:].reshape(-1, block, images.shape[1])
    total, scatter = lax.scan(
        lambda sofar, some: (jax.tree.map(jnp.add, sofar, sums(some)), None), sums(images[:first]), rest
    )[0]
    samples = jax.eval_shape(lambda: _samples(tap, images)).shape[0]
    mean = total / samples
    return scatter / samples - jnp.outer(mean, mean)


def _samples(tap: Partial, images: Array) -> Array:
    """Rows: an image each, or of maps a position of an image each."""
    values = tap(images)
    return values.reshape(-1, values.shape[-1])

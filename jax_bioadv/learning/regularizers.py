"""Penalties that backpropagation can be given besides the cross-entropy.

A regularizer is a pair of pure functions: ``refresh(model, data) -> aux`` now and then, outside the gradient, and
``penalty(model, batch, aux, key) -> scalar`` for every minibatch. One whose aux is expensive may add a third,
``renew(aux, model, data) -> aux``, that starts from the last aux. :func:`combine` adds several up; the trainer
(:mod:`jax_bioadv.learning.supervised`) knows none of them by name. A new one needs nothing but such a pair::

    def sparse(weight):
        return Regularizer(refresh=no_refresh, penalty=lambda model, batch, aux, key:
                           weight * jnp.mean(jnp.maximum(batch.preactivation, 0)))

As used by Holzhausen et al., arXiv 2405.00679: weight decay; the Jacobian of the hidden layer (Hoffman et al., arXiv
1908.02729); and a target for the covariance spectrum of the hidden layer (Nassar et al., arXiv 2012.04729).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.jacobian import projected_jacobian_norms_squared, slope_norms_squared
from jax_bioadv.models import Network, check_one_hidden_layer
from jax_bioadv.tracing import is_traced

Scalar = Float[Array, ""] | float
"""A hyper-parameter; traced in a population."""


class TrainingData(NamedTuple):
    """What an epoch runs over; the covariance of the images is needed by :func:`spectral` alone."""

    images: Float[Array, "samples inputs"]
    labels: Int[Array, " samples"]
    covariance: Float[Array, "inputs inputs"] | None = None


class Batch(NamedTuple):
    """A minibatch with the hidden pre-activation that the loss has computed anyway, of a model that tells it."""

    images: Float[Array, "batch inputs"]
    labels: Int[Array, " batch"]
    preactivation: Float[Array, "batch hidden"] | None


class Regularizer(NamedTuple):
    """``refresh(model, data) -> aux`` now and then and ``penalty(model, batch, aux, key) -> scalar`` every batch."""

    refresh: Callable[[Any, TrainingData], Any]
    penalty: Callable[[Any, Batch, Any, Key[Array, ""]], Float[Array, ""]]
    renew: Callable[[Any, Any, TrainingData], Any] | None = None
    """``renew(aux, model, data) -> aux``: a cheaper refresh that starts from the last aux; None refreshes anew."""

    def renewed(self, aux: Any, model: Any, data: TrainingData) -> Any:
        """The aux of the model as it is now, from that of an earlier one."""
        return self.refresh(model, data) if self.renew is None else self.renew(aux, model, data)


def no_refresh(model: Any, data: TrainingData) -> None:
    """The ``refresh`` of a penalty that needs nothing from a pass over the data."""


def combine(*regularizers: Regularizer) -> Regularizer:
    """The sum of some regularizers; of none, the penalty 0."""

    def refresh(model: Any, data: TrainingData) -> tuple[Any, ...]:
        return tuple(regularizer.refresh(model, data) for regularizer in regularizers)

    def penalty(model: Any, batch: Batch, aux: tuple[Any, ...], key: Key[Array, ""]) -> Float[Array, ""]:
        keys = jax.random.split(key, max(len(regularizers), 1))
        parts = zip(regularizers, aux, keys, strict=False)
        return sum((regularizer.penalty(model, batch, a, k) for regularizer, a, k in parts), start=jnp.zeros(()))

    def renew(aux: tuple[Any, ...], model: Any, data: TrainingData) -> tuple[Any, ...]:
        return tuple(regularizer.renewed(a, model, data) for regularizer, a in zip(regularizers, aux, strict=True))

    return Regularizer(refresh, penalty, renew)


def check_weight(weight: Scalar) -> None:
    """Raise ValueError for a factor that no penalty can have, unless it is traced."""
    if not is_traced(weight) and not 0 <= weight < float("inf"):
        raise ValueError(f"the weight of a regularizer must be finite and not negative, got {weight}")


def weight_decay(weight: Scalar = 5e-4) -> Regularizer:
    """``weight · Σ θ²`` over every trainable parameter of the model, biases included, as published."""
    check_weight(weight)

    def penalty(model: Any, batch: Batch, aux: None, key: Key[Array, ""]) -> Float[Array, ""]:
        parameters = jax.tree.leaves(nnx.state(model, nnx.Param))
        return weight * sum((jnp.sum(parameter**2) for parameter in parameters), start=jnp.zeros(()))

    return Regularizer(no_refresh, penalty)


def jacobian(weight: Scalar = 1e-3, target: Literal["preactivation", "activation"] = "preactivation") -> Regularizer:
    """``weight · E_x ‖∂(hidden)/∂x‖²_F`` of :class:`jax_bioadv.models.Network`, exact and without random projections.

    The pre-activation is linear in x, so its Jacobian is V itself and the published penalty is plain weight decay on
    the first layer, ``‖V‖²_F``. For the activation ``a = ReLU(h)^n`` it is ``Σ_μ (n·ReLU(h_μ)^(n-1))² ‖V_μ‖²``.

    Args:
        weight: factor; the published runs say 1e-3, their normalisation of the random projections made it 1e-3/3.
        target: "preactivation" as published, or "activation".

    Raises:
        ValueError: an unknown target or a negative weight.
        TypeError: from the penalty, for any other model; :func:`projected_jacobian`, and at a tap
            :func:`jax_bioadv.learning.tap_regularizers.jacobian_at_tap`, serve those.
    """
    check_weight(weight)
    if target not in ("preactivation", "activation"):
        raise ValueError(f"target must be 'preactivation' or 'activation', got {target!r}")

    def penalty(model: Network, batch: Batch, aux: None, key: Key[Array, ""]) -> Float[Array, ""]:
        check_one_hidden_layer(model, "Use tap_regularizers.jacobian_at_tap, which serves any model.")
        squared_row_norms = jnp.sum(jnp.square(model.encoder.kernel[...]), axis=0)
        if target == "preactivation":
            return weight * jnp.sum(squared_row_norms)
        assert batch.preactivation is not None  # a Network's
        return weight * jnp.mean(slope_norms_squared(batch.preactivation, model.power, squared_row_norms))

    return Regularizer(no_refresh, penalty)


def projected_jacobian(
    function: Callable[[Any, Float[Array, " inputs"]], Float[Array, "*outputs"]],
    weight: Scalar = 1e-3,
    projections: int = 3,
) -> Regularizer:
    """``weight · E_x ‖∂function/∂x‖²_F`` estimated by random projections, for any function of any network.

    Hoffman et al., arXiv 1908.02729, with every projection normalised alike, so that the estimate is unbiased.

    Args:
        function: maps (model, one flattened image) to an array, say ``lambda model, x: model(x[None])[0]``.
        weight: factor.
        projections: random directions per image.
    """
    check_weight(weight)

    def penalty(model: Any, batch: Batch, aux: None, key: Key[Array, ""]) -> Float[Array, ""]:
        norms = projected_jacobian_norms_squared(key, lambda image: function(model, image), batch.images, projections)
        return weight * jnp.mean(norms)

    return Regularizer(no_refresh, penalty)


class SpectralTarget(NamedTuple):
    """Eigenbasis of the pre-activation's training covariance, largest first, and the variances wanted along it."""

    eigenvectors: Float[Array, "hidden hidden"]
    variances: Float[Array, " hidden"]


def hidden_covariance(
    model: Network, covariance: Float[Array, "inputs inputs"] | None
) -> Float[Array, "hidden hidden"]:
    """``V C Vᵀ`` of the pre-activation, in float32.

    Args:
        model: the network; what it holds for is one dense layer.
        covariance: C, of the images; None for that of white noise, the identity.

    Raises:
        TypeError: any other model.
    """
    check_one_hidden_layer(model, "For others see tap_regularizers.spectral_at_tap, which needs the images.")
    kernel = model.encoder.kernel[...]
    seen = kernel if covariance is None else jnp.matmul(covariance, kernel, precision="highest")
    return jnp.matmul(kernel.T, seen, precision="highest")


def hidden_spectrum(
    model: Network, covariance: Float[Array, "inputs inputs"] | None
) -> tuple[Float[Array, " hidden"], Float[Array, "hidden hidden"]]:
    """Eigenvalues and eigenvectors of the pre-activation's covariance ``V C Vᵀ``, the largest first, in float32.

    Args:
        model: the network; what it holds for is one dense layer.
        covariance: of the images; None for white noise.

    Returns:
        Both, the eigenvectors as columns.

    Raises:
        TypeError: any other model.
    """
    eigenvalues, eigenvectors = jnp.linalg.eigh(hidden_covariance(model, covariance))
    return eigenvalues[::-1], eigenvectors[:, ::-1]


def turned_basis(
    eigenvectors: Float[Array, "hidden hidden"], covariance: Float[Array, "hidden hidden"]
) -> Float[Array, "hidden hidden"]:
    """Eigenvectors of an earlier covariance, after one step of orthogonal iteration towards those of this one."""
    return jnp.linalg.qr(jnp.matmul(covariance, eigenvectors, precision="highest"))[0]


def known_covariance(data: TrainingData) -> Float[Array, "inputs inputs"]:
    """That of the training images; ValueError where the data go without it."""
    if data is None or data.covariance is None:
        raise ValueError("spectral regularization needs TrainingData.covariance; see image_covariance")
    return data.covariance


def check_spectral_target(weight: Scalar, exponent: Scalar, first: int, anchor: Scalar | None) -> None:
    """Raise ValueError for settings of :func:`spectral` that make no sense."""
    check_weight(weight)
    if not is_traced(exponent) and not exponent > 0:
        raise ValueError(f"the target exponent must be positive, got {exponent}")
    if first < 1:
        raise ValueError(f"eigenvalues are counted from 1, got first = {first}")
    if anchor is not None and not is_traced(anchor) and not anchor > 0:
        raise ValueError(f"the anchor is a variance and must be positive, got {anchor}")


def spectral_target(
    eigenvectors: Float[Array, "hidden hidden"], exponent: Scalar, first: int, anchor: Scalar | None
) -> SpectralTarget:
    """The power law that :func:`spectral` pulls towards, along given eigenvectors.

    Raises:
        ValueError: if there is no such first eigenvalue.
    """
    ranks = jnp.arange(1, len(eigenvectors) + 1, dtype=eigenvectors.dtype)
    if first > len(ranks):
        raise ValueError(f"first = {first} lies beyond the {len(ranks)} eigenvalues of the layer")
    variances = ranks**-exponent if anchor is None else anchor * (first / ranks) ** exponent
    return SpectralTarget(eigenvectors, variances)


def distance_from_target(values: Float[Array, "batch hidden"], target: SpectralTarget, first: int) -> Float[Array, ""]:
    """``mean_n [(λ_n/γ_n − 1)² + max(λ_n/γ_n − 1, 0)]``, n ≥ first, with λ_n the values' variances."""
    variances = jnp.var(jnp.matmul(values, target.eigenvectors, precision="highest"), axis=0)
    excess = (variances / target.variances - 1)[first - 1 :]
    return jnp.mean(excess**2 + jnp.maximum(excess, 0))


def spectral(
    weight: Scalar = 1.0,
    exponent: Scalar = 1.0,
    first: int = 1,
    anchor: Scalar | None = None,
    warm_start: bool = True,
) -> Regularizer:
    """Pulls the covariance spectrum of the hidden pre-activation towards the power law ``n^-exponent``.

    Nassar et al., arXiv 2012.04729: ``weight · mean_n [(λ_n/γ_n − 1)² + max(λ_n/γ_n − 1, 0)]`` over n ≥ first, with λ_n
    the batch's variance along the n-th eigenvector of the training covariance. The eigenvectors come from ``refresh``.
    They go stale within few steps: a layer that turns a little of its largest variance into all the old directions
    satisfies the penalty without changing its spectrum, so refresh them several times an epoch.

    Args:
        weight: factor.
        exponent: the α of the target.
        first: first eigenvalue, counted from 1, that is pulled; the anchor's index τ.
        anchor: λ_τ in ``γ_n = λ_τ (τ/n)^α``, constant throughout the training: :func:`hidden_spectrum` of the model to
            be trained, at index first − 1. None gives ``γ_n = n^-α``, as the published code has it, whatever the scale
            of the data.
        warm_start: renew the eigenvectors by one step of orthogonal iteration from the last ones (a product and a
            Householder QR, which accelerators do far faster than an eigendecomposition); False decomposes anew.

    Raises:
        ValueError: a weight, exponent, index or anchor outside its range.
        TypeError: from ``refresh``, for any model but :class:`jax_bioadv.models.Network`.
    """
    check_spectral_target(weight, exponent, first, anchor)

    def refresh(model: Network, data: TrainingData) -> SpectralTarget:
        _, eigenvectors = hidden_spectrum(model, known_covariance(data))
        return spectral_target(eigenvectors, exponent, first, anchor)

    def penalty(model: Network, batch: Batch, aux: SpectralTarget, key: Key[Array, ""]) -> Float[Array, ""]:
        assert batch.preactivation is not None  # a Network's
        return weight * distance_from_target(batch.preactivation, aux, first)

    def renew(aux: SpectralTarget, model: Network, data: TrainingData) -> SpectralTarget:
        covariance = hidden_covariance(model, known_covariance(data))
        return aux._replace(eigenvectors=turned_basis(aux.eigenvectors, covariance))

    return Regularizer(refresh, penalty, renew if warm_start else None)


@jax.jit
def image_covariance(images: Float[Array, "samples inputs"]) -> Float[Array, "inputs inputs"]:
    """Covariance of the images about their mean in float32, for :func:`spectral`; analyses use float64 instead."""
    centred = images - jnp.mean(images, axis=0)
    return jnp.matmul(centred.T, centred, precision="highest") / len(images)

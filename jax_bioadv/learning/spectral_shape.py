"""A penalty on the shape of a layer's spectrum, whatever its scale, on images or on white noise.

:func:`jax_bioadv.learning.regularizers.spectral` pulls the spectrum on images to a power law of a given scale, by the
relative error of the eigenvalues. Exponents are slopes of logarithms, and two spectra of one layer cannot have any two
scales: with singular values ``σ_n`` of V the spectrum on white noise is ``σ_n²``, and Horn's inequality bounds that on
images, ``λ_1 ⋯ λ_n ≤ σ_1² c_1 ⋯ σ_n² c_n``. Here the squared error of the logarithms is taken, with the scale that fits
best left free, so that several such terms may be added, one on images and one on noise::

    law = 1.0 / jnp.arange(1, 101)
    both = combine(spectral_shape(law), spectral_shape(law, noise=True))

What is wanted need not be a power law: the spectrum of another layer is as good a target.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jax_bioadv.learning.regularizers import (
    Batch,
    Regularizer,
    Scalar,
    TrainingData,
    check_weight,
    hidden_covariance,
    hidden_spectrum,
    known_covariance,
    turned_basis,
)
from jax_bioadv.models import Network
from jax_bioadv.tracing import is_traced


def spectral_shape(
    wanted: Float[Array, " wanted"],
    weight: Scalar = 1.0,
    *,
    noise: bool = False,
    first: int = 1,
    warm_start: bool = True,
) -> Regularizer:
    """Pulls the covariance spectrum of the hidden pre-activation towards a multiple of the wanted one.

    ``weight · Var_n log(λ_n / γ_n)`` over the wanted n, with γ_n the wanted variances. ``λ_n`` on images is the batch's
    variance along the n-th eigenvector of ``V C Vᵀ``; on white noise it is exactly ``u_nᵀ V Vᵀ u_n`` with u_n that of
    ``V Vᵀ``, and no noise is drawn. The eigenvectors come from ``refresh``, and go stale as those of ``spectral`` do.

    Args:
        wanted: γ_n for n = 1, 2, …, positive, in any unit; further eigenvalues are left alone.
        weight: factor.
        noise: whether it is the spectrum on white noise that is pulled, or the one on images.
        first: first n, counted from 1, that is pulled.
        warm_start: renew the eigenvectors by one step of orthogonal iteration; False decomposes anew.

    Raises:
        ValueError: a weight, index or variance out of range; from ``refresh``, more variances than hidden units or
            inputs, or images without their covariance.
        TypeError: from ``refresh``, for any model but :class:`jax_bioadv.models.Network`.
    """
    check_weight(weight)
    if not 1 <= first < len(wanted):
        raise ValueError(f"two eigenvalues are needed: first = {first}, and {len(wanted)} variances are wanted")
    if not is_traced(wanted) and not bool(jnp.all((wanted > 0) & jnp.isfinite(wanted))):
        raise ValueError("wanted variances must be positive and finite")

    def inputs(data: TrainingData) -> Float[Array, "inputs inputs"] | None:
        return None if noise else known_covariance(data)

    def refresh(model: Network, data: TrainingData) -> Float[Array, "hidden hidden"]:
        _, eigenvectors = hidden_spectrum(model, inputs(data))
        if len(wanted) > (rank := min(model.encoder.kernel.shape)):
            raise ValueError(f"{len(wanted)} variances are wanted, and the layer has {rank} units or inputs")
        return eigenvectors

    def penalty(
        model: Network, batch: Batch, aux: Float[Array, "hidden hidden"], key: Key[Array, ""]
    ) -> Float[Array, ""]:
        pulled = aux[:, first - 1 : len(wanted)]
        if noise:
            rows = jnp.matmul(model.encoder.kernel[...], pulled, precision="highest")
            variances = jnp.sum(jnp.square(rows), axis=0)
        else:
            assert batch.preactivation is not None  # a Network's
            variances = jnp.var(jnp.matmul(batch.preactivation, pulled, precision="highest"), axis=0)
        return weight * jnp.var(jnp.log(variances) - jnp.log(wanted[first - 1 :]))

    def renew(aux: Float[Array, "hidden hidden"], model: Network, data: TrainingData) -> Float[Array, "hidden hidden"]:
        return turned_basis(aux, hidden_covariance(model, inputs(data)))

    return Regularizer(refresh, penalty, renew if warm_start else None)

"""The rep-spectral penalty: the largest singular value of the layer that makes the representation, squared.

Yang, Zavatone-Veth & Pehlevan, arXiv 2405.17181: of a network with linear layers below its readout, the product of
their largest singular values bounds how fast the representation changes, so these alone are made small and the readout
is left alone. Here there is one such layer. Weight decay makes all of its singular values small, this the first.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.learning.regularizers import Batch, Regularizer, Scalar, TrainingData, check_weight
from jax_bioadv.models import Network, check_one_hidden_layer

# Of power iteration from a random start; the gap between two singular values decides how near that comes.
_FIRST_STEPS = 100


def representation_spectral(weight: Scalar = 1e-3, steps: int = 3) -> Regularizer:
    """``weight · σ_max(V)²`` of the first layer of :class:`jax_bioadv.models.Network`, by power iteration.

    Args:
        weight: factor.
        steps: of power iteration in every batch, from the singular vector of the last refresh.

    Returns:
        The regularizer; its aux is that singular vector, which a refresh finds from scratch and a renewal goes on from.

    Raises:
        ValueError: a negative weight, or no step.
        TypeError: from ``refresh``, for any other model.
    """
    check_weight(weight)
    if steps < 1:
        raise ValueError(f"power iteration needs at least one step, got {steps}")

    def refresh(model: Network, data: TrainingData) -> Float[Array, " hidden"]:
        check_one_hidden_layer(model, "It is of the layer below the readout.")
        kernel = model.encoder.kernel[...]
        start = jax.random.normal(jax.random.key(0), kernel.shape[1:], kernel.dtype)
        return _leading(kernel, start, _FIRST_STEPS)

    def renew(aux: Float[Array, " hidden"], model: Network, data: TrainingData) -> Float[Array, " hidden"]:
        return _leading(model.encoder.kernel[...], aux, steps)

    def penalty(model: Network, batch: Batch, aux: Float[Array, " hidden"], key: Key[Array, ""]) -> Float[Array, ""]:
        kernel = model.encoder.kernel[...]
        # Of the singular vectors σ is a stationary value: no gradient needs to pass through them.
        vector = _leading(lax.stop_gradient(kernel), aux, steps)
        return weight * jnp.sum(jnp.matmul(kernel, vector, precision="highest") ** 2)

    return Regularizer(refresh, penalty, renew)


def _leading(
    kernel: Float[Array, "inputs hidden"], start: Float[Array, " hidden"], steps: int
) -> Float[Array, " hidden"]:
    """A unit vector nearer to the leading singular vector."""

    def step(index: Int[Array, ""] | int, vector: Array) -> Array:
        moved = jnp.matmul(kernel.T, jnp.matmul(kernel, vector, precision="highest"), precision="highest")
        size = jnp.linalg.norm(moved)
        return jnp.where(size > 0, moved / jnp.where(size > 0, size, 1), vector)  # a layer of zeros has none

    return lax.fori_loop(0, steps, step, start / jnp.linalg.norm(start))

"""Lanczos' iteration for many symmetric operators at once: their largest eigenvalues from products with vectors alone.

The eigenvalues are those of tridiagonal matrices, approached from below: after ``LANCZOS_STEPS`` steps within 1e-3,
where the spectrum is not flatter there than those of trained layers; :func:`eigenvalue_errors` says how near.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from jax_bioadv.attacks.lp_ball import unit_length

LANCZOS_STEPS = 24


def tridiagonalised(apply: Callable[[Array], Array], start: Array) -> tuple[Array, Array]:
    """Tridiagonal matrices whose extreme eigenvalues are near those of the operators.

    Args:
        apply: the symmetric operators, each on its own row of vectors (operators, inputs).
        start: a vector for each operator, not orthogonal to the eigenvector that is looked for.

    Returns:
        Diagonals (operators, steps), off-diagonals and, as the last of these, what a further step would begin with
        (operators, steps).
    """

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        previous, current, beta = carry
        moved = apply(current) - beta * previous
        alpha = jnp.sum(moved * current, axis=-1, keepdims=True)
        moved -= alpha * current
        beta = jnp.linalg.norm(moved, axis=-1, keepdims=True)
        # What is left when the space is exhausted is rounding; no further step may build on it.
        beta = jnp.where(beta > 1e-5 * jnp.abs(alpha), beta, 0.0)
        following = jnp.where(beta > 0.0, moved / jnp.where(beta > 0.0, beta, 1.0), 0.0)
        return (current, following, beta), (alpha[:, 0], beta[:, 0])

    carry = (jnp.zeros_like(start), unit_length(start), jnp.zeros((len(start), 1), start.dtype))
    _, (alphas, betas) = lax.scan(step, carry, None, length=LANCZOS_STEPS)
    return alphas.T, betas.T


def largest_eigenvalues(diagonals: tuple[Array, Array]) -> np.ndarray:
    """Largest absolute eigenvalue of each tridiagonal matrix.

    Args:
        diagonals: from :func:`tridiagonalised`.

    Returns:
        One number for each, in float64; NaN where float32 was too small for the matrix.
    """
    whole, finite = _matrices(diagonals)
    return np.where(finite, np.abs(np.linalg.eigvalsh(whole)).max(axis=1), np.nan)


def eigenvalue_errors(diagonals: tuple[Array, Array]) -> np.ndarray:
    """Distance of each of the :func:`largest_eigenvalues` within which the operator has an eigenvalue.

    It is the residual of the Ritz vector: the next off-diagonal times the vector's last component.
    """
    whole, finite = _matrices(diagonals)
    eigenvalues, vectors = np.linalg.eigh(whole)
    largest = np.abs(eigenvalues).argmax(axis=1)
    residuals = np.abs(np.asarray(diagonals[1][:, -1], np.float64) * vectors[np.arange(len(whole)), -1, largest])
    return np.where(finite, residuals, np.nan)


def _matrices(diagonals: tuple[Array, Array]) -> tuple[np.ndarray, np.ndarray]:
    """The tridiagonal matrices, and which are finite; the others are zero."""
    alphas, betas = np.array(diagonals[0], np.float64), np.array(diagonals[1][:, :-1], np.float64)
    finite = np.isfinite(np.concatenate([alphas, betas], axis=1)).all(axis=1)
    alphas[~finite], betas[~finite] = 0.0, 0.0
    whole = np.zeros((*alphas.shape, alphas.shape[1]))
    inner = np.arange(alphas.shape[1])
    whole[:, inner, inner] = alphas
    whole[:, inner[1:], inner[:-1]] = betas
    return whole, finite

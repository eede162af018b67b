"""How smooth any network is at an image, by automatic differentiation: of a tap, and of the logits.

The measures of :mod:`jax_bioadv.analysis.smoothness`, whose closed forms hold for one hidden layer, under the same
names and with the same meaning; its docstring says what each is. :func:`representation_smoothness` needs a
representation, such as a tap, :func:`generic_smoothness_measures` logits alone. There are no global constants here: a
product of the layers' norms bounds so little of a deep network that it would order networks by their depth.

Spectral norms are those of Lanczos' iteration on JᵀJ, a product with J forward and one backward for each of its
``LANCZOS_STEPS`` steps: from below, with the distance within which there is a singular value. Local Lipschitz constants
are power iterations as well, at a distance: each step goes to where the gradient of ``‖f(x + r·d) - f(x)‖²`` points,
which for r → 0 is JᵀJ d.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from jax_bioadv.analysis.lanczos import eigenvalue_errors, largest_eigenvalues, tridiagonalised
from jax_bioadv.analysis.smoothness import ASCENT_STEPS, steepest
from jax_bioadv.attacks.attack import log_odds_against
from jax_bioadv.attacks.batch import checked_batch
from jax_bioadv.attacks.lp_ball import unit_length
from jax_bioadv.blocks import equal_blocks, over_blocks
from jax_bioadv.jacobian import estimated_jacobian_norms_squared, jacobian_norms, on_one_image
from jax_bioadv.models import as_pytree

Measures = dict[str, Float[np.ndarray, " images"]]
"""By name, a number for every image."""


def _lengths(vectors: Array) -> Array:
    return jnp.linalg.norm(vectors, axis=-1)


def _flattened(function: Partial, images: Array) -> Array:
    return function(images).reshape(len(images), -1)


def _centred(function: Partial, images: Array) -> Array:
    logits = function(images)
    return logits - jnp.mean(logits, axis=-1, keepdims=True)


def _ascend(function: Callable[[Array], Array], images: Array, starts: Array, radius: Array) -> Array:
    """Largest ‖f(x + r·d) - f(x)‖/r that steps from the starts (starts, images, inputs) come by."""
    value = function(images)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        directions, longest = carry
        moved, pull = jax.vjp(function, images + radius * directions)
        (gradient,) = pull(moved - value)
        longest = jnp.maximum(longest, _lengths(moved - value))
        return (jnp.where(_lengths(gradient)[:, None] > 0.0, unit_length(gradient), directions), longest), None

    def from_start(directions: Array) -> Array:
        return lax.scan(step, (directions, jnp.zeros(len(images), value.dtype)), None, length=ASCENT_STEPS)[0][1]

    return jnp.max(lax.map(from_start, starts), axis=0) / radius


@jax.jit
def _of_representation(
    representation: Partial, images: Array, noise: Array, radius: Array
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    function = partial(_flattened, representation)
    with jax.default_matmul_precision("highest"):
        value, push = jax.linearize(function, images)
        pull = jax.linear_transpose(push, images)

        def gram(vectors: Array) -> Array:
            return pull(push(vectors))[0]

        direction = lax.fori_loop(0, ASCENT_STEPS, lambda _, found: unit_length(gram(found)), unit_length(noise[0]))
        starts = jnp.concatenate([jnp.stack([direction, -direction]), unit_length(noise)])
        measures = {"norm": _lengths(value), "lipschitz_local": _ascend(function, images, starts, radius)}
        return measures, tridiagonalised(gram, noise[0])


@jax.jit
def _of_logits(
    logits_function: Partial, images: Array, labels: Array, noise: Array, radius: Array
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    function = partial(_centred, logits_function)

    def gradient(images: Array) -> Array:
        # The cross-entropy from the odds, whose derivative is no rounding where the network is sure.
        return jax.grad(lambda x: jnp.sum(jax.nn.softplus(log_odds_against(logits_function(x), labels))))(images)

    with jax.default_matmul_precision("highest"):
        logits, pull = jax.vjp(function, images)
        classes = jnp.eye(logits.shape[1], dtype=logits.dtype)
        jacobians = jax.vmap(lambda output: pull(jnp.broadcast_to(output, logits.shape))[0], out_axes=1)(classes)
        norms, directions = steepest(jacobians)
        starts = jnp.concatenate([jnp.stack([directions, -directions]), unit_length(noise)])

        loss_gradient, along = jax.linearize(gradient, images)
        loss_change = gradient(images + radius * unit_length(loss_gradient)) - loss_gradient

        label = jax.nn.one_hot(labels, len(classes), dtype=logits.dtype)
        steepness = _lengths(jnp.einsum("bc,bci->bi", label, jacobians)[:, None] - jacobians)
        margins = jnp.sum(label * logits, axis=1, keepdims=True) - logits
        matters = (label == 0.0) & (steepness > 0.0)
        distances = jnp.where(matters, margins / jnp.where(matters, steepness, 1.0), jnp.inf)
        nearest = label - jax.nn.one_hot(jnp.argmin(distances, axis=1), len(classes), dtype=logits.dtype)
        descent = jnp.einsum("bc,bci->bi", nearest, jacobians)
        (moved,) = jax.vjp(function, images - radius * unit_length(descent))[1](nearest)

        measures = {
            "norm": _lengths(logits),
            "logit_jacobian_spectral": norms,
            "lipschitz_local": _ascend(function, images, starts, radius),
            "loss_curvature": _lengths(loss_change) / radius,
            "margin_over_gradient": jnp.min(distances, axis=1),
            "margin_curvature": _lengths(moved - descent) / (radius * _lengths(descent)),
        }
        return measures, tridiagonalised(along, noise[0])


@jax.jit
def _noise(keys: Array, images: Array) -> Array:
    """Two random vectors for every image."""
    draw = partial(jax.random.normal, shape=(2, images.shape[1]), dtype=images.dtype)
    return jnp.swapaxes(jax.vmap(draw)(keys), 0, 1)


def _check(images: Array | np.ndarray, radius: float, image_block: int) -> None:
    if images.ndim != 2 or len(images) == 0 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be floating and flattened to (images, inputs), at least one, got {images.dtype} of shape "
            f"{images.shape}"
        )
    if not np.isfinite(images).all():
        raise ValueError("images must be finite; clean them first")
    if not (0.0 < radius < np.inf and image_block > 0):
        raise ValueError(f"radius and image_block must be positive, got {radius} and {image_block}")


def _frobenius(function: Partial, images: np.ndarray, key: PRNGKeyArray, projections: int | None) -> Measures:
    """Frobenius norms, exact, or estimated with their standard errors."""
    if projections is None:
        return {"jacobian_frobenius": np.asarray(jacobian_norms(function, jnp.asarray(images)), float)}
    estimate = estimated_jacobian_norms_squared(key, function, jnp.asarray(images), projections)
    norms, stderr = np.sqrt(np.asarray(estimate.squared_norm, float)), np.asarray(estimate.stderr, float)
    return {"jacobian_frobenius": norms, "jacobian_frobenius_stderr": stderr / np.where(norms > 0.0, 2 * norms, 1.0)}


def representation_smoothness(
    representation: Callable[[Array], Array],
    images: ArrayLike,
    key: PRNGKeyArray,
    *,
    radius: float = 0.1,
    projections: int | None = None,
    image_block: int = 64,
) -> Measures:
    """How smooth a representation is at each image.

    Args:
        representation: batch of flattened images to an array with a row for each, such as a tap; see
            :func:`jax_bioadv.taps.taps_of`.
        images: (images, inputs), floating and finite, at least one.
        key: of the random directions from which iterations start, and of the projections.
        radius: at which distance the local Lipschitz constant is taken, in the units of the images.
        projections: random directions for the Frobenius norm, instead of a pass for each input or output.
        image_block: images at a time.

    Returns:
        ``jacobian_frobenius``, ``jacobian_spectral``, ``relative_jacobian``, ``relative_jacobian_spectral``,
        ``lipschitz_local``; ``jacobian_spectral_error``, the distance of the spectral norm within which J has a
        singular value; and, with projections, ``jacobian_frobenius_stderr``.

    Raises:
        ValueError: for images of the wrong shape, or settings out of range.
    """
    images, function = np.asarray(images), as_pytree(representation)
    _check(images, radius, image_block)
    images = images.astype(np.float32)
    start_key, projection_key = jax.random.split(key)
    keys = jax.random.split(start_key, len(images))

    def of_block(rows: np.ndarray) -> dict[str, Array | np.ndarray]:
        some = jnp.asarray(images[rows])
        measures, diagonals = _of_representation(function, some, _noise(keys[rows], some), jnp.float32(radius))
        square, error = largest_eigenvalues(diagonals), eigenvalue_errors(diagonals)
        return {**measures, "square": square, "error": error}

    found = over_blocks(of_block, len(images), equal_blocks(len(images), image_block))
    found = {name: values.astype(float) for name, values in found.items()}
    frobenius, norm = _frobenius(on_one_image(function), images, projection_key, projections), found.pop("norm")
    spectral, error = np.sqrt(found.pop("square")), found.pop("error")
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = np.linalg.norm(images, axis=1).astype(float) / norm
        return {
            **found,
            **frobenius,
            "jacobian_spectral": spectral,
            "jacobian_spectral_error": np.where(spectral > 0.0, error / spectral, 0.0),
            "relative_jacobian": frobenius["jacobian_frobenius"] * contrast,
            "relative_jacobian_spectral": spectral * contrast,
        }


def generic_smoothness_measures(
    logits_function: Callable[[Array], Array],
    images: ArrayLike,
    labels: ArrayLike,
    key: PRNGKeyArray,
    *,
    radius: float = 0.1,
    image_block: int = 64,
) -> Measures:
    """How smooth the logits of any network are at each image.

    Args:
        logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
        images: (images, inputs), floating and finite, at least one.
        labels: (images,), the right classes.
        key: of the random directions from which ascents and Lanczos' iterations start.
        radius: at which distance local Lipschitz constants and curvatures are taken, in the units of the images.
        image_block: images at a time; memory is a few times block × classes × inputs.

    Returns:
        ``logit_jacobian_spectral``, ``relative_logit_jacobian``, ``lipschitz_local``, ``relative_lipschitz_local``,
        ``loss_curvature``, ``loss_hessian_spectral``, ``margin_over_gradient`` and ``margin_curvature``.

    Raises:
        ValueError: for images or labels that do not fit the classifier, or settings out of range.
    """
    function, images, labels = checked_batch(logits_function, images, labels)
    _check(images, radius, image_block)
    keys = jax.random.split(key, len(images))

    def of_block(rows: np.ndarray) -> dict[str, Array | np.ndarray]:
        some, noise = jnp.asarray(images[rows]), _noise(keys[rows], jnp.asarray(images[rows]))
        measures, diagonals = _of_logits(function, some, jnp.asarray(labels[rows]), noise, jnp.float32(radius))
        return {**measures, "loss_hessian_spectral": largest_eigenvalues(diagonals)}

    found = over_blocks(of_block, len(images), equal_blocks(len(images), image_block))
    found = {name: values.astype(float) for name, values in found.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = np.linalg.norm(images, axis=1).astype(float) / found.pop("norm")
        return {
            **found,
            "relative_logit_jacobian": found["logit_jacobian_spectral"] * contrast,
            "relative_lipschitz_local": found["lipschitz_local"] * contrast,
        }

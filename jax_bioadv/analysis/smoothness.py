"""How smooth a network is at an image: Jacobians, Lipschitz constants and curvatures beside the Frobenius norm.

Holzhausen et al. (arXiv 2405.00679) explain robustness by the Frobenius norm of ∂a/∂x alone. It sums over all
directions where an attack needs one, and a decoder undoes the scale of a; so here are norms of one direction, of the
logits, and relative ones. :func:`smoothness_measures` gives them by name, one for each image unless it says otherwise.
Lengths are L2, in the units of the images. a is the activation ReLU(V x)^n before batch norm, z the logits less their
mean, which is all that the class and the loss see of them.

- ``jacobian_frobenius``, ``jacobian_spectral``: norms of ∂a/∂x.
- ``relative_jacobian``, ``relative_jacobian_spectral``: these times ‖x‖/‖a‖, the relative change of a for a relative
  change of x; no less than n, which is what a change of contrast alone brings about.
- ``logit_jacobian_spectral``, ``relative_logit_jacobian``: ‖∂z/∂x‖₂, and this times ‖x‖/‖z‖.
- ``lipschitz_global``, ``lipschitz_global_activation`` (numbers): no Lipschitz constant of z, or of a, is larger, on
  the ball around 0 that holds the images; for n = 1 on all of image space, where for n > 1 there is none.
- ``lipschitz_local``, ``lipschitz_local_activation``: the largest ‖Δz‖/‖Δx‖, or ‖Δa‖/‖Δx‖, that ascents from random
  and from the steepest directions find at the distance ``radius``: local Lipschitz constants are at least that.
- ``relative_lipschitz_local``: ``lipschitz_local`` times ‖x‖/‖z‖.
- ``loss_curvature``: ``‖∇l(x + r·g) - ∇l(x)‖/r`` of the cross-entropy l, along its own gradient's direction g, with r
  the ``radius`` (Moosavi-Dezfooli et al., arXiv 1811.09716, with the gradient in place of its sign).
- ``loss_hessian_spectral``: the largest absolute eigenvalue of the Hessian of l.
- ``margin_over_gradient``: ``min_j m_j/‖∇m_j‖`` of the label's margins m_j over the other classes: the distance to the
  boundary to first order; negative where misclassified, infinite where no margin changes.
- ``margin_curvature``: ``‖∇m(x - r·g) - ∇m(x)‖/(r‖∇m(x)‖)`` of the margin that is nearest by that measure, along its
  descent: the inverse of the length over which the gradient becomes another.

The relative ones and the last two do not change with the scale of a or of the logits. The loss does: where the logits
are large and right, it and all its derivatives vanish. A measure that would divide by zero, or is beyond float32, is
NaN or infinite.

All but the eigenvalues and the ascents are closed forms. Eigenvalues come from ``LANCZOS_STEPS`` steps of Lanczos'
iteration: from below, and within 1e-3. For n = 1 the network is linear by pieces: its Hessian is that of the loss on
one piece, while ``loss_curvature`` and ``margin_curvature`` also see the kinks within the radius.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from jax_bioadv.analysis.folded_network import FoldedNetwork, folded, gram_factor
from jax_bioadv.analysis.lanczos import largest_eigenvalues, tridiagonalised
from jax_bioadv.attacks.batch import check_batch
from jax_bioadv.attacks.lp_ball import unit_length
from jax_bioadv.blocks import equal_blocks, over_blocks
from jax_bioadv.models import Network, rectified_power, rectified_power_slope

ASCENT_STEPS = 10


class _Layers(NamedTuple):
    """The folded network in coordinates y of image space in which ``h(x + δ) = h(x) + Fᵀ y`` and ‖y‖ = ‖δ‖.

    They hold every direction that the network sees, in no more dimensions than there are hidden units.
    """

    factor: Float[Array, "hidden hidden"]
    """F."""
    decoder: Float[Array, "classes hidden"]
    """That of the logits less their mean, in units of ``scale``; so is all that is computed of the logits."""
    bias: Float[Array, " classes"]
    scale: Float[Array, ""]
    """A power of two: no square of large logits overflows, and what it multiplies is not rounded."""


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision="highest")


def _lengths(vectors: Array) -> Array:
    return jnp.linalg.norm(vectors, axis=-1, keepdims=True)


def _logits(layers: _Layers, overlaps: Array, power: float) -> Array:
    return _product(rectified_power(overlaps, power), layers.decoder.T) + layers.bias


def _pulled_back(layers: _Layers, overlaps: Array, weights: Array, power: float) -> Array:
    """Gradients in y of ``weights · logits``."""
    return _product(_product(weights, layers.decoder) * rectified_power_slope(overlaps, power), layers.factor.T)


def _bends(overlaps: Array, power: float) -> Array:
    """The second derivative of ReLU(h)^n, 0 where h ≤ 0."""
    return power * rectified_power_slope(overlaps, power - 1.0)


def _ascend(layers: _Layers, overlaps: Array, starts: Array, radius: Array, power: float, of_logits: bool) -> Array:
    """Largest ‖Δz‖/radius or ‖Δa‖/radius on the sphere, by steps to where the gradient of ‖Δ‖² points."""
    value = rectified_power(overlaps, power)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        directions, longest = carry
        moved = overlaps + radius * _product(directions, layers.factor)
        change = rectified_power(moved, power) - value
        output = _product(change, layers.decoder.T) if of_logits else change
        back = _product(output, layers.decoder) if of_logits else output
        gradient = _product(back * rectified_power_slope(moved, power), layers.factor.T)
        longest = jnp.maximum(longest, jnp.linalg.norm(output, axis=-1))
        return (jnp.where(_lengths(gradient) > 0.0, unit_length(gradient), directions), longest), None

    carry = (starts, jnp.zeros(starts.shape[:-1], starts.dtype))
    return jnp.max(lax.scan(step, carry, None, length=ASCENT_STEPS)[0][1], axis=0) / radius


def steepest(
    jacobians: Float[Array, "images outputs inputs"],
) -> tuple[Float[Array, " images"], Float[Array, "images inputs"]]:
    """Spectral norms of Jacobians of few outputs, and the unit directions in which the outputs change so fast."""
    squared = _product(jacobians, jacobians.mT)
    power = squared
    for _ in range(8):
        size = jnp.max(jnp.abs(power), axis=(1, 2), keepdims=True)
        power /= jnp.where(size > 0.0, size, 1.0)
        power = _product(power, power)
    # All columns of so high a power are the first eigenvector; the longest is the best of them.
    longest = jnp.argmax(jnp.linalg.norm(power, axis=1), axis=-1)
    outputs = unit_length(jnp.take_along_axis(power, longest[:, None, None], axis=2)[..., 0])
    directions = _product(outputs[:, None], jacobians)[:, 0]
    return _lengths(directions)[:, 0], unit_length(directions)


def _margins(layers: _Layers, overlaps: Array, label: Array, jacobians: Array, radius: Array, power: float) -> dict:
    """First-order distance to the nearest boundary, and how much the gradient of that margin changes on the way."""
    steepness = jnp.linalg.norm(jnp.sum(label[..., None] * jacobians, axis=1, keepdims=True) - jacobians, axis=-1)
    logits = _logits(layers, overlaps, power)
    margins = jnp.sum(label * logits, axis=1, keepdims=True) - logits
    matters = (label == 0.0) & (steepness > 0.0)
    distances = jnp.where(matters, margins / jnp.where(matters, steepness, 1.0), jnp.inf)
    difference = label - jax.nn.one_hot(jnp.argmin(distances, axis=1), label.shape[1], dtype=label.dtype)
    gradient = _pulled_back(layers, overlaps, difference, power)
    moved = overlaps - radius * _product(unit_length(gradient), layers.factor)
    change = jnp.linalg.norm(_pulled_back(layers, moved, difference, power) - gradient, axis=-1)
    curvature = change / (radius * jnp.linalg.norm(gradient, axis=-1))
    return {"margin_over_gradient": jnp.min(distances, axis=1), "margin_curvature": curvature}


def _loss(layers: _Layers, overlaps: Array, label: Array, radius: Array, power: float, start: Array) -> tuple:
    """Change of the loss's gradient along itself, and the tridiagonal matrices of the loss's Hessians, over scale."""

    def error(overlaps: Array) -> Array:
        # The label's entry from the others: 1 - p is rounding where the network is sure.
        wrong = jnp.where(label > 0.0, 0.0, jax.nn.softmax(layers.scale * _logits(layers, overlaps, power)))
        return wrong - label * jnp.sum(wrong, axis=-1, keepdims=True)

    gradient = _pulled_back(layers, overlaps, error(overlaps), power)
    moved = overlaps + radius * _product(unit_length(gradient), layers.factor)
    change = jnp.linalg.norm(_pulled_back(layers, moved, error(moved), power) - gradient, axis=-1)
    probabilities, slopes = error(overlaps) + label, rectified_power_slope(overlaps, power)
    bends = _bends(overlaps, power) * _product(error(overlaps), layers.decoder)

    def hessian(vectors: Array) -> Array:
        along = _product(vectors, layers.factor)
        change = _product(along * slopes, layers.decoder.T)
        # Only differences matter; those from the label's do not cancel where the network is sure.
        logits = layers.scale * probabilities * (change - jnp.sum(label * change, axis=-1, keepdims=True))
        logits -= probabilities * jnp.sum(logits, axis=-1, keepdims=True)
        return _product(_product(logits, layers.decoder) * slopes + bends * along, layers.factor.T)

    return change / radius, tridiagonalised(hessian, start)


@partial(jax.jit, static_argnames="power")
def _at_images(
    layers: _Layers, overlaps: Array, labels: Array, noise: Array, radius: Array, power: float
) -> tuple[dict[str, Array], dict[str, tuple[Array, Array]]]:
    """What there is of each image, and the tridiagonal matrices whose eigenvalues are the rest."""
    activation, slopes, logits = (
        rectified_power(overlaps, power),
        rectified_power_slope(overlaps, power),
        _logits(layers, overlaps, power),
    )
    label = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    jacobians = _product(slopes[:, None] * layers.decoder, layers.factor.T)
    logit_norms, directions = steepest(jacobians)
    starts = jnp.concatenate([jnp.stack([directions, -directions]), unit_length(noise)])
    loss_curvature, hessian = _loss(layers, overlaps, label, radius, power, noise[0])

    def activation_gram(vectors: Array) -> Array:
        return _product(_product(vectors, layers.factor) * jnp.square(slopes), layers.factor.T)

    measures = {
        "activation_norm": jnp.linalg.norm(activation, axis=-1),
        "logit_norm": jnp.linalg.norm(logits, axis=-1),
        "jacobian_frobenius": jnp.linalg.norm(slopes * jnp.linalg.norm(layers.factor, axis=0), axis=-1),
        "logit_jacobian_spectral": logit_norms,
        "lipschitz_local": _ascend(layers, overlaps, starts, radius, power, of_logits=True),
        "lipschitz_local_activation": _ascend(layers, overlaps, starts, radius, power, of_logits=False),
        "loss_curvature": loss_curvature,
        **_margins(layers, overlaps, label, jacobians, radius, power),
    }
    return measures, {"jacobian_spectral": tridiagonalised(activation_gram, noise[0]), "loss_hessian_spectral": hessian}


@partial(jax.jit, static_argnames="hidden")
def _noise(keys: Array, hidden: int) -> Array:
    draw = partial(jax.random.normal, shape=(2, hidden), dtype=jnp.float32)
    return jnp.swapaxes(jax.vmap(draw)(keys), 0, 1)


def _global_constants(layers: FoldedNetwork, gram: np.ndarray, longest: float) -> tuple[float, float]:
    """Upper bounds of the Lipschitz constants of logits and activation on the ball of this radius."""
    norms = np.sqrt(np.diagonal(gram))
    steepest = np.where(norms > 0.0, layers.power * (norms * longest) ** (layers.power - 1.0), 0.0)

    def stretch(share: float) -> float:
        scale, last = steepest**share, len(gram) - 1
        return float(np.sqrt(scipy.linalg.eigvalsh(scale[:, None] * gram * scale, subset_by_index=(last, last))[0]))

    # The steepest slopes may count with either layer, or with both by their roots: each product is a bound.
    stretches = {share: stretch(share) for share in (0.0, 0.5, 1.0)}
    of_logits = [
        np.linalg.norm(layers.decoder * steepest ** (1.0 - share), 2) * stretches[share] for share in stretches
    ]
    return float(min(of_logits)), stretches[1.0]


def smoothness_measures(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    key: PRNGKeyArray,
    *,
    radius: float = 0.1,
    image_block: int = 256,
) -> dict[str, Float[np.ndarray, " images"] | float]:
    """All measures of the module's docstring, by name.

    Args:
        network: runs in evaluation mode.
        images: (images, inputs), floating and finite, at least one.
        labels: (images,), the right classes.
        key: of the random directions from which ascents and Lanczos' iterations start.
        radius: at which distance local Lipschitz constants and curvatures are taken, in the units of the images.
        image_block: images at a time; memory is a few times block × classes × hidden.

    Returns:
        An array with a number for every image, or a number where it is one for the network.

    Raises:
        ValueError: for images or labels of the wrong shape or type, no image, or a radius that is not positive.
        TypeError: for any other model.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    check_batch(images, labels)
    images = images.astype(jnp.promote_types(images.dtype, jnp.float32))  # lengths overflow half precision
    if not np.isfinite(images).all():
        raise ValueError("images must be finite; clean them first")
    if not (len(images) and 0.0 < radius < np.inf and image_block > 0):
        raise ValueError(f"need images, a positive radius and block, got {len(images)}, {radius} and {image_block}")
    layers = folded(network)
    classes = len(layers.bias)
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must name one of {classes} logits, got {labels.min()} to {labels.max()}")
    layers = layers._replace(
        decoder=layers.decoder - layers.decoder.mean(axis=0), bias=layers.bias - layers.bias.mean()
    )
    gram = layers.encoder @ layers.encoder.T
    largest = max(np.abs(layers.decoder).max(), np.abs(layers.bias).max())
    scale = 2.0 ** np.floor(np.log2(largest)) if largest > 0.0 else 1.0
    arrays = (gram_factor(gram), layers.decoder / scale, layers.bias / scale, scale)
    on_device = _Layers(*(jnp.asarray(array, jnp.float32) for array in arrays))
    keys = jax.random.split(key, len(images))

    def of_block(rows: np.ndarray) -> dict[str, Array | np.ndarray]:
        overlaps = jnp.asarray(images[rows] @ layers.encoder.T, jnp.float32)
        noise = _noise(keys[rows], len(gram))
        measures, diagonals = _at_images(on_device, overlaps, jnp.asarray(labels[rows]), noise, radius, layers.power)
        return {**measures, **{name: largest_eigenvalues(each) for name, each in diagonals.items()}}

    found = over_blocks(of_block, len(images), equal_blocks(len(images), image_block))
    found = {name: values.astype(float) for name, values in found.items()}
    for name in ("logit_norm", "logit_jacobian_spectral", "lipschitz_local", "loss_curvature", "loss_hessian_spectral"):
        found[name] *= scale
    lengths = np.linalg.norm(images, axis=1).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = lengths / found.pop("activation_norm")
        logit_contrast = lengths / found.pop("logit_norm")
        found["jacobian_spectral"] = np.sqrt(found["jacobian_spectral"])
        relative = {
            "relative_jacobian": found["jacobian_frobenius"] * contrast,
            "relative_jacobian_spectral": found["jacobian_spectral"] * contrast,
            "relative_logit_jacobian": found["logit_jacobian_spectral"] * logit_contrast,
            "relative_lipschitz_local": found["lipschitz_local"] * logit_contrast,
        }
    of_logits, of_activation = _global_constants(layers, gram, float(lengths.max()))
    return {**found, **relative, "lipschitz_global": of_logits, "lipschitz_global_activation": of_activation}

"""Certified lower bounds on the critical L2 perturbation of an image: no perturbation below them changes the class.

An attack bounds the critical perturbation from above; a bound from below shows how much of its answer the attack is
responsible for. In evaluation mode the network is ``logits = D·ReLU(V x)^n + b``, batch norm being part of D and b, and
the margin of the label y over class j is ``m_j = Σ_μ c_μ ReLU(h_μ)^n + constant`` with ``c = D_y - D_j``. Within a ball
of radius r no h_μ moves by more than ``ρ_μ = r‖V_μ‖``, and whatever holds on these intervals certifies the whole ball:

- :func:`lipschitz_bound`: ``m_j - r·L_j(r) > 0`` for all j, with L_j from the steepest slopes on the intervals.
- :func:`relaxation_bound`, for n < 2: every c_μ·ReLU^n is bounded by a line, the chord where c_μ < 0 and a tangent
  where c_μ > 0 (Zhang et al., arXiv 1811.00866), so that the margin falls by at most ``r‖Vᵀ(c·slopes)‖`` more.
- :func:`relaxation_bound`, for n ≥ 2: every c_μ·ReLU^n is bounded by a parabola with the slope at h, so that the margin
  falls by at most ``r‖∇m_j‖ + r²·λ``, where λ bounds the curvature ``Vᵀ diag(q) V`` by its Frobenius norm (a
  second-order certificate as of Singla and Feizi, arXiv 2006.00731).

:func:`relaxation_bound` takes for every class and ball whichever of the two certifies more, so that it is never below
:func:`lipschitz_bound`: where few units agree in direction, L_j as a product of spectral norms may be the smaller. The
balls are not cut off at the images' own bounds, so attacks that stay within these have even more to do.

The bounds hold for the network of these float32 weights in exact arithmetic. Overlaps, margins and factorisations are
computed in float64; what is computed in float32 gives way to all its roundings: to 2H + 8n + 16 units of 2^-24 of every
sum over the H hidden units, taken with absolute terms.
"""

from functools import partial, reduce
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Integer

from jax_bioadv.analysis.folded_network import FoldedNetwork, folded, gram_factor
from jax_bioadv.attacks.batch import check_batch
from jax_bioadv.blocks import equal_blocks, over_blocks
from jax_bioadv.models import Network, rectified_power, rectified_power_slope

UNIT_ROUNDOFF = 2.0**-24
"""Largest relative error of one rounding to float32."""


def margins(
    network: FoldedNetwork, overlaps: Float[np.ndarray, "batch hidden"], labels: Integer[np.ndarray, " batch"]
) -> tuple[Float[np.ndarray, "batch others"], Integer[np.ndarray, "batch others"]]:
    """How far the label's logit is above every other, in float64, and which the others are.

    Args:
        network: from :func:`folded`.
        overlaps: pre-activations h of the images.
        labels: which logit should be the largest.

    Returns:
        Margins, positive for all others where the image is classified correctly, and classes.
    """
    classes = len(network.bias)
    others = (labels[:, None] + np.arange(1, classes)) % classes
    logits = np.maximum(overlaps, 0.0) ** network.power @ network.decoder.T + network.bias
    return np.take_along_axis(logits, labels[:, None], 1) - np.take_along_axis(logits, others, 1), others


class _Hidden(NamedTuple):
    """What the certificates need of the first layer, in float32."""

    row_norms: Float[Array, " hidden"]
    spectral_norm: Float[Array, ""]
    stretching: Float[Array, "hidden hidden"]
    """‖stretching q‖ is ‖Vᵀ q‖."""
    bending: Float[Array, "hidden hidden"]
    """‖bending q‖ is the Frobenius norm of Vᵀ diag(q / ‖V_μ‖²) V."""


class _Batch(NamedTuple):
    """Images with their overlaps, and with the decoder's differences and margins for every other class."""

    overlaps: Float[Array, "batch 1 hidden"]
    differences: Float[Array, "batch others hidden"]
    margins: Float[Array, "batch others"]


def _hidden(encoder: Float[np.ndarray, "hidden inputs"]) -> _Hidden:
    gram = encoder @ encoder.T
    norms = np.sqrt(np.diagonal(gram))
    positive = np.where(norms > 0.0, norms, 1.0)
    bending = gram_factor(np.square(gram / np.outer(positive, positive)))
    spectral_norm = np.sqrt(np.linalg.eigvalsh(gram)[-1])
    upward = 1.0 + 4.0 * UNIT_ROUNDOFF
    arrays = (norms * upward, spectral_norm * upward, gram_factor(gram), bending)
    return _Hidden(*(jnp.asarray(array, jnp.float32) for array in arrays))


def _norm(factor: Array, vectors: Array) -> Array:
    return jnp.linalg.norm(jnp.matmul(vectors, factor.T, precision="highest"), axis=-1)


def _sum(weights: Array, terms: Array) -> Array:
    return jnp.sum(jnp.abs(weights) * terms, axis=-1)


def _highest(batch: _Batch, reach: Array) -> Array:
    """No overlap in the ball is above this: rounding must not put a unit to sleep that some point of the ball wakes."""
    return batch.overlaps + reach + 4.0 * UNIT_ROUNDOFF * (jnp.abs(batch.overlaps) + reach)


def _lipschitz(hidden: _Hidden, batch: _Batch, radius: Array, power: float) -> Array:
    """A margin that is not undercut within the ball, from the steepest slopes of the intervals."""
    reach = radius[:, None, None] * hidden.row_norms
    steepest = batch.differences * rectified_power_slope(_highest(batch, reach), power)
    by_units = _sum(steepest, hidden.row_norms)
    by_norms = hidden.spectral_norm * jnp.linalg.norm(steepest, axis=-1)
    rounding = UNIT_ROUNDOFF * (2.0 * reach.shape[-1] + 8.0 * power + 16.0)
    return batch.margins - radius[:, None] * jnp.minimum(by_units, by_norms) * (1.0 + rounding)


def _lines(hidden: _Hidden, batch: _Batch, descent: Array, radius: Array, power: float) -> Array:
    """A margin that is not undercut within the ball: every unit's part of it is above its line."""
    reach = radius[:, None, None] * hidden.row_norms
    value = rectified_power(batch.overlaps, power)
    high = rectified_power(batch.overlaps + reach, power)
    low = rectified_power(batch.overlaps - reach, power)
    touch = radius[:, None, None] * descent
    tangent = rectified_power_slope(batch.overlaps + touch, power)
    below = value - (rectified_power(batch.overlaps + touch, power) - tangent * touch)
    chord = jnp.where(reach > 0.0, (high - low) / jnp.where(reach > 0.0, 2.0 * reach, 1.0), 0.0)
    above = jnp.maximum(high - chord * reach, low + chord * reach) - value
    slopes = batch.differences * jnp.where(batch.differences > 0.0, tangent, chord)
    gaps = _sum(batch.differences, jnp.where(batch.differences > 0.0, below, above))
    slack = _slack(batch, reach, power, jnp.abs(gaps) + _sum(slopes, reach))
    return batch.margins - gaps - radius[:, None] * _norm(hidden.stretching, slopes) - slack


def _parabolas(hidden: _Hidden, batch: _Batch, gradient_norms: Array, radius: Array, power: float) -> Array:
    """A margin that is not undercut within the ball: every unit's part of it is above its parabola.

    The slope of ReLU^n is convex for n ≥ 2: the parabola with the slope at h that is steep enough at the upper end of
    an interval is above ReLU^n on all of it, and one steep enough at the lower end is below.
    """
    reach = radius[:, None, None] * hidden.row_norms
    value, slope = rectified_power(batch.overlaps, power), rectified_power_slope(batch.overlaps, power)
    high = rectified_power(batch.overlaps + reach, power) - value - slope * reach
    low = rectified_power(batch.overlaps - reach, power) - value + slope * reach
    bends = batch.differences * jnp.maximum(jnp.where(batch.differences > 0.0, low, high), 0.0)
    curvature = _norm(hidden.bending, bends)
    slopes = _sum(batch.differences * slope, reach)
    slack = _slack(batch, reach, power, _sum(bends, jnp.ones_like(bends)) + slopes)
    return batch.margins - radius[:, None] * gradient_norms - curvature - slack


def _slack(batch: _Batch, reach: Array, power: float, summed: Array) -> Array:
    """What the roundings of float32 may have added: those of each unit's terms, and those of the sums over units.

    A unit that no point of the ball wakes has terms of exactly 0.
    """
    awake = _highest(batch, reach) > 0.0
    terms = _sum(batch.differences, jnp.where(awake, rectified_power(jnp.abs(batch.overlaps) + reach, power), 0.0))
    of_terms, of_sums = 8.0 * power + 16.0, 2.0 * reach.shape[-1] + 8.0 * power + 16.0
    return UNIT_ROUNDOFF * (of_terms * terms + of_sums * summed + 8.0 * batch.margins)


@partial(jax.jit, static_argnames=("method", "power", "steps"))
def _radii(hidden: _Hidden, batch: _Batch, method: str, power: float, steps: int) -> Array:
    slopes = batch.differences * rectified_power_slope(batch.overlaps, power)
    gradients = jnp.matmul(slopes, hidden.stretching.T, precision="highest")
    gradient_norms = jnp.linalg.norm(gradients, axis=-1)
    steep = jnp.where(gradient_norms > 0.0, gradient_norms, 1.0)
    certificates = [partial(_lipschitz, hidden, batch, power=power)]
    if method == "relaxation" and power < 2.0:
        descent = -jnp.matmul(gradients / steep[..., None], hidden.stretching, precision="highest")
        certificates.append(partial(_lines, hidden, batch, descent, power=power))
    elif method == "relaxation":
        certificates.append(partial(_parabolas, hidden, batch, gradient_norms, power=power))

    def halve(_: Array, bracket: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        certified, refused, tried = bracket
        holds = jnp.all(reduce(jnp.maximum, [lowest(tried) for lowest in certificates]) > 0.0, axis=-1)
        certified, refused = jnp.where(holds, tried, certified), jnp.where(holds, refused, tried)
        return certified, refused, jnp.where(jnp.isinf(refused), 2.0 * tried, (certified + refused) / 2.0)

    # To first order the nearest boundary is here; what can be certified is mostly less.
    first = jnp.min(jnp.where(gradient_norms > 0.0, batch.margins / steep, jnp.inf), axis=-1)
    first = jnp.where(jnp.isfinite(first) & (first > 0.0), first, 1.0)
    nothing = jnp.zeros_like(first)
    certified, _, _ = lax.fori_loop(0, steps, halve, (nothing, nothing + jnp.inf, first))
    return jnp.where(jnp.all(batch.margins > 0.0, axis=-1), certified, 0.0)


def _bound(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    method: Literal["lipschitz", "relaxation"],
    steps: int,
    image_block: int,
) -> Float[np.ndarray, " images"]:
    images, labels = np.asarray(images), np.asarray(labels)
    check_batch(images, labels)
    if not np.isfinite(images).all():
        raise ValueError("images must be finite; clean them first")
    if steps < 1 or image_block < 1:
        raise ValueError(f"need at least one step and one image in a block, got {steps} and {image_block}")
    layers = folded(network)
    classes = len(layers.bias)
    if classes < 2:
        raise ValueError("a network of one class has no boundary")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"labels must name one of {classes} logits, got {labels.min()} to {labels.max()}")
    if labels.size == 0:
        return np.zeros(0)
    hidden = _hidden(layers.encoder)

    def of_block(rows: np.ndarray) -> Array:
        overlaps = images[rows].astype(np.float64) @ layers.encoder.T
        margin, others = margins(layers, overlaps, labels[rows])
        differences = layers.decoder[labels[rows], None] - layers.decoder[others]
        batch = _Batch(*(jnp.asarray(array, jnp.float32) for array in (overlaps[:, None], differences, margin)))
        return _radii(hidden, batch, method, layers.power, steps)

    return over_blocks(of_block, len(images), equal_blocks(len(images), image_block)).astype(np.float64)


def lipschitz_bound(
    network: Network, images: ArrayLike, labels: ArrayLike, *, steps: int = 20, image_block: int = 64
) -> Float[np.ndarray, " images"]:
    """Certified L2 radii from Lipschitz constants of the margins in the very ball that is certified.

    For n > 1 the network has no global Lipschitz constant, and for n = 1 the ball's is the smaller one.

    Args:
        network: runs in evaluation mode.
        images: (images, inputs), floating and finite.
        labels: (images,), the right classes.
        steps: radii that are tried; all but a few of them halve the error, so that 20 leave about 1e-5 of the radius.
        image_block: images at a time; memory is a few times block × classes × hidden.

    Returns:
        A radius for every image within which no perturbation changes its class; 0 where it is misclassified.

    Raises:
        ValueError: for images or labels of the wrong shape or type, or no steps.
        TypeError: for any other model.
    """
    return _bound(network, images, labels, "lipschitz", steps, image_block)


def relaxation_bound(
    network: Network, images: ArrayLike, labels: ArrayLike, *, steps: int = 20, image_block: int = 64
) -> Float[np.ndarray, " images"]:
    """Certified L2 radii from lines (n < 2) or parabolas (n ≥ 2) that bound each hidden unit.

    The tighter bound: where :func:`lipschitz_bound` certifies more, it does too.

    Args:
        network: runs in evaluation mode.
        images: (images, inputs), floating and finite.
        labels: (images,), the right classes.
        steps: radii that are tried, as in :func:`lipschitz_bound`.
        image_block: images at a time.

    Returns:
        A radius for every image within which no perturbation changes its class; 0 where it is misclassified.

    Raises:
        ValueError: for images or labels of the wrong shape or type, or no steps.
        TypeError: for any other model.
    """
    return _bound(network, images, labels, "relaxation", steps, image_block)

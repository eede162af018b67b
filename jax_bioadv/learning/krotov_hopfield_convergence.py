"""What a Krotov–Hopfield training looked like, and whether its layer has converged."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jax_bioadv.learning.krotov_hopfield_increment import KrotovHopfield, row_norms

# A row counts as converged when its L_p norm is this close to R, as a share of R (the published criterion, at R = 1).
NORM_TOLERANCE = 1e-2
# A layer counts as converged when fewer than this share of its rows are not (the published criterion).
UNCONVERGED_SHARE = 0.1


class StepInfo(NamedTuple):
    """What one minibatch did: ``max|ΔW|`` before scaling, and which unit each image's winner is."""

    largest_change: Float[Array, ""]
    winners: Int[Array, " batch"]


class EpochInfo(NamedTuple):
    """What one epoch looked like, measured at its end (the largest change: averaged over its batches)."""

    converged_share: Float[Array, ""]
    median_norm: Float[Array, ""]
    largest_change: Float[Array, ""]
    winning_share: Float[Array, ""]
    largest_weight: Float[Array, ""]


def _norm_converged(rule: KrotovHopfield, norms: Float[Array, " hidden"]) -> Bool[Array, " hidden"]:
    return jnp.abs(norms - rule.radius) <= NORM_TOLERANCE * rule.radius


def epoch_info(rule: KrotovHopfield, synapses: Float[Array, "hidden inputs"], infos: StepInfo) -> EpochInfo:
    """What the steps of an epoch come to.

    Args:
        rule: hyper-parameters.
        synapses: after the last step.
        infos: of the steps, with a leading axis over them.
    """
    norms = row_norms(synapses, rule.p)
    return EpochInfo(
        converged_share=jnp.mean(_norm_converged(rule, norms)),
        median_norm=jnp.median(norms),
        largest_change=jnp.mean(infos.largest_change),
        winning_share=jnp.mean(jnp.zeros(len(norms), bool).at[infos.winners].set(True)),
        largest_weight=jnp.max(jnp.abs(synapses)),
    )


class Convergence(NamedTuple):
    """Verdict on a trained layer, by the published criteria (the second one repaired, see :func:`convergence`)."""

    norm_converged: Bool[Array, " hidden"]
    wrong_attractor: Bool[Array, " hidden"]
    accepted: bool


def convergence(rule: KrotovHopfield, synapses: Float[Array, "hidden inputs"]) -> Convergence:
    """Whether a layer has converged.

    Accepted when fewer than 10 % of the rows have an L_p norm further than 1e-2·R from R and no row sits at the wrong
    attractor, where all weights are near ``−R·D^(−1/p)``. The published test for the latter, a mean weight below −R/2,
    can never fire for more than a few inputs; this one asks for a mean below half of the attractor's value.

    Args:
        rule: hyper-parameters.
        synapses: W.

    Returns:
        Per row, norm converged and wrong attractor; and the verdict.
    """
    close = _norm_converged(rule, row_norms(synapses, rule.p))
    attractor = -rule.radius * synapses.shape[1] ** (-1 / rule.p)
    wrong = jnp.mean(synapses, axis=1) < attractor / 2
    accepted = int(jnp.sum(~close)) < UNCONVERGED_SHARE * len(close) and not bool(jnp.any(wrong))
    return Convergence(close, wrong, accepted)

"""What holds: each claim is a pure function from a results dictionary to a verdict and the evidence on both sides.

Claims of the paper (arXiv 2405.00679) end in *agrees*, *holds at this size*, *agrees, but so do controls*,
*contradicts the paper* or *cannot tell*; those about the evidence and our own checks in *holds*, *does not hold* or
*cannot tell*. When two numbers differ is decided in :mod:`comparing`, what a verdict may say of the paper in
:mod:`settling`.
"""

from experiments.attacks import ATTACKS
from experiments.report.claims import evidence, robustness, smoothness, spectra
from experiments.report.claims.comparing import Results
from experiments.report.claims.settling import once_a_number, settle
from experiments.report.claims.verdicts import Claim, Verdict
from experiments.report.numbers import dig

__all__ = ["GROUPS", "Claim", "Results", "Verdict", "all_claims", "claims_by_group"]

GROUPS = {
    "The paper's claims": (
        smoothness.smoother,
        *(lambda results, attack=attack: robustness.more_robust(results, attack) for attack in ATTACKS),
        robustness.robustness_order,
        robustness.accuracy_for_robustness,
        *(lambda results, kind=kind: spectra.power_laws(results, kind) for kind in spectra.INPUTS),
        spectra.exponents_above_the_data,
        spectra.pruning_is_harmless,
        spectra.spectral_fails_on_noise,
        smoothness.regularizers_smooth_without_power_law,
        smoothness.smoother_boundaries,
    ),
    "The evidence": (
        lambda results: robustness.more_robust(results, "minimum_norm"),
        robustness.order_in_the_worst_case,
        evidence.no_masking,
        evidence.bounds_are_consistent,
        smoothness.smoothness_goes_with_robustness,
        smoothness.exponents_and_boundaries,
    ),
    "Our own checks": (
        evidence.learning_beats_its_start,
        evidence.gradient_attacks_beat_noise,
        smoothness.jacobian_regularizer_smooths,
        spectra.spectral_regularizer_moves,
    ),
}
"""Every claim, in the order of the report."""


def _with_its_reach(claim: Claim, seeds: int) -> Claim:
    """With one seed a verdict is about these networks only, and says so."""
    if seeds != 1 or not (claim.supporting or claim.opposing):
        return claim
    return claim._replace(sentence=f"{claim.sentence[:-1]} (one seed: about these networks only).")


def claims_by_group(results: Results) -> dict[str, list[Claim]]:
    """All claims under the headings of the report."""
    seeds = len(dig(results, "seeds") or [])
    claims = iter(once_a_number([settle(results, claim(results)) for group in GROUPS.values() for claim in group]))
    return {heading: [_with_its_reach(next(claims), seeds) for _ in group] for heading, group in GROUPS.items()}


def all_claims(results: Results) -> list[Claim]:
    """All claims in one list."""
    return [claim for claims in claims_by_group(results).values() for claim in claims]

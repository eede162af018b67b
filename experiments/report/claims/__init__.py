"""What holds: each claim is a pure function from a results dictionary to a verdict and the evidence on both sides.

Claims of the paper (arXiv 2405.00679) end in *agrees*, *holds at this size*, *agrees, but so do controls*,
*contradicts the paper* or *cannot tell*; those about the evidence and our own checks in *holds*, *does not hold* or
*cannot tell*. When two numbers differ is decided in :mod:`comparing`, what a verdict may say of the paper in
:mod:`settling`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from experiments.report.claims import evidence, robustness, smoothness, spectra, spectral
from experiments.report.claims.comparing import Results
from experiments.report.claims.settling import once_a_number, settle
from experiments.report.claims.verdicts import Claim, Verdict
from experiments.report.numbers import dig

__all__ = ["CLAIMS", "GROUPS", "Claim", "Results", "Stated", "Verdict", "all_claims", "claims_by_group"]


class Stated(NamedTuple):
    """A claim as the report has it.

    Attributes:
        name: the anchor of its verdict.
        words: in a few words, for the table that opens the report; the whole sentence is the title of the verdict.
        judge: a pure function from results to the verdict.
        evidence: the anchors of the tables and figures that it rests on.
    """

    name: str
    words: str
    judge: Callable[[Results], Claim]
    evidence: tuple[str, ...]


def _robust(attack: str, name: str) -> Stated:
    figures = ("figure5",) if attack == "minimum_norm" else ("figure1", "figure5")
    judge = partial(robustness.more_robust, attack=attack)
    return Stated(
        f"robust-{attack}".replace("_", "-"), f"KH is the most robust to {name}", judge, (*figures, "compared")
    )


def _straight(kind: str, words: str) -> Stated:
    return Stated(f"power-law-{kind}", words, partial(spectra.power_laws, kind=kind), ("figure3", f"law-{kind}"))


_S, _R, _E = smoothness, robustness, evidence
GROUPS = {
    "The paper's claims": (
        Stated("smoother", "KH is the smoothest", _S.smoother, ("figure4", "smoothness")),
        _robust("gaussian", "Gaussian noise"),
        _robust("fgsm", "FGSM"),
        _robust("pgd", "PGD"),
        Stated("order", "order of robustness", _R.robustness_order, ("figure1", "compared")),
        Stated("price", "robustness has its price in accuracy", _R.accuracy_for_robustness, ("figureA2", "accuracy")),
        _straight("images", "power law on images: KH, spectral"),
        _straight("noise", "power law on white noise: KH alone"),
        Stated("steep", "KH steeper than the data", spectra.exponents_above_the_data, ("figure2", "spectra")),
        Stated("pruning", "pruning does no harm", spectra.pruning_is_harmless, ("figureA1", "spectra")),
        Stated("spectral", "spectral fails on white noise", spectral.spectral_fails_on_noise, ("figure3", "law-noise")),
        Stated(
            "apart", "smooth without power law", _S.regularizers_smooth_without_power_law, ("figure3", "smoothness")
        ),
        Stated("boundaries", "KH has the smoothest boundaries", _S.smoother_boundaries, ("figure4", "planes")),
    ),
    "The evidence": (
        _robust("minimum_norm", "the minimum-norm attack"),
        Stated("worst", "same order in the worst case", _R.order_in_the_worst_case, ("figure6", "threats")),
        Stated("masking", "no masked gradients", _E.no_masking, ("masked",)),
        Stated("bounds", "certificates below attacks", _E.bounds_are_consistent, ("figure7", "certified")),
        Stated(
            "goes-with", "smoothness with robustness", _S.smoothness_goes_with_robustness, ("figure8", "correlated")
        ),
        Stated(
            "exponents", "exponents, boundaries, robustness", _S.exponents_and_boundaries, ("figure8", "correlated")
        ),
    ),
    "Our own checks": (
        Stated("learning", "learning beats images as rows", _E.learning_beats_its_start, ("controls",)),
        Stated("attacks", "gradient attacks beat noise", _E.gradient_attacks_beat_noise, ("figure1", "critical_l2")),
        Stated("jacobian", "Jacobian penalty smooths", _S.jacobian_regularizer_smooths, ("smoothness",)),
        Stated("moves", "spectral penalty moves α", spectral.spectral_regularizer_moves, ("figure3", "spectra")),
    ),
}
"""Every claim, in the order of the report."""
CLAIMS = tuple(stated for group in GROUPS.values() for stated in group)


def _with_its_reach(claim: Claim, seeds: int) -> Claim:
    """With one seed a verdict is about these networks only, and says so."""
    if seeds != 1 or not (claim.supporting or claim.opposing):
        return claim
    return claim._replace(sentence=f"{claim.sentence[:-1]} (one seed: about these networks only).")


def all_claims(results: Results) -> list[Claim]:
    """All claims, in the order of :data:`CLAIMS`."""
    seeds = len(dig(results, "seeds") or [])
    found = once_a_number([settle(results, stated.judge(results)) for stated in CLAIMS])
    return [_with_its_reach(claim, seeds) for claim in found]


def claims_by_group(results: Results) -> dict[str, list[tuple[Stated, Claim]]]:
    """All claims with their verdicts under the headings of the report."""
    found = iter(all_claims(results))
    return {heading: [(stated, next(found)) for stated in group] for heading, group in GROUPS.items()}

"""Claims about corrupted images: do networks that withstand attacks withstand them too, and does smoothness help?"""

from experiments.report.claims.comparing import (
    SIGNIFICANCE,
    Difference,
    Results,
    compare,
    controls_of,
    measured,
    standing,
)
from experiments.report.claims.judging import judge
from experiments.report.claims.robustness import RIVALS
from experiments.report.claims.smoothness import FEWEST_MODELS
from experiments.report.claims.verdicts import Finding, Verdict, undecided
from experiments.report.numbers import dig, p_text, per_seed, signed_text
from jax_bioadv.analysis.statistics import rank_correlation

_OURS = {Verdict.AGREES: Verdict.HOLDS, Verdict.SHARED: Verdict.FAILS, Verdict.CONTRADICTS: Verdict.FAILS}
"""The paper says nothing of corruptions, so that no verdict is on it."""


def withstands_corruptions(results: Results) -> Finding:
    """Evidence: does corruption overturn fewer of the Krotov–Hopfield network's decisions than of any other's?"""
    models = dig(results, "models") or {}
    overturned = {model: measured(models[model], "corruptions", "overturned") for model in models}
    if overturned.get("kh") is None:
        return undecided("The Krotov–Hopfield network's decisions on corrupted images are not available.")

    def difference(other: str) -> Difference | None:
        return compare(overturned["kh"], overturned.get(other), smaller_is_better=True)

    rivals, controls = standing(RIVALS, difference), standing(controls_of(results), difference)
    finding = judge(rivals, controls, "the share of its right decisions that corruption overturns", "overturned")
    return finding._replace(verdict=_OURS.get(finding.verdict, finding.verdict), models=(), against=frozenset())


def smoothness_against_corruptions(results: Results) -> Finding:
    """Evidence: over all models and seeds, does the norm of the Jacobian go with what corruption overturns?"""
    models = dig(results, "models") or {}
    members = [
        (model, norm, share)
        for model in models
        for norm, share in zip(
            per_seed(dig(models, model, "jacobian_norm", "activation")),
            per_seed(dig(models, model, "corruptions", "overturned")),
            strict=False,
        )
        if norm is not None and share is not None
    ]
    if len({model for model, _, _ in members}) < FEWEST_MODELS:
        return undecided(f"It takes {FEWEST_MODELS} models with Jacobian norms and decisions on corrupted images.")
    names, norms, shares = zip(*members, strict=True)
    if len(set(norms)) == 1 or len(set(shares)) == 1:
        return undecided("All networks have the same Jacobian norm, or the same share of overturned decisions.")
    found = rank_correlation(norms, shares, names)
    low, high = (signed_text(end) for end in found.interval)
    said = (
        f"Rank correlation of mean ‖∂a/∂x‖ with the share of right decisions that corruption overturns: "
        f"ρ = {signed_text(found.spearman)} [{low}, {high}], p {p_text(found.p_value, found.at_floor)}, "
        f"over {found.models} models."
    )
    if found.p_value >= SIGNIFICANCE:
        return undecided(said, (), (said,))
    if found.spearman > 0:
        return Finding(Verdict.HOLDS, said, (said,))
    return Finding(Verdict.FAILS, said, (), (said,))

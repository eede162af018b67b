"""Hypotheses about robustness: whether networks that are given spectra get the robustness that goes with them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.attacks import attack_label
from experiments.models import label
from experiments.questions.deciding import within
from experiments.questions.shape.adding import of_kind, reach_text, reached
from experiments.questions.shape.partial import EXPONENTS, NORMS
from experiments.questions.shape.plan import ATTACKS
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import MARGIN, MORE, SIGNIFICANCE, Difference, compare, measured, robuster
from experiments.report.claims.verdicts import names, undecided
from experiments.report.numbers import dig, number_text, p_text
from experiments.shaped_models import MATCHED, ROTATED, UNSHAPED
from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.styles import MEASURE_NAMES

NONE = 0.3
"""A partial rank correlation within this of 0 is none (our choice)."""
NAMES = {**MEASURE_NAMES, "row_norm": "‖V‖ of the layer"}


def _ahead(found: Difference) -> bool | None:
    """Whether the first is ahead of the second (True), has no lead (False), or neither is sure."""
    return True if found.outcome > 0 else False if found.has_no_lead() else None


def _as_far(found: Difference) -> bool | None:
    """Whether the first, the rule, has no lead over the second."""
    ahead = _ahead(found)
    return None if ahead is None else not ahead


def _accuracies(results: Results, first: str, second: str) -> Difference | None:
    one, other = (measured(dig(results, "models", model), "test_accuracy") for model in (first, second))
    return compare(one, other)


def _told(results: Results, first: str, second: str, found: Mapping[str, Difference]) -> str:
    """The ratios by attack, and both accuracies."""
    accuracy = _accuracies(results, first, second)
    parts = [f"{attack_label(attack)} {difference.text}" for attack, difference in found.items()]
    return "; ".join(parts) + (f"; accuracy {accuracy.short}" if accuracy is not None else "")


def _by_attack(results: Results, first: str, second: str) -> dict[str, Difference]:
    pairs = {attack: robuster(results, attack, first, second) for attack in ATTACKS}
    return {attack: one for attack, one in pairs.items() if one is not None}


def _of_pairs(
    results: Results, pairs: Sequence[tuple[str, str]], asks: Callable[[Difference], bool | None], missing: str
) -> Finding:
    """Holds or fails where every pair and attack says so; of pairs that count."""
    answers: list[bool | None] = []
    supporting: list[str] = []
    opposing: list[str] = []
    short = []
    for first, second in pairs:
        found = _by_attack(results, first, second)
        if not found:
            continue
        own = [asks(one) for one in found.values()]
        answers += own
        line = f"{label(first)} against {label(second)}: {_told(results, first, second, found)}"
        (supporting if all(own) else opposing).append(line)
        strongest = found.get(ATTACKS[-1]) or next(iter(found.values()))
        accuracy = _accuracies(results, first, second)
        also = f" at accuracies {accuracy.short}" if accuracy is not None else ""
        short.append(f"{label(first)} withstands {strongest.short} as much as {label(second)}{also}")
    if not answers:
        return undecided(missing)
    said = f"{'; '.join(short)}."
    if set(answers) == {True}:
        return Finding(Verdict.HOLDS, said, tuple(supporting), tuple(opposing))
    if set(answers) == {False}:
        return Finding(Verdict.FAILS, said, tuple(supporting), tuple(opposing))
    why = f"attacks or weights differ, or a difference is not surely more or less than our margin of {MARGIN:.0%}"
    return undecided(f"{said[:-1]}: {why}.", supporting, opposing)


def _that_reached(results: Results, kind: str) -> tuple[list[str], str]:
    """The networks of a kind that have what they were to have; and, of none, what they have."""
    models = of_kind(results, kind)
    there = [model for model in models if reached(results, model)]
    told = "; ".join(f"{label(model)}: {reach_text(results, model)}" for model in models)
    return there, f"No network surely has the spectra that it was to have, so that they decide nothing ({told})."


def longer_than_law_on_images(results: Results) -> Finding:
    """With both spectra on a power law, networks withstand longer perturbations than with the one on images."""
    models, missing = _that_reached(results, "law_both")
    pairs = [(model, model.replace("_both_", "_images_")) for model in models]
    pairs = [(first, second) for first, second in pairs if reached(results, second)]
    return _of_pairs(results, pairs, _ahead, missing)


def longer_than_backprop(results: Results) -> Finding:
    """And than without a penalty, or with backpropagation that stopped at the same accuracy."""
    models, missing = _that_reached(results, "law_both")
    pairs = [(model, other) for model in models for other in (UNSHAPED, f"{MATCHED}_{model}")]
    equal = [pair for pair in pairs if _as_accurate(results, *pair)]
    return _of_pairs(results, equal, _ahead, "No network without a penalty is as accurate." if pairs else missing)


def _as_accurate(results: Results, first: str, second: str) -> bool:
    """Within one and a half margins; that two are not told apart is not enough."""
    found = _accuracies(results, first, second)
    return found is not None and abs(found.log_ratio) < MORE * math.log1p(MARGIN)


def copied_is_robuster(results: Results) -> Finding:
    """Given the rule's two spectra, a network withstands longer perturbations than without a penalty."""
    models, missing = _that_reached(results, "rule_spectra")
    return _of_pairs(results, [(model, UNSHAPED) for model in models], _ahead, missing)


def as_robust_as_the_rule(results: Results) -> Finding:
    """With the rule's two spectra a network is as robust as the rule."""
    models, missing = _that_reached(results, "rule_spectra")
    return _of_pairs(results, [("kh", model) for model in models], _as_far, missing)


def rotated_as_robust(results: Results) -> Finding:
    """The rule's layer turned among its units has the same spectra on whatever inputs: is it as robust?"""
    missing = "The Krotov–Hopfield network and that of its rotated layer are needed."
    return _of_pairs(results, [("kh", ROTATED)], _as_far, missing)


def _partial(results: Results, measure: str, *given: str) -> Any:
    for one in dig(results, "partial") or []:
        if one["measure"] == measure and one["given"] == ["test_accuracy", *given]:
            return one
    return None


def _significant(one: Any) -> bool:
    return one is not None and one["p_corrected"] is not None and one["p_corrected"] < SIGNIFICANCE


def _none(one: Any) -> bool:
    """Whether a correlation is surely small, whichever our tolerance."""
    low, high = (end if end is not None else sign for end, sign in zip(one["interval"], (-1, 1), strict=True))
    return within(Overall(one["spearman"], (low, high), "seeds", one["kinds"], 0), NONE) is True


def _correlation_text(one: Any) -> str:
    low, high = (number_text(end, 2) for end in one["interval"])
    p = p_text(one["p_corrected"], one["p_at_floor"])
    besides = ", ".join(NAMES[name] for name in one["given"])
    number = number_text(one["spearman"], 2)
    return f"{NAMES[one['measure']]}: ρ {number} [{low}, {high}], p {p}, given {besides}"


def distance_follows_exponents(results: Results) -> Finding:
    """Over all networks and weights, given accuracy."""
    found = [one for measure in EXPONENTS if (one := _partial(results, measure)) is not None]
    if len(found) < len(EXPONENTS):
        return undecided("There are too few kinds of networks for partial rank correlations.")
    lines = [_correlation_text(one) for one in found]
    evidence = (
        tuple(line for line, one in zip(lines, found, strict=True) if _significant(one)),
        tuple(line for line, one in zip(lines, found, strict=True) if not _significant(one)),
    )
    said = f"Over {found[0]['members']} networks of {found[0]['kinds']} kinds: {'; '.join(lines)}."
    if any(map(_significant, found)):
        return Finding(Verdict.HOLDS, said, *evidence)
    if all(map(_none, found)):
        return Finding(Verdict.FAILS, said, *evidence)
    return undecided(f"{said} Neither is told apart from none, nor surely within ±{NONE:g}.", *evidence)


def norms_account_for_it(results: Results) -> Finding:
    """The relative Jacobian goes with distance whatever the exponents are, and leaves nothing to these."""
    norm, alone = _partial(results, NORMS[0]), _partial(results, NORMS[0], *EXPONENTS)
    left = [one for measure in EXPONENTS if (one := _partial(results, measure, NORMS[0])) is not None]
    if norm is None or alone is None or len(left) < len(EXPONENTS):
        return undecided("There are too few kinds of networks for partial rank correlations.")
    others = [one for measure in NORMS[1:] if (one := _partial(results, measure)) is not None]
    lines = tuple(_correlation_text(one) for one in (norm, alone, *left, *others))
    said = f"{lines[1]}. What is left of the exponents: {'; '.join(lines[2 : 2 + len(left)])}."
    exponents_left = [one["measure"] for one in left if _significant(one)]
    if _significant(alone) and not exponents_left:
        return Finding(Verdict.HOLDS, said, lines)
    if exponents_left and not _significant(alone):
        return Finding(Verdict.FAILS, said, (), lines)
    kept = names(NAMES[one] for one in exponents_left) or "neither exponent"
    return undecided(f"{said[:-1]}: of the exponents {kept} keeps something that is told apart from none.", lines)

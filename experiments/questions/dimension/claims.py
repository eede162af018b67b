"""Hypotheses of question 2."""

import math
from typing import Any

import numpy as np

from experiments.models import label
from experiments.questions.deciding import over_seeds, within
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import LESS, MARGIN, MORE, SIGNIFICANCE
from experiments.report.claims.verdicts import undecided
from experiments.report.numbers import dig, number_text, p_text, per_seed, present, summary_text
from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.analysis.statistics import rank_correlation
from jax_bioadv.data.manifolds import spectral_exponent

RULE = "kh"
NEAR = 0.25
"""A dimension is found, or kept, within this share of it (our choice)."""
MOST = 8
"""No verdict hangs on more dimensions than this: neighbours of a few thousand points are far. In the latent space
estimators find too few then, in pixels too many, where far points are hardly farther than near ones."""
SAME = 0.15
"""An exponent is the same within this share of it (our choice, as in question 1)."""


def manifolds(results: Results) -> dict[int, Any]:
    """The entries of manifolds by their dimension."""
    sets = dig(results, "sets") or {}
    return {one["dimension"]: one for name, one in sets.items() if name.startswith("manifold")}


def bound(dimension: int) -> float:
    """Below which the exponent of a code that can be differentiated cannot lie (Stringer et al. 2019)."""
    return 1 + 2 / dimension


def alphas(entry: Any, model: str, where: str = "preactivation") -> Any:
    """Of a representation, over seeds."""
    return dig(entry, "models", model, where, "alpha")


def _data(entry: Any, key: str) -> float | None:
    """A number of the data themselves, which know no seed."""
    return next(iter(present(dig(entry, "data", key))), None)


def _share(values: Any, reference: float | None) -> Overall | None:
    if reference is None:
        return None
    return over_seeds([None if one is None else one / reference - 1 for one in per_seed(values)])


def _ends(found: Overall) -> tuple[float, float]:
    return found.interval or (found.centre, found.centre)


def _decided(answers: dict[Any, bool | None], said: str, lines: dict[Any, str]) -> Finding:
    """All must hold; one that fails decides too."""
    supporting = tuple(lines[key] for key, one in answers.items() if one)
    opposing = tuple(lines[key] for key, one in answers.items() if one is False)
    if answers and all(answers.values()):
        return Finding(Verdict.HOLDS, said, supporting)
    if False in answers.values():
        return Finding(Verdict.FAILS, said, supporting, opposing)
    return undecided(said or "There is nothing to tell it from.", supporting)


def dimension_is_found(results: Results) -> Finding:
    """TwoNN on the data, up to eight dimensions; beyond it is evidence alone."""
    entries = {one: dig(entry, "data", "two_nearest") for one, entry in manifolds(results).items()}
    lines = {one: f"d = {one}: {summary_text(found)}" for one, found in entries.items()}
    answers = {one: within(_share(found, one), NEAR) for one, found in entries.items() if one <= MOST}
    return _decided(answers, f"TwoNN finds at {'; '.join(lines.values())}.", lines)


def exponent_falls(results: Results) -> Finding:
    """Over manifolds and seeds; seeds of one manifold count as one."""
    members = [(one, alpha) for one, entry in manifolds(results).items() for alpha in present(alphas(entry, RULE))]
    try:
        dimensions, exponents = np.array(members, np.float64).reshape(-1, 2).T
        found = rank_correlation(dimensions, exponents, [one for one, _ in members])
    except ValueError as error:
        return undecided(f"There are too few manifolds for a rank correlation ({error}).")
    low, high = (number_text(end, 2) for end in found.interval)
    told = f"{number_text(found.spearman, 2)} [{low}, {high}], p {p_text(found.p_value, found.at_floor)}"
    said = f"Spearman's ρ of α and d is {told}, over {found.models} manifolds."
    if found.p_value >= SIGNIFICANCE:
        return undecided(said)
    return Finding(Verdict.HOLDS if found.spearman < 0 else Verdict.FAILS, said)


def shows_the_law(results: Results, entry: Any) -> bool:
    """Whether the window finds the data's own exponent, of which theory says that it lies above the bound, and where.

    In many dimensions a window of n holds the first few eigenfunctions alone: data that are smooth lie below the bound
    there, or far above their own exponent, and so does any code of them.
    """
    found, dimension = _data(entry, "alpha"), entry["dimension"]
    theory = spectral_exponent(dimension, dig(results, "settings", "dimension", "smoothness") or 1.5)
    return found is not None and (1 + MARGIN) * bound(dimension) < found < (1 + SAME) * theory


def above_the_bound(results: Results, where: str = "preactivation") -> Finding:
    """The rule, at every dimension of which the window shows the law."""
    return _above(results, [RULE], where)


def others_above_the_bound(results: Results) -> Finding:
    """Every other model, by the same measure."""
    there = [model for entry in manifolds(results).values() for model in dig(entry, "models") or {}]
    return _above(results, [model for model in dict.fromkeys(there) if model != RULE])


def _above(results: Results, models: list[str], where: str = "preactivation") -> Finding:
    lines, answers, beside = {}, dict[tuple[int, str], bool | None](), []
    for one, entry in manifolds(results).items():
        for model in models:
            found = over_seeds(per_seed(alphas(entry, model, where)))
            if found is None:
                continue
            low, high = _ends(found)
            numbers = f"α {summary_text(alphas(entry, model, where))}, bound {number_text(bound(one))}"
            line = f"d = {one}, {label(model)}: {numbers}"
            if shows_the_law(results, entry):
                answers[one, model] = True if low > bound(one) else False if high < bound(one) else None
                lines[one, model] = line
            else:
                beside.append(f"{line}, of the data {number_text(_data(entry, 'alpha'))}")
    said = f"{sum(map(bool, answers.values()))} of {len(answers)} exponents lie above it."
    if beside:
        said += f" Nothing hangs on windows that miss the data's own exponent: {'; '.join(beside)}."
    return _decided(answers, said, lines)


def steeper_than_data(results: Results, where: str = "preactivation") -> Finding:
    """At every dimension, by more than our margin."""
    lines, answers = {}, dict[int, bool | None]()
    for one, entry in manifolds(results).items():
        data = _data(entry, "alpha")
        found = _share(alphas(entry, RULE, where), data)
        if found is not None:
            low, high = _ends(found)
            answers[one] = True if low > MORE * MARGIN else False if high < LESS * MARGIN else None
            lines[one] = f"d = {one}: α {summary_text(alphas(entry, RULE, where))}, of the data {number_text(data)}"
    return _decided(answers, f"{'; '.join(lines.values())}.", lines)


def steeper_than_controls(results: Results) -> Finding:
    """Than every other model at every dimension, by more than our margin; an equal one speaks against it."""
    lines, answers = {}, dict[tuple[int, str], bool | None]()
    beyond = math.log1p(MARGIN)
    for one, entry in manifolds(results).items():
        for model in dig(entry, "models") or {}:
            ours, theirs = (over_seeds(per_seed(alphas(entry, name))) for name in (RULE, model))
            if model == RULE or ours is None or theirs is None or min(ours.centre, theirs.centre) <= 0:
                continue
            ratio, arm = math.log(ours.centre / theirs.centre), math.hypot(_arm(ours), _arm(theirs))
            surely = True if ratio - arm > MORE * beyond else False if ratio + arm < LESS * beyond else None
            answers[one, model] = surely
            numbers = f"{summary_text(alphas(entry, RULE))} against {summary_text(alphas(entry, model))}"
            lines[one, model] = f"d = {one}, {label(model)}: {numbers}"
    larger, not_larger = (sum(one is answer for one in answers.values()) for answer in (True, False))
    said = (
        f"Of {len(answers)} comparisons the rule's exponent is surely larger in {larger}, and surely not in "
        f"{not_larger}."
    )
    return _decided(answers, said, lines)


def _arm(found: Overall) -> float:
    """Half of the interval of a logarithm."""
    low, high = _ends(found)
    return (high - low) / (2 * found.centre)


def dimension_is_kept(results: Results) -> Finding:
    """TwoNN of the pre-activation against that of the data, up to eight dimensions."""
    lines, answers = {}, dict[int, bool | None]()
    for one, entry in manifolds(results).items():
        values, data = dig(entry, "models", RULE, "preactivation", "two_nearest"), _data(entry, "two_nearest")
        if one <= MOST and present(values) and data is not None:
            answers[one] = within(_share(values, data), NEAR)
            lines[one] = f"d = {one}: {summary_text(values)} of {number_text(data)}"
    return _decided(answers, f"{'; '.join(lines.values())}.", lines)


def cut_leaves_the_exponent(results: Results) -> Finding:
    """Images with some directions alone, against whole ones over the same window, cut short by them."""
    lines, answers = {}, dict[str, bool | None]()
    for name, entry in (dig(results, "sets") or {}).items():
        values, whole = alphas(entry, RULE), dig(entry, "models", RULE, "alpha_of_whole")
        reference = over_seeds(per_seed(whole))
        if name.startswith("images ") and reference is not None and present(values):
            answers[name] = within(_share(values, reference.centre), SAME)
            told = f"{summary_text(values)} against {summary_text(whole)}"
            lines[name] = f"{name.removeprefix('images ')} directions: {told}"
    return _decided(answers, f"{'; '.join(lines.values())}.", lines)

"""What the study of depth asks: one record for each question, judged as the claims about the paper are.

Models stand in results.json as MODEL-DEPTH. Distances are compared on the same images by ``comparisons``, whatever has
its own interval as in :mod:`comparing`, with the same margin everywhere.
"""

import math
from collections.abc import Iterable
from functools import partial

from experiments.models import label
from experiments.report.claims.comparing import (
    MARGIN,
    MORE,
    SIGNIFICANCE,
    Difference,
    Results,
    Standing,
    briefly,
    compare,
    listed,
    measured,
    robuster,
    standing,
)
from experiments.report.claims.settling import with_its_reach
from experiments.report.claims.smoothness import LARGER_IS_SMOOTHER, NO_SMOOTHNESS
from experiments.report.claims.spectra import judged, spectrum_text
from experiments.report.claims.verdicts import Claim, Finding, Verdict, undecided
from experiments.report.numbers import dig, number_text, p_text
from jax_bioadv.styles import measure_name

RULES = ("soft_hebb", "kh")
UNLEARNED = ("random", "patches", "kmeans", "kmeans_whitened", "pca")
"""Filters that no rule has made, or none that competes for patches by itself."""
ATTACK = "minimum_norm"
"""Whose distances verdicts rest on: the shortest perturbations that are found."""


def _depths(results: Results) -> list[int]:
    return list(dig(results, "depths") or [])


def _there(results: Results, models: Iterable[str], depth: int) -> list[str]:
    return [name for model in models if (name := f"{model}-{depth}") in (dig(results, "models") or {})]


def _sides(found: Standing) -> tuple[tuple[str, ...], tuple[str, ...]]:
    supporting = listed(found.ahead, "farther than")
    opposing = [*listed(found.behind, "nearer than"), *listed(found.level, "no lead over")]
    return tuple(supporting), (*opposing, *listed(found.open, "not told apart from"))


def at_equal_accuracy(results: Results) -> Finding:
    """Krotov–Hopfield filters against the same architecture by backpropagation, stopped at their accuracy."""
    differences, unequal = dict[str, Difference](), dict[str, Difference]()
    for depth in _depths(results):
        ours, theirs = f"kh-{depth}", f"bp_matched-{depth}"
        found = robuster(results, ATTACK, ours, theirs)
        one, other = (measured(dig(results, "models", name), "test_accuracy") for name in (ours, theirs))
        accuracy = compare(one, other)
        if found is not None and accuracy is not None:
            if abs(accuracy.log_ratio) < MORE * math.log1p(MARGIN):
                differences[theirs] = found
            else:
                unequal[theirs] = accuracy
    finding = _one_against_all(
        standing(differences, differences.__getitem__), "Krotov–Hopfield filters", len(differences)
    )
    if not unequal:
        return finding
    return finding._replace(sentence=f"{finding.sentence[:-1]}; not as accurate: {briefly(unequal)}.")


def learned_beat_unlearned(results: Results, rule: str) -> Finding:
    """A rule's filters against all that no rule has made, depth by depth."""
    differences = {
        other: found
        for depth in _depths(results)
        for other in _there(results, UNLEARNED, depth)
        if (found := robuster(results, ATTACK, f"{rule}-{depth}", other)) is not None
    }
    return _one_against_all(standing(differences, differences.__getitem__), label(rule), len(differences))


def _one_against_all(found: Standing, who: str, of: int) -> Finding:
    sides = _sides(found)
    if not of:
        return undecided("There is nothing to compare with.")
    if len(found.ahead) == of:
        return Finding(Verdict.HOLDS, f"{who} lie farther from adversarial images in all {of} comparisons.", *sides)
    if found.do_as_well:
        against = {**found.behind, **found.level}
        said = f"{who} have no lead in {len(against)} of {of} comparisons: {briefly(against)}."
        return Finding(Verdict.FAILS, said, *sides)
    return undecided(f"{who} lead in {len(found.ahead)} of {of} comparisons; {len(found.open)} cannot be told.", *sides)


def depth_costs_robustness(results: Results) -> Finding:
    """The deepest network of every model against its shallowest."""
    depths = _depths(results)
    if len(depths) < 2:
        return undecided("There is one depth.")
    first, last = min(depths), max(depths)
    models = [name.rpartition("-")[0] for name in dig(results, "models") if name.endswith(f"-{first}")]
    differences = {
        f"{model}-{last}": found
        for model in models
        if (found := robuster(results, ATTACK, f"{model}-{first}", f"{model}-{last}")) is not None
    }
    return _one_against_all(
        standing(differences, differences.__getitem__), f"Networks of depth {first}", len(differences)
    )


def spectra_stay_power_laws(results: Results, kind: str) -> Finding:
    """Overlaps of every stage of the rules' networks, channels over positions."""
    straight, other, unclear = list[str](), list[str](), list[str]()
    deepest = max(_depths(results), default=0)  # its layers are those of the others too: each is trained on those below
    for name in _there(results, RULES, deepest):
        for tap, entry in (dig(results, "models", name, "taps") or {}).items():
            spectrum = dig(entry, "positions", kind)
            if tap.endswith(".convolution") and any(dig(spectrum, "verdict") or []):  # of too few filters there is none
                answers = set(judged(spectrum))
                line = f"{label(name)}, {tap}: {spectrum_text(spectrum)}"
                (straight if answers == {True} else other if answers == {False} else unclear).append(line)
    count = len(straight) + len(other) + len(unclear)
    if not count:
        return undecided("No spectrum has eigenvalues enough for a test.")
    said = (
        f"Of the spectra of {count} layers wide enough for a test {len(straight)} are power laws in every seed, "
        f"{len(other)} in none."
    )
    verdict = Verdict.FAILS if other else Verdict.UNDECIDED if unclear else Verdict.HOLDS
    return Finding(verdict, said, tuple(straight), (*other, *unclear))


def pruning_costs_nothing(results: Results) -> Finding:
    """Filters that started from noise, with and without those that stayed noise."""
    supporting, opposing, pruned = list[str](), list[str](), 0
    for depth in _depths(results):
        whole, cut = (dig(results, "models", f"{name}-{depth}") for name in ("kh_noise", "kh_pruned"))
        found = compare(measured(cut, "test_accuracy"), measured(whole, "test_accuracy"))
        units = [one for one in dig(cut, "pruned_units") or [] if one is not None]
        if found is None or not units:
            continue
        pruned += sum(units)
        line = f"depth {depth}: {'/'.join(map(str, units))} filters cut, accuracy {found.text}"
        (supporting if found.has_no_lead() and found.turned().has_no_lead() else opposing).append(line)
    sides = tuple(supporting), tuple(opposing)
    if not pruned:
        return undecided("Pruning found no filter to cut.", *sides)
    verdict = Verdict.HOLDS if not opposing else Verdict.UNDECIDED
    return Finding(verdict, f"Accuracy stays within the margin at {len(supporting)} depths.", *sides)


def a_measure_orders_depths(results: Results) -> Finding:
    """The rank correlations over networks of all depths together."""
    apart = (*NO_SMOOTHNESS, *LARGER_IS_SMOOTHER)  # the latter is a distance itself, to first order
    entries = [
        one
        for one in dig(results, "correlations") or []
        if one["attack"] == ATTACK and one["measure"] not in apart and one["interval"] and None not in one["interval"]
    ]
    if not entries:
        return undecided("There are no correlations.")
    if len(_depths(results)) < 2:
        return undecided("There is one depth.")
    entries.sort(key=lambda one: one["spearman"])
    lines = [
        f"{measure_name(one['measure'])}: ρ = {number_text(one['spearman'])} "
        f"[{', '.join(map(number_text, one['interval']))}], p {p_text(one['p_corrected'], one['p_at_floor'])}"
        for one in entries
    ]
    told = [
        one["spearman"] < 0 and one["p_corrected"] is not None and one["p_corrected"] < SIGNIFICANCE for one in entries
    ]
    sides = (
        tuple(line for line, one in zip(lines, told, strict=True) if one),
        tuple(line for line, one in zip(lines, told, strict=True) if not one),
    )
    best = f"Nearest is {lines[0]}, over all models of all depths."
    return Finding(Verdict.HOLDS, best, *sides) if told[0] else undecided(best, *sides)


QUESTIONS = (
    Claim(
        "equal-accuracy",
        "At equal accuracy, Krotov–Hopfield filters make a network more robust than backpropagation",
        "KH beats backprop at equal accuracy",
        at_equal_accuracy,
        ("accuracies", "critical_l2"),
    ),
    *(
        Claim(
            f"beats-unlearned-{rule}".replace("_", "-"),
            f"Filters by {label(rule)} make a network more robust than filters that no rule has made",
            f"{label(rule)} beats unlearned filters",
            partial(learned_beat_unlearned, rule=rule),
            ("accuracies", "critical_l2"),
        )
        for rule in RULES
    ),
    Claim(
        "depth-costs",
        "Depth costs robustness",
        "depth costs robustness",
        depth_costs_robustness,
        ("accuracies", "critical_l2"),
    ),
    *(
        Claim(
            f"laws-{kind}",
            f"Spectra of locally learned layers stay power laws with depth, on {where}",
            f"power laws at all depths, {where}",
            partial(spectra_stay_power_laws, kind=kind),
            ("tap-spectra",),
        )
        for kind, where in (("images", "images"), ("noise", "white noise"))
    ),
    Claim(
        "pruning",
        "Cutting filters that stayed noise costs no accuracy",
        "pruning costs nothing",
        pruning_costs_nothing,
        ("accuracies",),
    ),
    Claim(
        "orders-depths",
        "A measure of smoothness orders networks of different depth by their robustness",
        "smoothness orders depths",
        a_measure_orders_depths,
        ("correlated", "smoothness"),
    ),
)
"""Every question, in the order of the report."""


def answers(results: Results) -> list[tuple[Claim, Finding]]:
    """All questions and what was found on them."""
    seeds = len(dig(results, "seeds") or [])
    return [(claim, with_its_reach(claim.judge(results), seeds)) for claim in QUESTIONS]

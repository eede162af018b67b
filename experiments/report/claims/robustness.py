"""Claims about robustness: who must be perturbed further, at what price in accuracy, under the strongest attacks."""

import itertools
import math
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from experiments.attacks import ATTACKS, attack_label, attack_labels
from experiments.models import label
from experiments.report.claims.comparing import (
    MARGIN,
    MORE,
    SIGNIFICANCE,
    Difference,
    Results,
    compare,
    controls_of,
    measured,
    robuster,
    standing,
)
from experiments.report.claims.judging import against_controls, control_lines, judge
from experiments.report.claims.verdicts import Finding, Verdict, names, undecided
from experiments.report.numbers import dig, number_text
from experiments.results.published import ROBUSTNESS_ORDER
from experiments.threats import THREATS, threat_labels

RIVALS = ("bp", "l2", "jacobian", "spectral")
NO_ONE_RESISTS = 0.02
"""Below this robust accuracy of every model a threat tells nothing about their order."""


def more_robust(results: Results, attack: str) -> Finding:
    """Paper: the Krotov–Hopfield network is the most robust of the five, under each attack."""

    def difference(other: str) -> Difference | None:
        return robuster(results, attack, "kh", other)

    if measured(dig(results, "models", "kh", "critical_l2", attack), "median") is None:
        return undecided("The Krotov–Hopfield network has no critical distances under this attack.")
    rivals, controls = standing(RIVALS, difference), standing(controls_of(results), difference)
    return judge(rivals, controls, "critical L₂ distances", ("critical", attack))


def _ranking(centres: Mapping[str, float]) -> str:
    ranked = sorted(centres, key=lambda model: -centres[model])
    return " > ".join(f"{label(model)} {number_text(centres[model])}" for model in ranked)


class Order(NamedTuple):
    """Whether numbers come in the paper's order, the ranking with what speaks against it, and the pairs that do."""

    verdict: Verdict
    text: str
    against: tuple[tuple[str, str], ...] = ()


def _order(centres: Mapping[str, float], difference: Callable[[str, str], Difference | None]) -> Order:
    """Whether the models that have a centre come in the paper's order."""
    models = [model for model in ROBUSTNESS_ORDER if model in centres]
    if len(models) < 2:
        return Order(Verdict.UNDECIDED, "fewer than two of the paper's models are there")
    ranking = _ranking({model: centres[model] for model in models})
    pairs = list(itertools.combinations(models, 2))
    found = {pair: 0 if (one := difference(*pair)) is None else one.outcome for pair in pairs}
    against = tuple(pair for pair in pairs if found[pair] < 0)
    if against:
        said = "; ".join(f"{label(one)} is less robust than {label(other)}" for one, other in against)
        return Order(Verdict.CONTRADICTS, f"{ranking}; {said}", against)
    unsettled = [pair for pair in itertools.pairwise(models) if found[pair] == 0]
    missing = [model for model in ROBUSTNESS_ORDER if model not in models]
    if unsettled or missing:
        said = "; ".join(f"{label(one)} and {label(other)}" for one, other in unsettled)
        text = ranking + (f"; not told apart: {said}" if said else "")
        return Order(Verdict.UNDECIDED, text + (f"; not available: {names(missing)}" if missing else ""))
    return Order(Verdict.AGREES, ranking)


def _centres(results: Results, *path: str) -> dict[str, float]:
    """What the seeds of the paper's models come to, of those that have a number."""
    found = {model: measured(dig(results, "models", model), *path) for model in ROBUSTNESS_ORDER}
    return {model: one.centre for model, one in found.items() if one is not None}


def order_under(results: Results, attack: str) -> Order:
    """Paper: kh > l2 > jacobian > bp > spectral, by the critical L₂ distances."""
    centres = _centres(results, "critical_l2", attack, "median")
    return _order(centres, lambda first, second: robuster(results, attack, first, second))


def _over(found: Mapping[str, Order], names_of: Mapping[str, str], good: Verdict, bad: Verdict) -> Finding:
    """One claim from the same question asked under several attacks or threats; ``names_of`` says what they are."""
    lines = {key: f"{names_of[key]}: {order.text}" for key, order in found.items()}
    supporting = tuple(lines[key] for key in found if found[key].verdict is Verdict.AGREES)
    opposing = tuple(lines[key] for key in found if found[key].verdict is not Verdict.AGREES)
    against = [key for key in found if found[key].verdict is Verdict.CONTRADICTS]
    if against:
        numbers = frozenset((("critical", key), frozenset(pair)) for key in against for pair in found[key].against)
        models = tuple(dict.fromkeys(model for key in against for pair in found[key].against for model in pair))
        return Finding(bad, f"Not under {lines[against[0]]}.", supporting, opposing, models, numbers)
    if opposing:
        first = next(key for key in found if found[key].verdict is not Verdict.AGREES)
        return undecided(f"Open under {lines[first]}.", supporting, opposing)
    return Finding(good, f"So it is under {'; '.join(lines.values())}.", supporting, (), ROBUSTNESS_ORDER)


def robustness_order(results: Results) -> Finding:
    """The whole order, under all three attacks."""
    found = {attack: order_under(results, attack) for attack in ATTACKS}
    return _over(found, attack_labels(ATTACKS), Verdict.AGREES, Verdict.CONTRADICTS)


def order_in_the_worst_case(results: Results) -> Finding:
    """Evidence: does the order survive the strongest of many attacks, in the paper's space and on raw pixels?"""
    models = dig(results, "models") or {}
    threats = threat_labels(threat for model in models for threat in dig(models, model, "robust_accuracy") or {})
    found: dict[str, Order] = {}
    futile = []
    pairs = len(ROBUSTNESS_ORDER) * (len(ROBUSTNESS_ORDER) - 1) // 2
    for threat, name in threats.items():
        path = ("robust_accuracy", threat, "worst_case")
        centres = _centres(results, *path)
        if centres and max(centres.values()) < NO_ONE_RESISTS:
            futile.append(f"{name}: no model keeps {NO_ONE_RESISTS:.0%} of the images")
            continue

        def difference(first: str, second: str, path: tuple[str, ...] = path) -> Difference | None:
            # Not paired in the results, so that the correction for all pairs is in the intervals (Bonferroni's).
            one, other = (measured(models.get(m), *path, confidence=1 - SIGNIFICANCE / pairs) for m in (first, second))
            return compare(one, other)

        found[threat] = _order(centres, difference)
    if not found:
        return undecided(futile[0] + "." if futile else "No robust accuracies under threat models.", (), futile)
    finding = _over(found, threats, Verdict.HOLDS, Verdict.FAILS)
    finding = finding._replace(opposing=(*finding.opposing, *futile))
    spaces = {THREATS[threat].raw for threat in found if threat in THREATS}
    if finding.verdict is not Verdict.HOLDS or len(spaces) == 2:
        return finding
    return finding._replace(verdict=Verdict.UNDECIDED, sentence=f"{finding.sentence[:-1]}; the other space is open.")


def accuracy_for_robustness(results: Results, attack: str = "pgd") -> Finding:
    """Paper: the Krotov–Hopfield network gains robustness at the price of accuracy; is it that price that buys it?"""
    accuracies = {m: measured(dig(results, "models", m), "test_accuracy") for m in ("kh", "bp", "bp_matched")}
    dearer = compare(accuracies["kh"], accuracies["bp"], smaller_is_better=True)
    farther = robuster(results, attack, "kh", "bp")
    if dearer is None or farther is None:
        return undecided(f"Accuracies and critical distances under {attack_label(attack)} of both are needed.")
    told = [
        (dearer.outcome > 0, f"test accuracy {dearer.text} of backprop"),
        (farther.outcome > 0, f"critical distance under {attack_label(attack)}, to backprop's: {farther.text}"),
    ]
    matched = robuster(results, attack, "kh", "bp_matched")
    level = compare(accuracies["kh"], accuracies["bp_matched"])
    if matched is not None and level is not None:
        words = f"to that of backprop stopped at the same accuracy ({level.text}): {matched.text}"
        told.append((matched.outcome > 0, words))
    supporting = tuple(text for speaks_for, text in told if speaks_for)
    opposing = tuple(text for speaks_for, text in told if not speaks_for)
    evidence = supporting, opposing
    numbers = f"Accuracy {dearer.short}, critical distance {farther.short} relative to backprop"
    if -1 in (dearer.outcome, farther.outcome):
        keys: set[Hashable] = {("accuracy", frozenset(("kh", "bp")))} if dearer.outcome < 0 else set()
        keys |= {(("critical", attack), frozenset(("kh", "bp")))} if farther.outcome < 0 else set()
        return Finding(Verdict.CONTRADICTS, f"{numbers}.", supporting, opposing, ("kh", "bp"), frozenset(keys))
    if 0 in (dearer.outcome, farther.outcome):
        return undecided(f"{numbers}: not told apart.", supporting, opposing)
    controls = standing(controls_of(results), lambda model: robuster(results, attack, "kh", model))
    for_it, against_it = control_lines(controls)
    with_controls = (*supporting, *for_it), (*opposing, *against_it)
    if matched is None or level is None:
        said = f"{numbers}; no accuracy-matched network was run"
        return against_controls(said, controls, with_controls, ("kh", "bp"))
    if abs(level.log_ratio) >= MORE * math.log1p(MARGIN):
        return undecided(f"{numbers}, but backprop did not stop at the same accuracy ({level.text}).", *evidence)
    if matched.outcome > 0:
        said = (
            f"{numbers}, and {matched.short} relative to backprop of the same accuracy: accuracy alone does not buy it"
        )
        return against_controls(said, controls, with_controls, ("kh", "bp"))
    if matched.outcome < 0 or matched.has_no_lead():
        said = f"{numbers}, but backprop stopped at the same accuracy does as well ({matched.short})."
        return Finding(Verdict.SHARED, said, supporting, opposing)
    said = f"{numbers}, but it is not told apart from backprop of the same accuracy ({matched.short})."
    return undecided(said, supporting, opposing)

"""Claims about robustness: who must be perturbed further, at what price in accuracy, under the strongest attacks."""

import itertools
from collections.abc import Callable, Mapping

from experiments.published import EFFECTIVE_JACOBIAN_WEIGHT, ROBUSTNESS_ORDER
from experiments.report.claims.comparing import (
    Difference,
    Measured,
    Results,
    compare,
    controls_of,
    larger,
    measured,
    robuster,
    standing,
)
from experiments.report.claims.judging import against_controls, control_lines, judge
from experiments.report.claims.verdicts import Claim, Verdict, names, undecided
from experiments.report.numbers import centre, dig, number_text
from experiments.settings import ATTACKS
from jax_bioadv.figures import THREAT_NAMES, attack_name, display_name, threat_name

RIVALS = ("bp", "l2", "jacobian", "spectral")
NO_ONE_RESISTS = 0.02
"""Below this robust accuracy of every model a threat tells nothing about their order."""


def more_robust(results: Results, attack: str) -> Claim:
    """Paper: the Krotov–Hopfield network is the most robust of the five, under each attack."""

    def difference(other: str) -> Difference | None:
        return robuster(results, attack, "kh", other)

    title = f"The Krotov–Hopfield network is more robust to {attack_name(attack)} than the other four"
    if not measured(dig(results, "models", "kh", "critical_l2", attack)).seeds:
        return undecided(title, "The Krotov–Hopfield network has no critical distances under this attack.")
    rivals, controls = standing(RIVALS, difference), standing(controls_of(results), difference, lenient=True)
    return judge(title, rivals, controls, "critical L₂ distances")


def _ranking(values: Mapping[str, Measured]) -> str:
    centres = {model: value for model, numbers in values.items() if (value := centre(numbers.seeds)) is not None}
    ranked = sorted(centres, key=lambda model: -centres[model])
    return " > ".join(f"{display_name(model)} {number_text(centres[model])}" for model in ranked)


def _order(values: Mapping[str, Measured], outcome: Callable[[str, str, float], int]) -> tuple[Verdict, str]:
    """Whether numbers come in the paper's order, and the ranking with what speaks against it."""
    models = [model for model in ROBUSTNESS_ORDER if values[model].seeds]
    ranking = _ranking({model: values[model] for model in models})
    if len(models) < 2:
        return Verdict.UNDECIDED, "fewer than two of the paper's models are there"
    pairs = list(itertools.combinations(models, 2))
    found = {pair: outcome(*pair, 0.05 / len(pairs)) for pair in pairs}
    against = [pair for pair in pairs if found[pair] < 0]
    if against:
        said = "; ".join(f"{display_name(one)} is less robust than {display_name(other)}" for one, other in against)
        return Verdict.CONTRADICTS, f"{ranking}; {said}"
    unsettled = [pair for pair in itertools.pairwise(models) if found[pair] == 0]
    missing = [model for model in ROBUSTNESS_ORDER if model not in models]
    if unsettled or missing:
        said = "; ".join(f"{display_name(one)} and {display_name(other)}" for one, other in unsettled)
        text = ranking + (f"; not told apart: {said}" if said else "")
        return Verdict.UNDECIDED, text + (f"; not available: {names(missing)}" if missing else "")
    return Verdict.AGREES, ranking


def order_under(results: Results, attack: str) -> tuple[Verdict, str]:
    """Paper: kh > l2 > jacobian > bp > spectral, by the median critical L₂ distance."""
    values = {m: measured(dig(results, "models", m, "critical_l2", attack)) for m in ROBUSTNESS_ORDER}

    def outcome(first: str, second: str, significance: float) -> int:
        if dig(results, "comparisons"):
            found = robuster(results, attack, first, second)
            return 0 if found is None else found.outcome
        return larger(values[first], values[second], significance)

    return _order(values, outcome)


def _over(title: str, found: Mapping[str, tuple[Verdict, str]], good: Verdict, bad: Verdict) -> Claim:
    """One claim from the same question asked under several attacks or threats."""
    lines = {name: f"{name}: {text}" for name, (_, text) in found.items()}
    supporting = tuple(lines[name] for name in found if found[name][0] is Verdict.AGREES)
    opposing = tuple(lines[name] for name in found if found[name][0] is not Verdict.AGREES)
    against = [name for name in found if found[name][0] is Verdict.CONTRADICTS]
    if against:
        return Claim(title, bad, f"Not under {lines[against[0]]}.", supporting, opposing)
    if opposing:
        first = next(name for name in found if found[name][0] is not Verdict.AGREES)
        return undecided(title, f"Open under {lines[first]}.", supporting, opposing)
    return Claim(title, good, f"So it is under {'; '.join(lines.values())}.", supporting)


def robustness_order(results: Results) -> Claim:
    """The whole order, under all three attacks."""
    title = f"The order of robustness is {' > '.join(display_name(model) for model in ROBUSTNESS_ORDER)}"
    found = {attack_name(attack): order_under(results, attack) for attack in ATTACKS}
    claim = _over(title, found, Verdict.AGREES, Verdict.CONTRADICTS)
    return claim._replace(opposing=(*claim.opposing, *heavier_penalty(results)))


def heavier_penalty(results: Results) -> list[str]:
    """What must be known of the Jacobian model where its penalty, a decay of the first layer, exceeds that of L2."""
    ours, theirs = (dig(results, "settings", group, "weight") for group in ("jacobian", "l2"))
    if dig(results, "settings", "jacobian", "target") != "preactivation" or None in (ours, theirs) or ours <= theirs:
        return []
    return [
        f"mind that our Jacobian penalty is exact and decays the first layer by {ours:g}, L2 by {theirs:g}; in the "
        f"published code it came to {EFFECTIVE_JACOBIAN_WEIGHT:.2g}, less than L2"
    ]


def order_in_the_worst_case(results: Results) -> Claim:
    """Evidence: does the order survive the strongest of many attacks, in the paper's space and on raw pixels?"""
    title = "The order of robustness is the same under the worst case of all attacks, in both spaces"
    models = dig(results, "models") or {}
    present = {threat for model in models for threat in dig(models, model, "robust_accuracy") or {}}
    found, futile = {}, []
    for threat in [name for name in THREAT_NAMES if name in present] + sorted(present - set(THREAT_NAMES)):
        values = {m: measured(dig(models, m, "robust_accuracy", threat), "worst_case") for m in ROBUSTNESS_ORDER}
        centres = [value for numbers in values.values() if (value := centre(numbers.seeds)) is not None]
        if centres and max(centres) < NO_ONE_RESISTS:
            futile.append(f"{threat_name(threat)}: no model keeps {NO_ONE_RESISTS:.0%} of the images")
            continue

        def outcome(first: str, second: str, significance: float, values: Mapping[str, Measured] = values) -> int:
            return larger(values[first], values[second], significance)

        found[threat_name(threat)] = _order(values, outcome)
    if not found:
        return undecided(title, futile[0] + "." if futile else "No robust accuracies under threat models.", (), futile)
    claim = _over(title, found, Verdict.HOLDS, Verdict.FAILS)
    return claim._replace(opposing=(*claim.opposing, *futile))


def accuracy_for_robustness(results: Results, attack: str = "pgd") -> Claim:
    """Paper: the Krotov–Hopfield network gains robustness at the price of accuracy; is it that price that buys it?"""
    title = "The Krotov–Hopfield network trades accuracy for robustness"
    accuracies = {m: measured(dig(results, "models", m), "test_accuracy") for m in ("kh", "bp", "bp_matched")}
    dearer = compare(accuracies["kh"], accuracies["bp"], smaller_is_better=True)
    farther = robuster(results, attack, "kh", "bp")
    if dearer is None or farther is None:
        return undecided(title, f"Accuracies and critical distances under {attack_name(attack)} of both are needed.")
    told = [
        (dearer.outcome > 0, f"test accuracy {dearer.text} of backprop"),
        (farther.outcome > 0, f"critical distance under {attack_name(attack)}, to backprop's: {farther.text}"),
    ]
    matched = robuster(results, attack, "kh", "bp_matched")
    level = compare(accuracies["kh"], accuracies["bp_matched"])
    if matched is not None and level is not None:
        words = f"to that of backprop stopped at the same accuracy ({level.text}): {matched.text}"
        told.append((matched.outcome > 0 and not matched.close, words))
    supporting = tuple(text for speaks_for, text in told if speaks_for)
    opposing = tuple(text for speaks_for, text in told if not speaks_for)
    numbers = f"Accuracy {dearer.short}, critical distance {farther.short} relative to backprop"
    if -1 in (dearer.outcome, farther.outcome):
        return Claim(title, Verdict.CONTRADICTS, f"{numbers}.", supporting, opposing)
    if 0 in (dearer.outcome, farther.outcome):
        return undecided(title, f"{numbers}: not told apart.", supporting, opposing)
    if matched is None:
        return Claim(title, Verdict.AGREES, f"{numbers}; no accuracy-matched network was run.", supporting, opposing)
    if matched.outcome > 0 and not matched.close:
        said = (
            f"{numbers}, and {matched.short} relative to backprop of the same accuracy: accuracy alone does not buy it."
        )
        controls = standing(controls_of(results), lambda model: robuster(results, attack, "kh", model), lenient=True)
        for_it, against_it = control_lines(controls)
        return against_controls(title, said[:-1], controls, ((*supporting, *for_it), (*opposing, *against_it)))
    if matched.outcome < 0 or matched.close:
        said = f"{numbers}, but backprop stopped at the same accuracy does as well ({matched.short})."
        return Claim(title, Verdict.SHARED, said, supporting, opposing)
    said = f"{numbers}, but it is not told apart from backprop of the same accuracy ({matched.short})."
    return undecided(title, said, supporting, opposing)

"""The verdict on a claim that the Krotov–Hopfield network beats its rivals, and whether controls do as well."""

from collections.abc import Hashable

from experiments.report.claims.comparing import MARGIN, YARDSTICKS, Standing, briefly, listed
from experiments.report.claims.verdicts import Finding, Verdict, names, undecided

NEAREST = ("kh_start", "kmeans")
"""The controls that come nearest to what the rule makes: without them little is said of it."""


def control_lines(controls: Standing) -> tuple[list[str], list[str]]:
    """The evidence for and against that controls give."""
    supporting = listed(controls.ahead, "beats the control")
    opposing = listed(controls.behind, "beaten by the control") + listed(controls.level, "no lead over the control")
    return supporting, opposing + listed(controls.open, "not told apart from the control")


def judge(rivals: Standing, controls: Standing, quantity: str, key: Hashable) -> Finding:
    """Agrees if it beats all rivals, contradicts if one of them beats it; shared if controls do as well.

    Args:
        rivals: how the Krotov–Hopfield network compares with the paper's other models.
        controls: how it compares with the controls.
        quantity: what the numbers are.
        key: names the quantity among the measured numbers.
    """
    supporting, opposing = control_lines(controls)
    supporting = listed(rivals.ahead, "beats") + supporting
    unsettled = {**rivals.level, **rivals.open}
    opposing = listed(rivals.behind, "beaten by") + listed(unsettled, "not told apart from") + opposing
    evidence = (tuple(supporting), tuple(opposing))
    if rivals.behind:
        said = f"By {quantity}, it does worse than {briefly(rivals.behind)}, each by more than {MARGIN:.0%}."
        against = frozenset((key, frozenset(("kh", rival))) for rival in rivals.behind)
        return Finding(Verdict.CONTRADICTS, said, *evidence, ("kh", *rivals.behind), against)
    if unsettled or rivals.missing or not rivals.ahead:
        parts = [f"not told apart from {briefly(unsettled)}"] if unsettled else []
        parts += [f"not available: {names(rivals.missing)}"] if rivals.missing else []
        beaten = f"; it beats {briefly(rivals.ahead)}" if rivals.ahead else ""
        return undecided(f"By {quantity}: {'; '.join(parts) or 'nothing to compare with'}{beaten}.", *evidence)
    said = f"By {quantity}, it beats {briefly(rivals.ahead)}"
    return against_controls(said, controls, evidence, ("kh", *rivals.ahead))


def against_controls(
    said: str,
    controls: Standing,
    evidence: tuple[tuple[str, ...], tuple[str, ...]],
    models: tuple[str, ...] = ("kh",),
) -> Finding:
    """The verdict on what is true of the paper's models: shared if a control does as well, open if one may."""
    equals = [model for model in controls.do_as_well if model not in YARDSTICKS]
    beaten = [model for model in controls.ahead if model not in YARDSTICKS]
    unsettled = [model for model in controls.open if model not in YARDSTICKS]
    decided, there = len(beaten) + len(equals), {*beaten, *equals, *unsettled}
    not_run = [model for model in NEAREST if model not in there]
    rest = f"; not run: {names(not_run)}" if not_run else ""
    if equals:
        sentence = f"{said}, but {len(equals)} of {decided} controls do as well: {names(equals)}."
        return Finding(Verdict.SHARED, sentence, *evidence, models)
    if unsettled:
        return undecided(f"{said}, but it is not told apart from the controls {names(unsettled)}.", *evidence)
    if decided:
        return Finding(Verdict.AGREES, f"{said}; of {decided} controls none does as well{rest}.", *evidence, models)
    return Finding(Verdict.AGREES, f"{said}; no control was run to compare with.", *evidence, models)

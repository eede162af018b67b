"""The verdict on a claim that the Krotov–Hopfield network beats its rivals, and whether controls do as well."""

from experiments.report.claims.comparing import YARDSTICKS, Standing, briefly, listed
from experiments.report.claims.verdicts import Claim, Verdict, names, undecided


def control_lines(controls: Standing) -> tuple[list[str], list[str]]:
    """The evidence for and against that controls give."""
    supporting = listed(controls.ahead, "beats the control")
    opposing = listed(controls.behind, "beaten by the control") + listed(controls.level, "within 10 % of the control")
    return supporting, opposing + listed(controls.open, "not told apart from the control")


def judge(title: str, rivals: Standing, controls: Standing, quantity: str) -> Claim:
    """Agrees if it beats all rivals, contradicts if one of them beats it; shared if controls do as well.

    Args:
        title: the claim.
        rivals: how the Krotov–Hopfield network compares with the paper's other models.
        controls: how it compares with the controls.
        quantity: what the numbers are.
    """
    supporting, opposing = control_lines(controls)
    supporting = listed(rivals.ahead, "beats") + supporting
    opposing = (
        listed(rivals.behind, "beaten by") + listed({**rivals.level, **rivals.open}, "not told apart from") + opposing
    )
    evidence = (tuple(supporting), tuple(opposing))
    if rivals.behind:
        return Claim(
            title, Verdict.CONTRADICTS, f"By {quantity}, it does worse than {briefly(rivals.behind)}.", *evidence
        )
    unsettled = {**rivals.level, **rivals.open}
    if unsettled or rivals.missing or not rivals.ahead:
        parts = [f"not told apart from {briefly(unsettled)}"] if unsettled else []
        parts += [f"not available: {names(rivals.missing)}"] if rivals.missing else []
        beaten = f"; it beats {briefly(rivals.ahead)}" if rivals.ahead else ""
        return undecided(title, f"By {quantity}: {'; '.join(parts) or 'nothing to compare with'}{beaten}.", *evidence)
    return against_controls(title, f"By {quantity}, it beats {briefly(rivals.ahead)}", controls, evidence)


def against_controls(
    title: str, said: str, controls: Standing, evidence: tuple[tuple[str, ...], tuple[str, ...]]
) -> Claim:
    """The verdict on what is true of the paper's models: shared if controls do as well."""
    equals = [model for model in controls.do_as_well if model not in YARDSTICKS]
    decided = len([model for model in (*controls.ahead, *controls.do_as_well) if model not in YARDSTICKS])
    if equals:
        sentence = f"{said}, but {len(equals)} of {decided} controls do as well: {names(equals)}."
        return Claim(title, Verdict.SHARED, sentence, *evidence)
    if decided:
        rest = f" ({names(controls.open)} cannot be told apart)" if controls.open else ""
        return Claim(
            title, Verdict.AGREES, f"{said}, and all {decided} controls that can be told apart{rest}.", *evidence
        )
    return Claim(title, Verdict.AGREES, f"{said}; no control was run to compare with.", *evidence)

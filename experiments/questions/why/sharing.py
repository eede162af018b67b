"""Hypotheses about rows that share one property with images: which of them have the spectrum, which are as robust."""

from collections.abc import Iterable

from experiments.attacks import ATTACKS, attack_label
from experiments.models import ROWS, label
from experiments.questions.deciding import alignments, numbers_of, over_seeds, sorted_lines, within
from experiments.questions.why.plan import START
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import compare, measured, robuster
from experiments.report.claims.verdicts import names, undecided
from experiments.report.numbers import dig, summary_text
from jax_bioadv.analysis.power_law import EXPONENT_TOLERANCE


def same_spectrum(results: Results, model: str) -> bool | None:
    """Whether both exponents of a layer are those of images as rows."""
    entries = alignments(results)
    if model not in entries or START not in entries:
        return None
    answers = {
        within(over_seeds(numbers_of(entries[model][key]) / numbers_of(entries[START][key]) - 1), EXPONENT_TOLERANCE)
        for key in ("images", "layer")
    }
    return False if False in answers else True if answers == {True} else None


def _spectrum_text(results: Results, model: str) -> str:
    entry = alignments(results).get(model)
    return f"α {summary_text(dig(entry, 'images'))} on images, {summary_text(dig(entry, 'layer'))} on noise"


def covariance_makes_the_spectrum(results: Results) -> Finding:
    """Gaussian rows with the images' covariance have the spectrum of images as rows."""
    answers = {model: same_spectrum(results, model) for model in _rows_there(results)}
    if "rows_gaussian" not in answers:
        return undecided("Rows with the images' covariance, and images as rows, are needed.")
    lines = {model: _spectrum_text(results, model) for model in answers}
    evidence = sorted_lines(answers, lines)
    same = [model for model, one in answers.items() if one]
    other = [model for model, one in answers.items() if one is False]
    said = (
        f"{lines['rows_gaussian']}, against {_spectrum_text(results, START)} of images as rows; the same: "
        f"{names(same) or 'none'}; another: {names(other) or 'none'}."
    )
    answer = answers["rows_gaussian"]
    if answer is None:
        return undecided(f"{said} That hangs on our tolerance of {EXPONENT_TOLERANCE:.0%}, or seeds differ.", *evidence)
    return Finding(Verdict.HOLDS if answer else Verdict.FAILS, said, *evidence)


def _rows_there(results: Results) -> list[str]:
    entries = alignments(results)
    return [model for model in ROWS if model in entries and START in entries]


def as_robust(results: Results, model: str, attack: str) -> bool | None:
    """Whether images as rows have no lead in robustness (True) or one (False) over other rows."""
    found = robuster(results, attack, START, model)
    if found is None:
        return None
    return True if found.has_no_lead() or found.outcome < 0 else False if found.outcome > 0 else None


def covariance_makes_robust(results: Results) -> Finding:
    """Gaussian rows with the images' covariance are as robust as images as rows, under every attack."""
    model = "rows_gaussian"
    found = {
        attack: one
        for attack in (*ATTACKS, "minimum_norm")
        if (one := robuster(results, attack, START, model)) is not None
    }
    if not found:
        return undecided("The critical distances of these rows and of images as rows are needed.")
    answers = {attack: as_robust(results, model, attack) for attack in found}
    lines = {attack: f"{attack_label(attack)}: images {one.text}" for attack, one in found.items()}
    supporting = tuple(lines[attack] for attack, one in answers.items() if one)
    opposing = tuple(lines[attack] for attack, one in answers.items() if not one)
    said = f"Images as rows are {'; '.join(f'{one.short} as far, {attack_label(a)}' for a, one in found.items())}"
    said += f"; {_accuracies(results, [START, model])}."
    if all(answers.values()):
        return Finding(Verdict.HOLDS, said, supporting)
    if set(answers.values()) == {False}:
        return Finding(Verdict.FAILS, said, (), opposing)
    return undecided(said, supporting, opposing)


def _accuracies(results: Results, models: Iterable[str]) -> str:
    told = [f"{label(model)} {summary_text(dig(results, 'models', model, 'test_accuracy'))}" for model in models]
    return f"test accuracy: {', '.join(told)}"


def robustness_follows(results: Results, attack: str = "minimum_norm") -> Finding:
    """Rows with the spectrum of images are as robust as images, rows with another less, at accuracies as they are."""
    agreeing: list[str] = []
    against: list[str] = []
    unclear: list[str] = []
    for model in _rows_there(results):
        spectrum, robust = same_spectrum(results, model), as_robust(results, model, attack)
        found = robuster(results, attack, START, model)
        if found is None:
            continue
        images, own = (measured(dig(results, "models", one), "test_accuracy") for one in (START, model))
        accuracy = compare(images, own)
        line = f"{label(model)}: {_spectrum_text(results, model)}; images {found.text}"
        line += f"; accuracy {accuracy.short}" if accuracy is not None else ""
        (unclear if None in (spectrum, robust) else agreeing if spectrum == robust else against).append(line)
    if not agreeing + against + unclear:
        return undecided("The critical distances of rows of one property are needed.")
    told = f"{len(agreeing)} kinds of rows agree, {len(against)} do not, {len(unclear)} are open"
    said = f"By {attack_label(attack)}, {told}"
    if against:
        said += f"; against it: {'; '.join(against)}"
        return Finding(Verdict.FAILS, f"{said}.", tuple(agreeing), (*against, *unclear))
    if unclear or not agreeing:
        return undecided(f"{said}.", agreeing, unclear)
    return Finding(Verdict.HOLDS, f"{said}.", tuple(agreeing))

"""Hypotheses about spectra: what the sum of exponents leaves for white noise, and whether penalties do their work."""

from typing import Any

import numpy as np

from experiments.models import label
from experiments.questions.deciding import numbers_of, over_seeds, sorted_lines, within
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.spectra import is_power_law
from experiments.report.claims.verdicts import names, undecided
from experiments.report.numbers import dig, per_seed, summary_text
from experiments.shaped_models import SHAPED
from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.analysis.power_law import EXPONENT_TOLERANCE

ADDING = 0.15
"""Exponents are those predicted if they miss them by less than this share of the images' own exponent (our choice)."""
MEASURED = {"images": "measured", "noise": "layer"}
"""Where results.json has the exponent on each kind of inputs."""


def on_images_alone(results: Results) -> list[str]:
    """The networks that are asked for a power law on images alone, the published one first."""
    models = dig(results, "models") or {}
    return [name for name in ("spectral", *SHAPED) if list(dig(models, name, "target") or {}) == ["images"]]


def the_sum_predicts(results: Results) -> Finding:
    """α on noise of a layer with the law on images is that of ``λ_n / c_n``, as if it were aligned with the images."""
    answers, lines = {}, {}
    for model in on_images_alone(results):
        entry = results["models"][model]
        found = gap(dig(entry, "predicted_noise"), dig(entry, "alignment", "layer"), dig(entry, "alignment", "inputs"))
        if found is not None:
            answers[model] = within(found, ADDING)
            lines[model] = (
                f"{summary_text(dig(entry, 'predicted_noise'))} predicted, "
                f"{summary_text(dig(entry, 'alignment', 'layer'))} found; in the order of the images, "
                f"{summary_text(_ordered(entry))} predicted, {summary_text(dig(entry, 'alignment', 'gain'))} found"
            )
    if "spectral" not in answers:
        return undecided("The exponents of the network with spectral regularization are needed.")
    evidence = sorted_lines(answers, lines)
    said = f"α on noise of spectral regularization: {lines['spectral']} (α of images less that of the inputs)"
    others = [model for model, answer in answers.items() if answer is not answers["spectral"]]
    said += f"; it comes out otherwise for {names(others)}." if others else "."
    if answers["spectral"] is None:
        return undecided(f"{said} That hangs on our tolerance of {ADDING:.0%}, or seeds differ.", *evidence)
    return Finding(Verdict.HOLDS if answers["spectral"] else Verdict.FAILS, said, *evidence)


def gap(one: Any, other: Any, unit: Any) -> Overall | None:
    """The second less the first, in units of the third, over seeds; None where a seed of them all is missing."""
    if not len(per_seed(one)) == len(per_seed(other)) == len(per_seed(unit)):
        return None
    return over_seeds((numbers_of(other) - numbers_of(one)) / numbers_of(unit))


def _ordered(entry: Any) -> list[float | None]:
    pairs = zip(*(per_seed(dig(entry, "alignment", key)) for key in ("images", "inputs")), strict=True)
    return [None if None in pair else pair[0] - pair[1] for pair in pairs]


def noise_rises(results: Results) -> Finding:
    """Along the directions of its spectrum on images, a layer with the law there amplifies noise more and more."""
    answers: dict[str, bool | None] = {}
    lines = {}
    for model in on_images_alone(results):
        gain = over_seeds(per_seed(dig(results, "models", model, "alignment", "gain")))
        if gain is not None:
            low, high = gain.interval or (-np.inf, np.inf)
            answers[model] = True if high < 0 else False if low > 0 else None
            lines[model] = f"exponent {summary_text(results['models'][model]['alignment']['gain'])}"
    if not answers:
        return undecided("The layers of networks with a power law on images are needed.")
    evidence = sorted_lines(answers, lines)
    told = ", ".join(f"{label(model)} {lines[model].removeprefix('exponent ')}" for model in answers)
    said = f"Exponent of the variance on noise along the directions of the spectrum on images: {told}."
    if None in answers.values() or len(set(answers.values())) > 1:
        return undecided(f"{said} It is not the same for all, or one seed has no interval.", *evidence)
    return Finding(Verdict.HOLDS if all(answers.values()) else Verdict.FAILS, said, *evidence)


def reached(results: Results, model: str, of: str | None = None) -> bool | None:
    """Whether a network has the exponents that it was to have, on the inputs named, or on all; None if it is open."""
    entry = dig(results, "models", model)
    wanted = dig(entry, "target") or {}
    answers = [
        within(gap(exponents, dig(entry, "alignment", MEASURED[kind]), exponents), EXPONENT_TOLERANCE)
        for kind, exponents in wanted.items()
        if of in (None, kind)
    ]
    return None if not answers else False if False in answers else None if None in answers else True


def reach_text(results: Results, model: str) -> str:
    """``α 1.02 on images (1 wanted), 0.95 on noise (1 wanted)``."""
    entry = dig(results, "models", model)
    parts = [
        f"{summary_text(dig(entry, 'alignment', MEASURED[kind]))} on {kind} ({summary_text(wanted)} wanted)"
        for kind, wanted in (dig(entry, "target") or {}).items()
    ]
    return f"α {', '.join(parts)}; accuracy {summary_text(dig(entry, 'test_accuracy'))}"


def of_kind(results: Results, kind: str) -> list[str]:
    """The networks of one kind that there are, by the strength of their penalty."""
    return [name for name, (one, _) in SHAPED.items() if one == kind and dig(results, "models", name)]


def both_reached(results: Results) -> Finding:
    """Some network that was to have both laws has their exponents, and laws."""
    answers = {model: reached(results, model) for model in of_kind(results, "law_both")}
    for model in [model for model, answer in answers.items() if answer]:
        laws = [is_power_law(results, model, kind) for kind in MEASURED]
        answers[model] = False if False in laws else None if None in laws else True
    if not answers:
        return undecided("The networks whose two spectra are shaped are needed.")
    lines = {model: reach_text(results, model) for model in answers}
    evidence = sorted_lines(answers, lines)
    said = "; ".join(f"{label(model)}: {line}" for model, line in lines.items()) + "."
    if True in answers.values():
        return Finding(Verdict.HOLDS, said, *evidence)
    if set(answers.values()) == {False}:
        return Finding(Verdict.FAILS, said, *evidence)
    return undecided(f"{said} That hangs on our tolerance of {EXPONENT_TOLERANCE:.0%}, or seeds differ.", *evidence)

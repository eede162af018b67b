"""Hypotheses about the spectrum on images: it is that of V C Vᵀ, and where V is aligned with C exponents add."""

import math
from typing import Any

import numpy as np

from experiments.models import label
from experiments.questions.deciding import alignments, numbers_of, of_seeds, over_seeds, sorted_lines, within
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import MARGIN
from experiments.report.claims.verdicts import names, undecided
from experiments.report.numbers import dig, number_text, p_text, per_seed, present, summary_text
from jax_bioadv.analysis.statistics import rank_correlation

ADDING = 0.15
"""Exponents add if their sum misses the one on images by less than this share of it (our choice)."""


def adds(entry: Any) -> bool | None:
    """Whether the exponents of a layer add up to the one on images."""
    return within(of_seeds(entry, "missing", "images"), ADDING)


def sum_text(entry: Any) -> str:
    """``2.86 against 1.40 + 1.30``."""
    images, layer, inputs = (summary_text(dig(entry, key)) for key in ("images", "layer", "inputs"))
    return f"{images} against {layer} + {inputs}"


def exponents_add(results: Results) -> Finding:
    """Of the Krotov–Hopfield layer; all other models are evidence."""
    entries = alignments(results)
    if "kh" not in entries:
        return undecided("The exponents of the Krotov–Hopfield layer are needed.")
    answers = {model: adds(entry) for model, entry in entries.items()}
    evidence = sorted_lines(answers, {model: sum_text(entry) for model, entry in entries.items()})
    share = of_seeds(entries["kh"], "missing", "images")
    assert share is not None
    said = f"α on images is {sum_text(entries['kh'])}, so that {100 * share.centre:.1f} % of it is missing from the sum"
    others = [model for model, answer in answers.items() if answer and model != "kh"]
    failing = [model for model, answer in answers.items() if answer is False]
    said += f"; they add for {names(others) or 'no other'} too, and do not for {names(failing) or 'none'}."
    if answers["kh"] is None:
        return undecided(f"{said} That hangs on our tolerance of {ADDING:.0%}, or seeds differ.", *evidence)
    return Finding(Verdict.HOLDS if answers["kh"] else Verdict.FAILS, said, *evidence)


def covariance_predicts(results: Results) -> Finding:
    """The layer is linear: what the training images' covariance predicts must be found on test images.

    Differences are shares of the images' own exponent: that of a layer may be 0.
    """
    entries = alignments(results)
    shares = {
        model: over_seeds((numbers_of(one["measured"]) - numbers_of(one["images"])) / numbers_of(one["inputs"]))
        for model, one in entries.items()
        if len(present(one["images"])) == len(present(one["measured"])) == len(present(one["inputs"])) > 0
    }
    if not shares:
        return undecided("No layer has exponents on training and on test images.")
    answers = {model: within(share, MARGIN) for model, share in shares.items()}
    lines = {
        model: "{} predicted, {} measured".format(
            *(summary_text(entries[model][key]) for key in ("images", "measured"))
        )
        for model in answers
    }
    evidence = sorted_lines(answers, lines)
    worst = max(shares, key=lambda model: abs(shares[model].centre))  # type: ignore[union-attr]
    said = f"The largest difference of {len(shares)} models is that of {label(worst)}: {lines[worst]}"
    failing = [model for model, answer in answers.items() if answer is False]
    said += f"; by more than {MARGIN:.0%} of the images' own exponent it is missed for {names(failing) or 'none'}."
    if all(answers.values()):
        return Finding(Verdict.HOLDS, said, *evidence)
    if False in answers.values():
        return Finding(Verdict.FAILS, said, *evidence)
    return undecided(said, *evidence)


def alignment_decides(results: Results) -> Finding:
    """Over all models: the more directions are aligned, the less is missing from the sum."""
    members = [
        (model, near, abs(missing / images))
        for model, one in alignments(results).items()
        for near, missing, images in zip(*(per_seed(one[key]) for key in ("nearby", "missing", "images")), strict=True)
        if None not in (near, missing, images)
    ]
    models = [model for model, _, _ in members]
    try:
        found = rank_correlation(np.array([m[1] for m in members]), np.array([m[2] for m in members]), models)
    except ValueError as error:
        return undecided(f"There are too few models for a rank correlation ({error}).")
    low, high = found.interval
    said = (
        f"Spearman's ρ between the share of aligned directions and the share that is missing is "
        f"{number_text(found.spearman, 2)} [{number_text(low, 2)}, {number_text(high, 2)}], p "
        f"{p_text(found.p_value, found.at_floor)}, over {len(set(models))} models"
    )
    if found.p_value is None or not math.isfinite(found.p_value) or found.p_value >= 0.05:
        return undecided(f"{said}: not told apart from none.")
    return Finding(Verdict.HOLDS if high < 0 else Verdict.FAILS if low > 0 else Verdict.UNDECIDED, f"{said}.")


def needs_alignment(results: Results) -> Finding:
    """With the same singular values and random singular vectors, exponents of the Krotov–Hopfield layer add no longer.

    Of a flat layer they do: there is nothing in it to be aligned.
    """
    entries = {model: one for model, one in alignments(results).items() if adds(one)}
    if "kh" not in entries:
        return undecided("The exponents of the Krotov–Hopfield layer do not surely add.")
    gaps = {
        model: over_seeds([_gap(*each) for each in zip(per_seed(one["unaligned"]), per_seed(one["sum"]), strict=True)])
        for model, one in entries.items()
    }
    still = {model: within(share, ADDING) for model, share in gaps.items()}
    answers = {model: None if one is None else not one for model, one in still.items()}
    lines = {
        model: f"{summary_text(one['unaligned'])} in place of {summary_text(one['sum'])}"
        for model, one in entries.items()
    }
    evidence = sorted_lines(answers, lines)
    without = [model for model, one in answers.items() if one is False]
    said = f"With random singular vectors α on images would be {lines['kh']}"
    said += f"; exponents add without alignment for {names(without)}." if without else "."
    if answers["kh"] is None:
        return undecided(f"{said} That hangs on our tolerance of {ADDING:.0%}.", *evidence)
    return Finding(Verdict.HOLDS if answers["kh"] else Verdict.FAILS, said, *evidence)


def _gap(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one / other - 1


def add_along_training(results: Results) -> Finding:
    """From images the layer's exponents add at every look, from the first to the last."""
    course = dig(results, "courses", "kh") or {}
    looks = [
        (epoch, one)
        for epoch, one in zip(dig(course, "epochs") or [], dig(course, "exponents") or [], strict=True)
        if present(dig(one, "images"))
    ]
    if len(looks) < 2:
        return undecided("The Krotov–Hopfield layer was not looked at twice.")
    answers = [adds(one) for _, one in looks]
    lines = tuple(f"epoch {epoch}: {sum_text(one)}" for epoch, one in looks)
    said = f"α on images is {sum_text(looks[0][1])} at the start and {sum_text(looks[-1][1])} at the end"
    if all(answers):
        return Finding(Verdict.HOLDS, f"{said}; it adds at all of {len(looks)} looks.", lines)
    if False in answers:
        return Finding(
            Verdict.FAILS, f"{said}; it does not add at {answers.count(False)} of {len(looks)} looks.", (), lines
        )
    return undecided(f"{said}; that hangs on our tolerance of {ADDING:.0%} at some looks.", lines)


def training_aligns(results: Results) -> Finding:
    """From noise, rows turn into images: their directions become aligned, and exponents begin to add."""
    course = dig(results, "courses", "noise_start") or {}
    looks = [one for one in dig(course, "exponents") or [] if present(dig(one, "nearby"))]
    if len(looks) < 2:
        return undecided("The layer that started from noise was not looked at twice.")
    first, last = looks[0], looks[-1]
    said = (
        f"From noise the share of aligned directions goes from {summary_text(first['nearby'])} to "
        f"{summary_text(last['nearby'])}, and α on images from {sum_text(first)} to {sum_text(last)}"
    )
    if not all(dig(course, "converged") or [False]):
        return undecided(f"{said}; but the layers have not converged, and their rows are not yet images.")
    near = over_seeds(np.subtract(numbers_of(last["nearby"]), numbers_of(first["nearby"])))
    gone = over_seeds(_missing_share(last) - _missing_share(first))
    if near is None or gone is None or near.interval is None or gone.interval is None:
        return undecided(f"{said}: one seed has no interval.")
    if near.interval[0] > 0 and gone.interval[1] < 0:
        return Finding(Verdict.HOLDS, f"{said}.")
    if near.interval[1] < 0 or gone.interval[0] > 0:
        return Finding(Verdict.FAILS, f"{said}.")
    return undecided(f"{said}: neither is sure over seeds.")


def _missing_share(entry: Any) -> np.ndarray:
    return np.abs(numbers_of(entry["missing"]) / numbers_of(entry["images"]))

"""Claims about spectra: where they are power laws, how steep, and what pruning does to them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.models import PAPER_MODELS, label
from experiments.report.claims.comparing import (
    LESS,
    MORE,
    YARDSTICKS,
    Difference,
    Results,
    Standing,
    compare,
    controls_of,
    standing,
)
from experiments.report.claims.judging import against_controls
from experiments.report.claims.verdicts import Finding, Verdict, names, undecided
from experiments.report.numbers import centre, dig, number_text, per_seed, percent_text, present, verdicts_text
from experiments.results.published import STRAIGHT_ON
from jax_bioadv.analysis.crossed import Overall, overall
from jax_bioadv.analysis.power_law import EVIDENCE, EXPONENT_TOLERANCE

INPUTS = {"images": "test images", "noise": "white noise"}
STRAIGHT = 0.99
"""Without further diagnostics a spectrum is a power law if the regression explains this share of the variance."""
HARMLESS = 0.01
"""Pruning that costs less accuracy than this is harmless (our choice)."""
MIXED = f"seeds differ or are too few, or it hangs on our tolerance of {EXPONENT_TOLERANCE:.0%}"
HELD_OUT = {
    "images": "directions from training images, variances on test images, ",
    "noise": "directions of white noise without end, variances on the inputs used, ",
}


ALTERNATIVES = ("curved_delta_bic", "broken_delta_bic", "exponential_delta_bic")


def judged(entry: Any) -> list[bool | None]:
    """For each seed whether its spectrum is a power law: by the verdict of the diagnostics, or else by r².

    None where that is open, or hangs on our tolerance: with half of it, or one and a half, it must come out the same.
    """
    verdicts = dig(entry, "verdict") or []
    if not any(verdicts):
        return [
            _same(r2 >= 1 - much * (1 - STRAIGHT) for much in (LESS, 1.0, MORE)) for r2 in present(dig(entry, "r2"))
        ]
    changes = per_seed(dig(entry, "exponent_change")) or [None] * len(verdicts)
    gains = [
        present([(dig(entry, name) or [None] * len(verdicts))[i] for name in ALTERNATIVES])
        for i in range(len(verdicts))
    ]
    judged = zip(verdicts, changes, gains, strict=True)
    return [_is_straight(*one) for one in judged if one[0] is not None]


def _is_straight(verdict: str, change: float | None, gains: list[float]) -> bool | None:
    """Whether one spectrum is a power law whichever the tolerance for the change of its exponent."""
    if change is None or verdict == "not a power law":
        return None if verdict == "undecided" else verdict == "power law"
    bends = max(gains, default=0.0) > EVIDENCE  # an alternative is better, by evidence
    tolerances = [much * EXPONENT_TOLERANCE for much in (LESS, 1.0, MORE)]
    return _same(True if change <= tolerance else False if bends else None for tolerance in tolerances)


def _same(answers: Iterable[bool | None]) -> bool | None:
    """The answer, if it is always the same."""
    different = set(answers)
    return different.pop() if len(different) == 1 else None


def is_power_law(results: Results, model: str, kind: str) -> bool | None:
    """Whether all seeds have a power law (True) or none (False); None if they differ or hang on our tolerance.

    One seed that is left of several tells of no other.
    """
    entry = dig(results, "models", model, "spectrum", kind)
    flags = judged(entry)
    return None if len(flags) == 1 < len(per_seed(dig(entry, "alpha"))) else _same(flags)


def spectrum_text(entry: Any) -> str:
    """The numbers that a verdict on a spectrum rests on."""
    r2, curvature = centre(dig(entry, "r2")), centre(dig(entry, "curvature"))
    parts = [found] if (found := verdicts_text(dig(entry, "verdict"))) else []
    parts += [f"r² {number_text(r2, 4)}"] if r2 is not None else []
    parts += [f"curvature {number_text(curvature, 2)}"] if curvature is not None else []
    change = centre(dig(entry, "exponent_change"))
    parts += [f"α changes by {percent_text(change)} along it"] if change is not None else []
    return ", ".join(parts) or "not available"


def _lines(results: Results, models: Iterable[str], kind: str, what: str = "") -> list[str]:
    return [
        f"{what}{label(model)}: {spectrum_text(dig(results, 'models', model, 'spectrum', kind))}" for model in models
    ]


def power_laws(results: Results, kind: str) -> Finding:
    """Paper: on images kh and spectral keep a power law, on white noise kh alone; the other models do not."""
    said_of = STRAIGHT_ON.get(kind, ())
    known = [m for m in PAPER_MODELS if judged(dig(results, "models", m, "spectrum", kind))]
    if "kh" not in known or len(known) < 2:
        return undecided("The spectra of the Krotov–Hopfield layer and of another model are needed.")
    laws = {model: is_power_law(results, model, kind) for model in known}
    against = [model for model in known if laws[model] is not None and laws[model] != (model in said_of)]
    mixed = [model for model in known if laws[model] is None]
    missing = [model for model in PAPER_MODELS if model not in known]
    controls = [m for m in controls_of(results) if m not in YARDSTICKS]
    equals = [model for model in controls if is_power_law(results, model, kind)]
    without = [model for model in controls if is_power_law(results, model, kind) is False]
    open_controls = [
        model
        for model in controls
        if model not in equals + without and judged(dig(results, "models", model, "spectrum", kind))
    ]
    supporting = _lines(results, [m for m in known if m not in against and m not in mixed], kind)
    supporting += _lines(results, without, kind, "control without one: ")
    opposing = _lines(results, against, kind) + _lines(results, mixed, kind, f"{MIXED}: ")
    opposing += _lines(results, equals, kind, "control with one too: ")
    opposing += _lines(results, open_controls, kind, f"control, {MIXED}: ")
    held_out = f"{kind}_held_out"
    if is_power_law(results, "kh", held_out) is not None:
        line = _lines(results, ["kh"], held_out, HELD_OUT[kind])
        (supporting if is_power_law(results, "kh", held_out) == laws["kh"] else opposing).extend(line)
    evidence = (tuple(supporting), tuple(opposing))
    examined = all(dig(results, "models", model, "spectrum", kind, "verdict") for model in known)
    by = "" if examined else f", judged by r² ≥ {STRAIGHT} alone"
    if against:
        said = "; ".join(f"{label(model)} has {'one' if laws[model] else 'none'}" for model in against)
        text = "; ".join(_lines(results, against, kind))
        said = f"Against the paper, {said} ({text}){by}."
        numbers_against = frozenset(("law", model, kind) for model in against)
        return Finding(Verdict.CONTRADICTS, said, *evidence, tuple(against), numbers_against)
    if mixed or missing:
        parts = [f"{MIXED} for {names(mixed)} ({'; '.join(_lines(results, mixed, kind))})"] if mixed else []
        parts += [f"not available: {names(missing)}"] if missing else []
        said = "; ".join(parts)
        return undecided(f"{said[0].upper()}{said[1:]}.", *evidence)
    numbers = "; ".join(_lines(results, known, kind)) + by
    if equals:
        said = f"{len(equals)} of {len(controls)} controls have one too, {names(equals)}"
        said += f", and perhaps {names(open_controls)}" if open_controls else ""
        return Finding(Verdict.SHARED, f"{numbers}; but {said}.", *evidence)
    if open_controls:
        said = f"{numbers}; but so may the controls {names(open_controls)}: {MIXED}."
        return undecided(said, *evidence)
    said = f"no control has one of {len(without)}" if without else "no control was run to compare with"
    return Finding(Verdict.AGREES, f"{numbers}; {said}.", *evidence, tuple(known))


def exponent(entry: Any) -> Overall | None:
    """The exponent over seeds; of one spectrum, with twice the regression's standard error about it."""
    alphas, errors = present(dig(entry, "alpha")), present(dig(entry, "stderr"))
    if len(set(alphas)) == 1 and errors and len(alphas) == len(per_seed(dig(entry, "alpha"))):
        return overall(alphas[:1], [(alphas[0] - 2 * errors[0], alphas[0] + 2 * errors[0])])
    return overall(alphas)


def exponents_above_the_data(results: Results) -> Finding:
    """Paper: the layer's spectrum falls faster than that of the images themselves."""
    spectra = dig(results, "baselines", "data", "spectrum")
    data = exponent(dig(spectra, "images_layer_window") or dig(spectra, "images"))

    def above(model: str, kind: str = "images") -> Difference | None:
        return compare(exponent(dig(results, "models", model, "spectrum", kind)), data)

    ours = above("kh")
    if ours is None:
        return undecided("The exponents of the Krotov–Hopfield layer and of the data are needed.")
    controls = standing(controls_of(results), above)
    supporting = [f"α {ours.text} of the data"] if ours.outcome > 0 else []
    opposing = [] if ours.outcome > 0 else [f"α {ours.text} of the data"]
    for kind, words in (("images_held_out", "held out"), ("images_weighted", "weighted by 1/n")):
        found = above("kh", kind)
        if found is not None:
            (supporting if found.outcome > 0 else opposing).append(f"{words}: α {found.text} of the data")
    others = [m for m in PAPER_MODELS if m != "kh" and (found := above(m)) is not None and found.outcome > 0]
    opposing += [f"so does that of {names(others)}"] if others else []
    opposing += [f"so does that of the controls {names(controls.ahead)}"] if controls.ahead else []
    evidence = (tuple(supporting), tuple(opposing))
    said = f"α is {ours.text} of the data"
    if ours.outcome < 0:
        against = frozenset([("alpha", "kh", "images")])
        return Finding(Verdict.CONTRADICTS, f"{said}.", *evidence, ("kh",), against)
    if ours.outcome == 0:
        return undecided(f"{said}: not told apart.", *evidence)
    # Which controls lie above the data is what counts here, not which lie above kh.
    turned = Standing({**controls.behind, **controls.level}, {}, controls.ahead, controls.open, controls.missing)
    return against_controls(said, turned, evidence)


def _gain(change: Overall | None, margin: float = 0.0) -> int | None:
    """1 if numbers rose, or fell by less than a margin, −1 if they fell by more, 0 if it is not clear."""
    if change is None:
        return None
    if change.interval is None:
        return 0
    low, high = change.interval
    risen = low > -LESS * margin if margin else low > 0
    return 1 if risen else -1 if high < -MORE * margin else 0


def _of_the_same_seeds(one: Any, other: Any) -> tuple[list[float], list[float]]:
    """Numbers of the seeds that have both."""
    pairs = [pair for pair in zip(one or (), other or (), strict=False) if None not in pair]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def pruning_is_harmless(results: Results) -> Finding:
    """Paper: pruning leaves the accuracy as it is and straightens the head of the spectrum; both of one layer."""
    layer = dig(results, "baselines", "noise_start")
    if not any(units > 0 for units in present(dig(layer, "pruned_units"))):
        return undecided("Nothing was pruned, or the pruned units are not known.")
    before, after = (dig(layer, "spectrum", kind) for kind in ("images_raw", "images"))
    raw, pruned = _of_the_same_seeds(*(dig(fits, "r2") for fits in (before, after)))
    whole, kept = _of_the_same_seeds(*(dig(layer, key) for key in ("test_accuracy_unpruned", "test_accuracy")))
    found: list[tuple[int | None, str]] = []
    if raw:
        text = f"spectrum on images, {spectrum_text(before)} before and {spectrum_text(after)} after"
        found.append((_gain(overall(np.subtract(pruned, raw))), text))
    if kept:
        text = f"test accuracy {number_text(centre(whole))} before, {number_text(centre(kept))} after"
        change = overall(dig(layer, "test_accuracy_change") or [], dig(layer, "test_accuracy_change_interval"))
        found.append((_gain(change, HARMLESS), text))
    supporting = tuple(text for outcome, text in found if outcome == 1)
    opposing = tuple(text for outcome, text in found if outcome in (0, -1))
    units = number_text(centre(dig(layer, "pruned_units")))
    said = f"{units} units pruned of the layer started from noise: " + "; ".join(text for _, text in found)
    late = [
        f"{flags.count(False)} of {len(flags)} {name}"
        for name, key in (("of these layers", "converged"), ("pairs of decoders", "decoder_converged"))
        if not all(flags := present(dig(layer, key)))
    ]
    if late:
        return undecided(f"{said}; but {' and '.join(late)} had not converged.", supporting, opposing)
    if any(outcome == -1 for outcome, _ in found):
        against = frozenset([("pruning", "noise_start")])
        return Finding(Verdict.CONTRADICTS, f"{said}.", supporting, opposing, ("noise_start",), against)
    if sum(outcome is not None for outcome, _ in found) < 2:
        return undecided(f"{said}{'; ' if found else ''}not available: accuracy or spectrum without pruning.")
    if opposing:
        return undecided(f"{said}: not told apart over seeds.", supporting, opposing)
    return Finding(Verdict.AGREES, f"{said}.", supporting, (), ("noise_start",))

"""Claims about spectra: where they are power laws, how steep, and what pruning and regularization do to them."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.stats

from experiments.published import SPECTRAL_TARGET_ALPHA, STRAIGHT_ON
from experiments.report.claims.comparing import (
    YARDSTICKS,
    Difference,
    Measured,
    Results,
    compare,
    controls_of,
    standing,
)
from experiments.report.claims.judging import against_controls
from experiments.report.claims.verdicts import Claim, Verdict, names, undecided
from experiments.report.numbers import centre, dig, number_text, percent_text, present, verdicts_text
from jax_bioadv.analysis.power_law import EXPONENT_TOLERANCE
from jax_bioadv.figures import MODEL_NAMES, display_name

INPUTS = {"images": "test images", "noise": "white noise"}
STRAIGHT = 0.99
"""Without further diagnostics a spectrum is a power law if the regression explains this share of the variance."""
HARMLESS = 0.01
"""Pruning that costs less accuracy than this is harmless (our choice)."""
SAME_ALPHA = 0.02
HELD_OUT = {
    "images": "directions from training images, variances on test images, ",
    "noise": "directions of white noise without end, variances on the inputs used, ",
}


def _judged(entry: Any) -> list[bool | None]:
    """For each seed whether its spectrum is a power law: by the verdict of the diagnostics, or else by r²."""
    verdicts = [verdict for verdict in dig(entry, "verdict") or [] if verdict is not None]
    if verdicts:
        return [None if verdict == "undecided" else verdict == "power law" for verdict in verdicts]
    return [r2 >= STRAIGHT for r2 in present(dig(entry, "r2"))]


def is_power_law(results: Results, model: str, kind: str) -> bool | None:
    """Whether all seeds have a power law (True) or none (False); None if they differ or there are none."""
    seeds = set(_judged(dig(results, "models", model, "spectrum", kind)))
    return seeds.pop() if len(seeds) == 1 else None


def _near_the_tolerance(entry: Any) -> bool:
    """Whether any seed's exponent changes by about as much as a power law's may."""
    return any(abs(change - EXPONENT_TOLERANCE) < 0.05 for change in present(dig(entry, "exponent_change")))


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
        f"{what}{display_name(model)}: {spectrum_text(dig(results, 'models', model, 'spectrum', kind))}"
        for model in models
    ]


def power_laws(results: Results, kind: str) -> Claim:
    """Paper: on images kh and spectral keep a power law, on white noise kh alone; the other models do not."""
    said_of = STRAIGHT_ON.get(kind, ())
    title = (
        f"On {INPUTS.get(kind, kind)} the spectrum is a power law for {names(said_of)}, and for no other of the five"
    )
    known = [m for m in MODEL_NAMES if _judged(dig(results, "models", m, "spectrum", kind))]
    if "kh" not in known or len(known) < 2:
        return undecided(title, "The spectra of the Krotov–Hopfield layer and of another model are needed.")
    laws = {model: is_power_law(results, model, kind) for model in known}
    against = [model for model in known if laws[model] is not None and laws[model] != (model in said_of)]
    mixed = [model for model in known if laws[model] is None]
    missing = [model for model in MODEL_NAMES if model not in known]
    controls = [m for m in controls_of(results) if m not in YARDSTICKS]
    equals = [model for model in controls if is_power_law(results, model, kind)]
    without = [model for model in controls if is_power_law(results, model, kind) is False]
    open_controls = [
        model
        for model in controls
        if model not in equals + without and _judged(dig(results, "models", model, "spectrum", kind))
    ]
    supporting = _lines(results, [m for m in known if m not in against and m not in mixed], kind)
    supporting += _lines(results, without, kind, "control without one: ")
    opposing = _lines(results, against, kind) + _lines(results, mixed, kind, "seeds differ: ")
    opposing += _lines(results, equals, kind, "control with one too: ")
    opposing += _lines(results, open_controls, kind, "control, seeds differ: ")
    held_out = f"{kind}_held_out"
    if is_power_law(results, "kh", held_out) is not None:
        line = _lines(results, ["kh"], held_out, HELD_OUT[kind])
        (supporting if is_power_law(results, "kh", held_out) == laws["kh"] else opposing).extend(line)
    evidence = (tuple(supporting), tuple(opposing))
    examined = all(dig(results, "models", model, "spectrum", kind, "verdict") for model in known)
    by = "" if examined else f", judged by r² ≥ {STRAIGHT} alone"
    if against:
        said = "; ".join(f"{display_name(model)} has {'one' if laws[model] else 'none'}" for model in against)
        text = "; ".join(_lines(results, against, kind))
        edge = [model for model in against if _near_the_tolerance(dig(results, "models", model, "spectrum", kind))]
        close = f"; {names(edge)} by little, the tolerance is {percent_text(EXPONENT_TOLERANCE)}" if edge else ""
        return Claim(title, Verdict.CONTRADICTS, f"Against the paper, {said} ({text}){by}{close}.", *evidence)
    if mixed or missing:
        parts = [f"seeds differ for {names(mixed)}"] if mixed else []
        parts += [f"not available: {names(missing)}"] if missing else []
        return undecided(title, f"{'; '.join(parts).capitalize()}.", *evidence)
    numbers = "; ".join(_lines(results, known, kind)) + by
    if equals:
        said = f"{len(equals)} of {len(controls)} controls have one too, {names(equals)}"
        said += f", and some seeds of {names(open_controls)}" if open_controls else ""
        return Claim(title, Verdict.SHARED, f"{numbers}; but {said}.", *evidence)
    if open_controls:
        said = f"{numbers}; but so have some seeds of the control {names(open_controls)}."
        return undecided(title, said, *evidence)
    said = f"no control has one of {len(without)}" if without else "no control was run to compare with"
    return Claim(title, Verdict.AGREES, f"{numbers}; {said}.", *evidence)


def _alpha(entry: Any) -> Measured:
    """Exponents, with twice the regression's standard error about them where there is one seed."""
    alphas, errors = present(dig(entry, "alpha")), present(dig(entry, "stderr"))
    if not alphas or len(errors) != len(alphas):
        return Measured(alphas)
    ends = [(alpha - 2 * error, alpha + 2 * error) for alpha, error in zip(alphas, errors, strict=True)]
    return Measured(alphas, (min(low for low, _ in ends), max(high for _, high in ends)))


def exponents_above_the_data(results: Results) -> Claim:
    """Paper: the layer's spectrum falls faster than that of the images themselves."""
    title = "The Krotov–Hopfield exponent on images lies above that of the images themselves"
    spectra = dig(results, "baselines", "data", "spectrum")
    data = _alpha(dig(spectra, "images_layer_window") or dig(spectra, "images"))

    def above(model: str, kind: str = "images") -> Difference | None:
        return compare(_alpha(dig(results, "models", model, "spectrum", kind)), data)

    ours = above("kh")
    if ours is None:
        return undecided(title, "The exponents of the Krotov–Hopfield layer and of the data are needed.")
    controls = [m for m in controls_of(results) if (found := above(m)) is not None and found.outcome > 0]
    supporting = [f"α {ours.text} of the data"] if ours.outcome > 0 else []
    opposing = [] if ours.outcome > 0 else [f"α {ours.text} of the data"]
    for kind, words in (("images_held_out", "held out"), ("images_weighted", "weighted by 1/n")):
        found = above("kh", kind)
        if found is not None:
            (supporting if found.outcome > 0 else opposing).append(f"{words}: α {found.text} of the data")
    others = [m for m in MODEL_NAMES if m != "kh" and (found := above(m)) is not None and found.outcome > 0]
    opposing += [f"so does that of {names(others)}"] if others else []
    opposing += [f"so does that of the controls {names(controls)}"] if controls else []
    evidence = (tuple(supporting), tuple(opposing))
    said = f"α is {ours.text} of the data"
    if ours.outcome < 0:
        return Claim(title, Verdict.CONTRADICTS, f"{said}.", *evidence)
    if ours.outcome == 0:
        return undecided(title, f"{said}: not told apart.", *evidence)
    # Which controls lie above the data is what counts here, not which lie above kh.
    equals = {m: found for m in controls if (found := above(m)) is not None}
    beaten = {m: found for m in controls_of(results) if m not in equals and (found := above(m)) is not None}
    sorted_controls = standing((), above)._replace(level=equals, ahead=beaten)
    return against_controls(title, said, sorted_controls, evidence)


def _pruned(entry: Any) -> bool:
    return any(units > 0 for units in present(dig(entry, "pruned_units")))


def _gain(before: list[float], after: list[float]) -> int:
    """1 if the numbers rose over seeds, −1 if they fell, 0 if a paired t-test cannot tell; one seed is compared."""
    changes = np.subtract(after, before)
    decided = len(changes) < 2 or np.ptp(changes) == 0 or scipy.stats.ttest_1samp(changes, 0.0).pvalue < 0.05
    return int(np.sign(changes.mean())) if decided else 0


def pruning_is_harmless(results: Results) -> Claim:
    """Paper: pruning leaves the accuracy as it is and straightens the head of the spectrum."""
    title = "Pruning units that stayed noise costs no accuracy and straightens the spectrum"
    network, noise_start = dig(results, "models", "kh"), dig(results, "baselines", "noise_start")
    entry = network if _pruned(network) else noise_start
    if not _pruned(entry):
        return undecided(title, "Nothing was pruned, or the pruned units are not known.")
    whose = "of the network" if entry is network else "of a layer started from noise"
    before, after = (dig(entry, "spectrum", kind) for kind in ("images_raw", "images"))
    raw, pruned = (present(dig(fits, "r2")) for fits in (before, after))
    told: list[tuple[int, str]] = []
    if raw and len(raw) == len(pruned):
        text = f"spectrum on images {whose}, {spectrum_text(before)} before and {spectrum_text(after)} after"
        told.append((_gain(raw, pruned), text))
    kept, whole = (centre(dig(noise_start, key)) for key in ("test_accuracy", "test_accuracy_unpruned"))
    if kept is not None and whole is not None:
        harmless = 1 if kept >= whole - HARMLESS else -1
        told.append((harmless, f"test accuracy {number_text(whole)} before, {number_text(kept)} after"))
    supporting = tuple(text for outcome, text in told if outcome > 0)
    opposing = tuple(text for outcome, text in told if outcome <= 0)
    units = number_text(centre(dig(entry, "pruned_units")))
    said = f"{units} units pruned: " + "; ".join(text for _, text in told)
    converged = present(dig(entry, "converged"))
    if converged and 2 * sum(converged) <= len(converged):
        said += f"; but {len(converged) - int(sum(converged))} of {len(converged)} of these layers had not converged"
        return undecided(title, f"{said}.", supporting, opposing)
    if any(outcome < 0 for outcome, _ in told):
        return Claim(title, Verdict.CONTRADICTS, f"{said}.", supporting, opposing)
    missing = [
        what
        for what, there in (("the accuracy without pruning", whole is not None), ("the spectrum without pruning", raw))
        if not there
    ]
    if missing:
        return undecided(title, f"{said}{'; ' if told else ''}not available: {' and '.join(missing)}.", supporting)
    if opposing:
        return undecided(title, f"{said}: r² before and after is not told apart.", supporting, opposing)
    return Claim(title, Verdict.AGREES, f"{said}.", supporting)


def spectral_fails_on_noise(results: Results) -> Claim:
    """Paper: spectral regularization shapes the spectrum on images and fails on white noise."""
    title = "Spectral regularization gives a power law on images and fails on white noise"
    entry = dig(results, "models", "spectral", "spectrum")
    laws = {kind: is_power_law(results, "spectral", kind) for kind in INPUTS}
    texts = {kind: f"on {INPUTS[kind]}: {spectrum_text(dig(entry, kind))}" for kind in INPUTS}
    untrained = dig(results, "baselines", "untrained", "spectrum", "noise")
    found = compare(_alpha(dig(entry, "noise")), _alpha(untrained))
    supporting = [texts[kind] for kind, wanted in (("images", True), ("noise", False)) if laws[kind] is wanted]
    opposing = [texts[kind] for kind, wanted in (("images", True), ("noise", False)) if laws[kind] is (not wanted)]
    if found is not None:
        words = f"α on white noise, {found.text} of the untrained network"
        if found.outcome == 0 or found.close:
            supporting.append(f"{words}: it changed nothing there")
        else:
            opposing.append(f"{words}: it changed something there")
    said = "; ".join(texts.values()).capitalize()
    if None in laws.values():
        return undecided(title, f"{said}: seeds differ or numbers are missing.", supporting, opposing)
    evidence = tuple(supporting), tuple(opposing)
    if laws != {"images": True, "noise": False}:
        return Claim(title, Verdict.CONTRADICTS, f"{said}.", *evidence)
    if set(_judged(dig(results, "baselines", "untrained", "spectrum", "images"))) == {True}:
        had = "; but the untrained network has a power law on images too: the penalty moves its exponent"
        return Claim(title, Verdict.SHARED, f"{said}{had}.", *evidence)
    return Claim(title, Verdict.AGREES, f"{said}.", *evidence)


def spectral_regularizer_moves(results: Results) -> Claim:
    """Check: the spectral regularizer must bring α nearer to its target than the untrained network's α is."""
    title = "The spectral regularizer brings the exponent nearer to its target"
    entry = dig(results, "models", "spectral", "spectrum", "images")
    untrained = dig(results, "baselines", "untrained", "spectrum", "images")
    ours, start = centre(dig(entry, "alpha")), centre(dig(untrained, "alpha"))
    if ours is None or start is None:
        return undecided(title, "The exponents of both networks are needed.")
    given = dig(results, "settings", "spectral", "exponent")
    target = float(given) if given is not None else SPECTRAL_TARGET_ALPHA
    errors = (centre(dig(entry, "stderr")) or 0.0, centre(dig(untrained, "stderr")) or 0.0)
    doubt = max(SAME_ALPHA, 2 * math.hypot(*errors))
    numbers = f"α on test images: {ours:.2f} after training, {start:.2f} untrained, target {target:.2f}"
    if abs(ours - start) <= doubt:
        return Claim(title, Verdict.FAILS, f"{numbers}; the regularizer moved nothing.", (), (numbers,))
    gain = abs(start - target) - abs(ours - target)
    if abs(gain) <= doubt:
        return undecided(title, f"{numbers}; both are equally far from it.")
    if gain > 0:
        return Claim(title, Verdict.HOLDS, f"{numbers}.", (numbers,))
    return Claim(title, Verdict.FAILS, f"{numbers}.", (), (numbers,))

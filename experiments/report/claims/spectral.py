"""Claims about the spectral regularizer: whether it does to the spectrum what it is there for."""

import math

from experiments.report.claims.comparing import Results, compare
from experiments.report.claims.spectra import INPUTS, MIXED, exponent, is_power_law, judged, spectrum_text
from experiments.report.claims.verdicts import Finding, Verdict, undecided
from experiments.report.numbers import dig
from experiments.results.published import SPECTRAL_TARGET_ALPHA

SAME_ALPHA = 0.02


def spectral_fails_on_noise(results: Results) -> Finding:
    """Paper: spectral regularization shapes the spectrum on images and fails on white noise."""
    entry = dig(results, "models", "spectral", "spectrum")
    laws = {kind: is_power_law(results, "spectral", kind) for kind in INPUTS}
    texts = {kind: f"on {INPUTS[kind]}: {spectrum_text(dig(entry, kind))}" for kind in INPUTS}
    untrained = dig(results, "baselines", "untrained", "spectrum", "noise")
    found = compare(exponent(dig(entry, "noise")), exponent(untrained))
    supporting = [texts[kind] for kind, wanted in (("images", True), ("noise", False)) if laws[kind] is wanted]
    opposing = [texts[kind] for kind, wanted in (("images", True), ("noise", False)) if laws[kind] is (not wanted)]
    if found is not None:
        words = f"α on white noise, {found.text} of the untrained network"
        if found.has_no_lead() and found.turned().has_no_lead():
            supporting.append(f"{words}: it changed nothing there")
        elif found.outcome:
            opposing.append(f"{words}: it changed something there")
    said = "; ".join(texts.values()).capitalize()
    if None in laws.values():
        return undecided(f"{said}: {MIXED}, or numbers are missing.", supporting, opposing)
    evidence = tuple(supporting), tuple(opposing)
    wrong = [kind for kind, wanted in (("images", True), ("noise", False)) if laws[kind] is not wanted]
    if wrong:
        against = frozenset(("law", "spectral", kind) for kind in wrong)
        return Finding(Verdict.CONTRADICTS, f"{said}.", *evidence, ("spectral",), against)
    had = set(judged(dig(results, "baselines", "untrained", "spectrum", "images")))
    if had == {True}:
        so = "the untrained network has a power law on images too: the penalty moves its exponent"
        return Finding(Verdict.SHARED, f"{said}; but {so}.", *evidence)
    if had - {False}:
        return undecided(f"{said}; but so may the untrained network have on images: {MIXED}.", *evidence)
    return Finding(Verdict.AGREES, f"{said}.", *evidence, ("spectral",))


def spectral_regularizer_moves(results: Results) -> Finding:
    """Check: the spectral regularizer must bring α nearer to its target than the untrained network's α is."""
    entry = dig(results, "models", "spectral", "spectrum", "images")
    untrained = dig(results, "baselines", "untrained", "spectrum", "images")
    found, begun = exponent(entry), exponent(untrained)
    if found is None or begun is None or found.interval is None or begun.interval is None:
        return undecided("The exponents of both networks are needed, with their intervals.")
    ours, start = found.centre, begun.centre
    given = dig(results, "settings", "spectral", "exponent")
    target = float(given) if given is not None else SPECTRAL_TARGET_ALPHA
    arm = math.hypot(found.interval[1] - ours, begun.interval[1] - start)
    doubt = max(SAME_ALPHA, arm)
    numbers = f"α on test images: {ours:.2f} after training, {start:.2f} untrained, target {target:.2f}"
    if abs(ours - start) + arm <= SAME_ALPHA:
        return Finding(Verdict.FAILS, f"{numbers}; the regularizer moved nothing.", (), (numbers,))
    if abs(ours - start) <= doubt:
        return undecided(f"{numbers}; it is not told whether anything moved.")
    gain = abs(start - target) - abs(ours - target)
    if abs(gain) <= doubt:
        return undecided(f"{numbers}; both are equally far from it.")
    if gain > 0:
        return Finding(Verdict.HOLDS, f"{numbers}.", (numbers,))
    return Finding(Verdict.FAILS, f"{numbers}.", (), (numbers,))

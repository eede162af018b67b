"""Hypotheses of question 4: where the rule lies beside the most robust mixes of penalties, and what predicts that."""

import math
from collections.abc import Sequence

import numpy as np
import scipy

from experiments.models import label
from experiments.questions.mixing.networks import (
    FIXED_ROWS,
    PENALTIES,
    SMOOTH,
    SPECTRUM,
    WORDS,
    Networks,
    called,
    networks_of,
    published_one,
)
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import LESS, MARGIN, MORE, wider
from experiments.report.claims.verdicts import undecided
from experiments.report.numbers import number_text
from jax_bioadv.analysis.held_out import HeldOutGain, held_out_gain
from jax_bioadv.analysis.pareto import Gap, distance_from_front

GAIN = 0.1
"""Measures predict robustness if they take away so much of the squared error, in networks not seen (our choice)."""


def gap_of(found: Networks, place: int, among: Sequence[int]) -> Gap:
    """How far a network lies above the front of others, of which it may be one itself.

    Where it was compared with these image by image, the intervals are of that: all networks are attacked on the same
    images, whose chance they share.
    """
    others = [one for one in among if one != place]
    if not others:
        return Gap(None, None, None, None)
    if found.names[place] in found.paired:
        return _paired_gap(found, place, others)
    error = math.hypot(found.image_error[place], float(np.median(found.image_error[others])))
    return distance_from_front(
        found.accuracy[others], found.robustness[others], found.accuracy[place], found.robustness[place], error
    )


def _paired_gap(found: Networks, place: int, others: Sequence[int]) -> Gap:
    pairs = found.paired[found.names[place]]
    robustness = {other: found.robustness[other].mean() for other in as_accurate(found, place, others)}
    pair = pairs.get(found.names[max(robustness, key=robustness.__getitem__)]) if robustness else None
    if pair is None:
        return Gap(None, None, None, None)
    seeds, interval = found.accuracy.shape[1], (pair.low, pair.high)
    if seeds < 2:
        return Gap(pair.log_ratio, interval, None, None)
    # The best of many is the best by chance too.
    arms = wider(seeds, len(robustness)) * (np.array(interval) - pair.log_ratio)
    low, high = map(float, pair.log_ratio + arms)
    return Gap(pair.log_ratio, interval, pair.log_ratio, (low, high))


def as_accurate(found: Networks, place: int, among: Sequence[int]) -> list[int]:
    """Those that are as accurate as a network, or more, by the means over seeds."""
    least = found.accuracy[place].mean()
    return [other for other in among if found.accuracy[other].mean() >= least]


def stands(gap: Gap) -> int | None:
    """1 above a front, −1 below it, 0 neither for sure; None where there is none at that accuracy, or one seed."""
    if gap.highest_interval is None:
        return None
    beyond = MORE * math.log1p(MARGIN)
    below = gap.chosen_interval is not None and gap.chosen_interval[1] < -beyond
    return int(gap.highest_interval[0] > beyond) - int(below)


def gap_text(gap: Gap) -> str:
    """``× 1.21 [1.02, 1.43] of the highest, corrected for its choice at most × 1.62``."""
    if gap.above_highest is None:
        return "no mix is as accurate"
    text = f"×\u00a0{number_text(math.exp(gap.above_highest))}"
    if gap.highest_interval is not None:
        low, high = (number_text(math.exp(end)) for end in gap.highest_interval)
        text += f" [{low}, {high}]"
    text += " of the highest"
    if gap.chosen_interval is not None:
        text += f", corrected for its choice at most ×\u00a0{number_text(math.exp(gap.chosen_interval[1]))}"
    return text


def _line(found: Networks, place: int, gap: Gap) -> str:
    return f"{called(found.names[place], found.models[place], found.changed[place])}: {gap_text(gap)}"


def rule_above_the_front(results: Results) -> Finding:
    """Of the network that is nearest to the paper's; all others on its layer are evidence."""
    found = networks_of(results)
    ours = published_one(found)
    if ours is None or not found.mixes:
        return undecided("The rule's network and mixes of penalties are needed.")
    gaps = {
        place: gap_of(found, place, found.mixes)
        for place, model in enumerate(found.models)
        if model == found.models[ours]
    }
    count = len(as_accurate(found, ours, found.mixes))
    said = f"Of {len(found.mixes)} mixes {count} are as accurate; its distance is {gap_text(gaps[ours])}."
    return _of_gap(found, gaps, gaps[ours], said)


def _of_gap(found: Networks, gaps: dict[int, Gap], decisive: Gap, said: str) -> Finding:
    supporting = tuple(_line(found, place, gap) for place, gap in gaps.items() if stands(gap) == 1)
    opposing = tuple(_line(found, place, gap) for place, gap in gaps.items() if stands(gap) == -1)
    answer = stands(decisive)
    if answer in (None, 0):
        return undecided(said, supporting, opposing)
    return Finding(Verdict.HOLDS if answer == 1 else Verdict.FAILS, said, supporting, opposing)


def fixed_rows_do_as_well(results: Results) -> Finding:
    """Rows that never learned by the rule, with the decoders of the rule's network, against that front."""
    found = networks_of(results)
    ours = published_one(found)
    places = {model: place for model in FIXED_ROWS if (place := published_one(found, model)) is not None}
    if ours is None or not places or not found.mixes:
        return undecided("The rule's network, those on fixed rows and mixes of penalties are needed.")
    gaps = {place: gap_of(found, place, found.mixes) for place in (ours, *places.values())}
    lines = tuple(_line(found, place, gap) for place, gap in gaps.items())
    rule, others = stands(gaps[ours]), {model: stands(gaps[place]) for model, place in places.items()}
    said = "; ".join(f"{label(model)}: {gap_text(gaps[place])}" for model, place in places.items())
    if rule is None or None in others.values():
        return undecided(f"Against the front of the mixes: {said}.", lines)
    as_well = [model for model, one in others.items() if one == 1 or (one == 0 and rule == 0)]
    if rule == 1 and all(one == -1 for one in others.values()):
        return Finding(Verdict.FAILS, f"Against the front of the mixes: {said}.", (), lines)
    if any(one == 1 for one in others.values()):
        return Finding(Verdict.HOLDS, f"Against the front of the mixes: {said}.", lines)
    return undecided(f"Against the front of the mixes: {said}; {len(as_well)} not told apart from it.", lines)


def mixing_helps(results: Results) -> Finding:
    """Networks of two penalties and more, each against the front of those with one at most."""
    found = networks_of(results)
    kinds = {place: sum(bool(found.changed[place].get(path)) for path in PENALTIES) for place in found.mixes}
    single = [place for place, count in kinds.items() if count < 2]
    several = [place for place, count in kinds.items() if count > 1]
    gaps = {place: gap_of(found, place, single) for place in several}
    known = {place: stands(gap) for place, gap in gaps.items() if stands(gap) is not None}
    if len(known) < 4 or len(single) < 4:
        return undecided("There are too few networks with one penalty, or with several, or one seed.")
    above = [place for place, one in known.items() if one == 1]
    chance = int(scipy.stats.binom.ppf(0.95, len(known), 0.025))
    best = max(known, key=lambda place: gaps[place].above_highest)  # type: ignore[arg-type,return-value]
    said = (
        f"{len(above)} of {len(known)} mixes of several penalties lie surely above the front of {len(single)} with one "
        f"or none, where up to {chance} may by chance; the highest is {_line(found, best, gaps[best])}."
    )
    lines = tuple(_line(found, place, gaps[place]) for place in above)
    if len(above) > chance:
        return Finding(Verdict.HOLDS, said, lines)
    if all(_no_lead(gaps[place]) for place in known):
        return Finding(Verdict.FAILS, said, lines)
    return undecided(f"{said[:-1]}; but not all are surely no higher.", lines)


def _no_lead(gap: Gap) -> bool:
    """Whether a network lies above the front that is too high by less than half a margin, if at all."""
    return gap.highest_interval is not None and gap.highest_interval[1] < LESS * math.log1p(MARGIN)


def design(found: Networks, names: Sequence[str]) -> np.ndarray:
    """Measures of each network and seed, a column each, of mean 0 and spread 1; accuracy with its square."""
    columns = [found.column(name) for name in names]
    columns += [column**2 for name, column in zip(names, columns, strict=True) if name == "test_accuracy"]
    stacked = np.column_stack(columns)
    return np.asarray((stacked - stacked.mean(axis=0)) / np.maximum(stacked.std(axis=0), 1e-12))


def gain(found: Networks, base: Sequence[str], more: Sequence[str]) -> HeldOutGain | None:
    """What measures add to the prediction of robustness, beyond accuracy and others; None of too few networks."""
    if not found.names:
        return None
    try:
        return held_out_gain(
            found.column("distance"), design(found, ("test_accuracy", *base)), design(found, more), found.groups
        )
    except ValueError:
        return None


def gain_text(found: HeldOutGain | None) -> str:
    """``34 % [20 %, 51 %]``."""
    if found is None:
        return "not available"
    low, high = found.interval
    text = f"{100 * found.share:.0f}\u00a0% [{100 * low:.0f}\u00a0%, {100 * high:.0f}\u00a0%]"
    return text.replace("-", "−")


PREDICTIONS = {
    "the spectrum": ((), SPECTRUM),
    "smoothness": ((), SMOOTH),
    "the spectrum beyond smoothness": (SMOOTH, SPECTRUM),
    "smoothness beyond the spectrum": (SPECTRUM, SMOOTH),
    **{WORDS[name]: ((), (name,)) for name in (*SPECTRUM, *SMOOTH)},
}
"""What is asked to predict robustness: beyond accuracy and the first measures, what do the second add?"""


def predicts(results: Results, question: str) -> Finding:
    """Over all networks, and over those alone that backpropagation trained as a whole: both must say so."""
    found = networks_of(results)
    gains = {"all networks": gain(found, *PREDICTIONS[question])}
    gains["mixes alone"] = gain(found.only(found.mixes), *PREDICTIONS[question])
    told = [f"{gain_text(one)} of the squared error ({where})" for where, one in gains.items()]
    said = f"At equal accuracy, {question} takes away {', '.join(told)}, in networks that the fit has not seen."
    if None in gains.values():
        return undecided(said)
    answers = {enough(one) for one in gains.values() if one is not None}
    if answers == {True}:
        return Finding(Verdict.HOLDS, said)
    return Finding(Verdict.FAILS, said) if answers == {False} else undecided(said)


def enough(found: HeldOutGain) -> bool | None:
    """Whether a gain is worth the name; None if that hangs on how much is enough, or on the networks."""
    low, high = found.interval
    return True if low > MORE * GAIN else False if high < LESS * GAIN else None

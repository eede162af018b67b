"""Hypotheses about the rows themselves: where the rule comes to rest, and what its settings do to the exponent."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.models import label
from experiments.questions.deciding import numbers_of, over_seeds, within
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import LESS, MARGIN, MORE
from experiments.report.claims.verdicts import undecided
from experiments.report.numbers import dig, per_seed, summary_text
from jax_bioadv.analysis.crossed import Overall

UNEXPLAINED = 0.1
"""The fixed point may leave this share of what tells rows apart unexplained (our choice)."""


def at_rest(results: Results) -> Finding:
    """Trained rows are the means that the rule's fixed point says."""
    entries = {name: dig(results, "rest", name) for name in dig(results, "rest") or {}}
    lines = {name: _rest_text(one) for name, one in entries.items() if dig(one, "explained")}
    if "kh" not in lines:
        return undecided("The trained layer was not held against its fixed point.")
    left = over_seeds([None if one is None else 1 - one for one in per_seed(entries["kh"]["explained"])])
    answer = within(left, UNEXPLAINED)
    told = {name: f"{label(name)}: {line}" for name, line in lines.items()}
    untrained = tuple(line for name, line in told.items() if name != "kh")
    said = f"Of what tells the rows apart, {lines['kh']}."
    if answer is None:
        return undecided(f"{said} That hangs on our tolerance of {UNEXPLAINED:.0%}.", (told["kh"],), untrained)
    return Finding(Verdict.HOLDS if answer else Verdict.FAILS, said, (told["kh"],), untrained)


def _rest_text(entry: Any) -> str:
    keys = ("explained", "explained_without_push")
    with_push, without = (summary_text(dig(entry, key)) for key in keys)
    often = [summary_text(dig(entry, f"{key}_often")) for key in keys]
    return (
        f"the fixed point explains {with_push}, means of the images won alone {without}; of the half that wins most "
        f"{often[0]} and {often[1]}; "
        f"{summary_text(dig(entry, 'rows_with_one'))} of {summary_text(dig(entry, 'rows'))} rows have one"
    )


def followed_through(results: Results) -> Finding:
    """The spectrum of the means, raised to W|W|^(p-2), is that of the trained layer."""
    entry = dig(results, "rest", "kh") or {}
    shares = {
        key: over_seeds(numbers_of(dig(entry, "predicted", key)) / numbers_of(dig(entry, "trained", key)) - 1)
        for key in ("layer", "images")
        if dig(entry, "predicted", key) and dig(entry, "trained", key)
    }
    if len(shares) < 2:
        return undecided("The exponents of the trained layer and of its means are needed.")
    answers = {key: within(share, MARGIN) for key, share in shares.items()}
    words = {"layer": "on noise", "images": "on images"}
    said = "; ".join(
        f"{words[key]}: {summary_text(entry['predicted'][key])} of the means, {summary_text(entry['trained'][key])} "
        f"of the "
        f"layer, {summary_text(dig(entry, 'linear', key))} of W before it is raised"
        for key in answers
    )
    if all(answers.values()):
        return Finding(Verdict.HOLDS, f"α {said}.")
    if False in answers.values():
        return Finding(Verdict.FAILS, f"α {said}.")
    return undecided(f"α {said}.")


def change(results: Results, variant: str, key: str) -> Overall | None:
    """By which share an exponent changes with one other setting, seed by seed, as a logarithm."""
    one, base = (dig(results, "variants", name, key) for name in (variant, "base"))
    return over_seeds(np.log(numbers_of(one) / numbers_of(base))) if one and base else None


def setting_changes(results: Results, variants: Sequence[str], expected: int, key: str = "layer") -> Finding:
    """Whether a setting raises (1), lowers (−1) or leaves (0) the exponent on noise."""
    found = {name: change(results, name, key) for name in variants}
    present = {name: one.interval for name, one in found.items() if one is not None and one.interval is not None}
    if not present:
        return undecided("Layers with this setting, of more than one seed, are needed.")
    lines = []
    answers = set()
    for name, interval in present.items():
        entry, base = dig(results, "variants", name), dig(results, "variants", "base")
        lines.append(f"{name}: {summary_text(entry[key])} against {summary_text(base[key])}")
        low, high = sorted((expected or 1) * end for end in interval)
        less, more = LESS * math.log1p(MARGIN), MORE * math.log1p(MARGIN)
        if expected:
            answers.add(True if low > more else False if high < less else None)
        else:
            answers.add(True if -less <= low and high <= less else False if high < -more or low > more else None)
    said = f"α on noise, {'; '.join(lines)}"
    if answers == {True}:
        return Finding(Verdict.HOLDS, f"{said}.", tuple(lines))
    if answers == {False}:
        return Finding(Verdict.FAILS, f"{said}.", (), tuple(lines))
    return undecided(f"{said}: a change of {MARGIN:.0%} is neither sure nor excluded.", lines)

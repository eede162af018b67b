"""Which of two models has more of something, and whether that is beyond doubt.

Critical distances are compared by ``comparisons`` of results.json: paired over images, with p-values corrected for all
pairs of an attack. Everything else, and runs without comparisons, as follows:

* with two seeds or more for both, by Welch's t-test at 5 %, on the logarithms where all numbers are positive; where
  one is infinite, by whether all seeds of one lie above all of the other, if that is rarer than 5 % by chance;
* with fewer, by whether their 95 % intervals over images are apart; where there are none, differences below 5 % count
  as none. That says something about these two networks, not about the rules that made them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from experiments.report.numbers import centre, dig, number_text, p_text, present
from jax_bioadv.figures import display_name

Results = Mapping[str, Any]
SAME_SHARE = 0.05
DOES_AS_WELL = math.log(1.1)
"""A control within 10 % of the Krotov–Hopfield network does as well as it (our choice)."""
YARDSTICKS = ("adversarial",)
"""Trained to be robust: it says how far one can get, not what made the Krotov–Hopfield network what it is."""


class Measured(NamedTuple):
    """Numbers of one model: one per seed that is there, and the interval over images that holds those of all seeds."""

    seeds: list[float]
    interval: tuple[float, float] | None = None


def measured(entry: Any, key: str = "median") -> Measured:
    """Read ``{key: […], key_interval: [[low, high], …]}``; the intervals may be missing."""
    intervals = [pair for pair in (dig(entry, f"{key}_interval") or []) if pair is not None and None not in pair]
    seeds = present(dig(entry, key))
    if len(intervals) < len(seeds) or not seeds:
        return Measured(seeds)
    return Measured(seeds, (min(float(low) for low, _ in intervals), max(float(high) for _, high in intervals)))


def larger(first: Measured, second: Measured, significance: float = 0.05) -> int:
    """1 if the first is larger beyond doubt, −1 if the second is, 0 if the numbers cannot tell."""
    if not first.seeds or not second.seeds:
        return 0
    if min(len(first.seeds), len(second.seeds)) < 2:
        if first.interval is None or second.interval is None:
            return 0
        return int(first.interval[0] > second.interval[1]) - int(second.interval[0] > first.interval[1])
    constant = len(set(first.seeds)) == 1 and len(set(second.seeds)) == 1
    values = (*first.seeds, *second.seeds)
    if constant or not all(map(math.isfinite, values)):
        if 2 / math.comb(len(values), len(first.seeds)) >= significance:
            return 0
        return int(min(first.seeds) > max(second.seeds)) - int(min(second.seeds) > max(first.seeds))
    one, other = np.array(first.seeds), np.array(second.seeds)
    if min(values) > 0:
        one, other = np.log(one), np.log(other)
    test = scipy.stats.ttest_ind_from_stats(
        one.mean(), one.std(ddof=1), one.size, other.mean(), other.std(ddof=1), other.size, equal_var=False
    )
    return 0 if not test.pvalue < significance else 1 if test.statistic > 0 else -1


class Difference(NamedTuple):
    """How the first of two compares with the second: 1 better, −1 worse, 0 not told apart; and if it is small."""

    outcome: int
    close: bool
    text: str
    short: str


def _apart(first: float, second: float) -> int:
    return 0 if abs(first - second) <= SAME_SHARE * max(abs(first), abs(second)) else 1 if first > second else -1


def compare(first: Measured, second: Measured, smaller_is_better: bool = False) -> Difference | None:
    """Compare two measured quantities; None if one is missing."""
    one, other = centre(first.seeds), centre(second.seeds)
    if one is None or other is None:
        return None
    if min(len(first.seeds), len(second.seeds)) < 2 and (first.interval is None or second.interval is None):
        outcome = _apart(one, other)
    else:
        outcome = larger(first, second)
    close = one == other or (min(one, other) > 0 and abs(math.log(one) - math.log(other)) < DOES_AS_WELL)
    text = f"{number_text(one)} against {number_text(other)}"
    return Difference(-outcome if smaller_is_better else outcome, close, text, text)


def _pair(results: Results, attack: str, first: str, second: str) -> tuple[Mapping[str, Any], float] | None:
    """The comparison of two models under an attack, and the sign that its log ratio takes for the first of them."""
    for pair in dig(results, "comparisons") or []:
        if dig(pair, "attack") == attack and dig(pair, "log_ratio") is not None:
            if (dig(pair, "first"), dig(pair, "second")) == (first, second):
                return pair, 1.0
            if (dig(pair, "first"), dig(pair, "second")) == (second, first):
                return pair, -1.0
    return None


def ratio_text(pair: Mapping[str, Any], sign: float = 1.0) -> str:
    """``× 1.52 [1.41, 1.64], farther on 78 % of images, p = 0.001``."""
    text = f"×\u00a0{number_text(math.exp(sign * pair['log_ratio']))}"
    ends = dig(pair, "log_ratio_interval")
    if ends is not None and None not in ends:
        low, high = sorted(math.exp(sign * end) for end in ends)
        text += f" [{number_text(low)}, {number_text(high)}]"
    share, p = dig(pair, "superiority"), dig(pair, "p_corrected")
    if share is not None:
        text += f", farther on {100 * (share if sign > 0 else 1 - share):.0f} % of images"
    return text + (f", p {p_text(p)}" if p is not None else "")


def robuster(results: Results, attack: str, first: str, second: str) -> Difference | None:
    """Compare two models' critical distances under an attack: by the run's comparisons, or else by the medians."""
    found = _pair(results, attack, first, second)
    if found is None:
        one, other = (measured(dig(results, "models", model, "critical_l2", attack)) for model in (first, second))
        return compare(one, other)
    pair, sign = found
    better = dig(pair, "better")
    ends = dig(pair, "log_ratio_interval") or [pair["log_ratio"]]
    close = all(end is not None and abs(end) < DOES_AS_WELL for end in ends)
    short = f"×\u00a0{number_text(math.exp(sign * pair['log_ratio']))}"
    return Difference((better == first) - (better == second), close, ratio_text(pair, sign), short)


class Standing(NamedTuple):
    """How one model compares with others: who it beats, who beats it, who is as good, and what cannot be told."""

    ahead: dict[str, Difference]
    behind: dict[str, Difference]
    level: dict[str, Difference]
    open: dict[str, Difference]
    missing: list[str]

    @property
    def do_as_well(self) -> list[str]:
        """Those that are better, or as good within the margin."""
        return [*self.behind, *self.level]


def standing(models: Iterable[str], difference: Callable[[str], Difference | None], lenient: bool = False) -> Standing:
    """Sort models by how one compares with each of them.

    Args:
        models: the others.
        difference: of the one from another.
        lenient: whether a difference within 10 % makes another as good, even where it is beyond doubt.
    """
    found = Standing({}, {}, {}, {}, [])
    for model in models:
        one = difference(model)
        if one is None:
            found.missing.append(model)
        elif one.outcome < 0:
            found.behind[model] = one
        elif one.close and (lenient or one.outcome == 0):
            found.level[model] = one
        elif one.outcome > 0:
            found.ahead[model] = one
        else:
            found.open[model] = one
    return found


def controls_of(results: Results) -> list[str]:
    """The models of a run that are controls."""
    models = dig(results, "models") or {}
    return [model for model in models if dig(models, model, "control") is True]


def listed(differences: Mapping[str, Difference], relation: str) -> list[str]:
    """A line of evidence for each model."""
    return [f"{relation} {display_name(model)}: {one.text}" for model, one in differences.items()]


def briefly(differences: Mapping[str, Difference]) -> str:
    """All models with their numbers, in part of a sentence."""
    return ", ".join(f"{display_name(model)} ({one.short})" for model, one in differences.items())

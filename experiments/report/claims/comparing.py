"""Which of two models has more of something, by how much at least and at most, by one rule for rivals and controls.

What is compared is the logarithm of a ratio with its 95 % interval over seeds and images: for critical distances that
of ``comparisons`` in results.json (paired over images; its p, corrected for all pairs of the attack, must be below 5 %
as well), for everything else that of the two models' own intervals, taken as independent.

``MARGIN`` is the ratio below which a difference is none, whoever leads. It is our choice, so that nothing may hang on
it: each outcome must be the same with half of it and with one and a half of it.

* *ahead*: the whole interval lies above 1.5 margins; *behind*: below minus 1.5 margins;
* *no lead*: it lies below half a margin, so that the other does as well, or better. Of several comparisons of which one
  without a lead would decide, each has to have none so surely that chance has a part of 5 % in all of them together;
* *open*: anything else, and whatever has no interval.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy

from experiments.models import label
from experiments.report.numbers import dig, is_alone, number_text, overall_text, p_text, per_seed
from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.figures import overall_at
from jax_bioadv.figures.comparisons import log_ratio_interval

Results = Mapping[str, Any]
MARGIN = 0.05
"""A difference of two numbers by less than this share is none (our choice)."""
LESS, MORE = 0.5, 1.5
"""What holds with our tolerances must hold with so much of them too."""
SIGNIFICANCE = 0.05
YARDSTICKS = ("adversarial",)
"""Trained to be robust: it says how far one can get, not what made the Krotov–Hopfield network what it is."""


def wider(seeds: int, among: int) -> float:
    """How many times as long the arm of a 95 % interval is, corrected for one of several comparisons (Bonferroni).

    Of several seeds by Student's t, which is too much for the part of an interval that is owed to images.
    """
    quantile = partial(scipy.stats.t.ppf, df=seeds - 1) if seeds > 1 else scipy.stats.norm.ppf
    return float(quantile(1 - 0.025 / among) / quantile(0.975))


class Difference(NamedTuple):
    """How the first of two compares with the second: the log of the ratio, positive where the first is better.

    ``interval``: at 95 % over seeds and images. ``significant``: whether a corrected p-value, where there is one, lets
    the two be told apart. ``text`` and ``short``: the numbers, for a line and for part of a sentence. ``seeds``: that
    the interval comes from.
    """

    log_ratio: float
    interval: tuple[float, float]
    significant: bool
    text: str
    short: str
    seeds: int = 1

    @property
    def outcome(self) -> int:
        """1 ahead, −1 behind, 0 neither, beyond one and a half margins."""
        beyond = MORE * math.log1p(MARGIN)
        if not self.significant:
            return 0
        return int(self.interval[0] > beyond) - int(self.interval[1] < -beyond)

    def has_no_lead(self, among: int = 1) -> bool:
        """Whether the first is ahead by less than half a margin, if it is at all.

        Args:
            among: how many comparisons there are of which one without a lead would decide.
        """
        upper = self.interval[1]
        if among > 1 and math.isfinite(upper) and math.isfinite(self.log_ratio):
            upper = self.log_ratio + wider(self.seeds, among) * (upper - self.log_ratio)
        return upper < LESS * math.log1p(MARGIN)

    def turned(self) -> "Difference":
        """The same where less is better."""
        low, high = self.interval
        return self._replace(log_ratio=-self.log_ratio, interval=(-high, -low))


def measured(entry: Any, *path: str, confidence: float = 0.95) -> Overall | None:
    """What the seeds of a quantity come to, over seeds and images; one that is left of several tells of no other."""
    found = overall_at(entry, *path, confidence=confidence)
    return found._replace(interval=None) if is_alone(found, len(per_seed(dig(entry, *path)))) else found


def compare(first: Overall | None, second: Overall | None, smaller_is_better: bool = False) -> Difference | None:
    """Compare two quantities that are not negative; None if one is missing."""
    if first is None or second is None:
        return None
    text = f"{overall_text(first, first.seeds)} against {overall_text(second, second.seeds)}"
    short = f"{number_text(first.centre)} against {number_text(second.centre)}"
    one, other = _logarithms(first), _logarithms(second)
    seeds = min((given.seeds for given in (first, second) if given.seeds > 1), default=1)
    value = float(np.nan_to_num(one[1] - other[1], nan=0.0, posinf=math.inf, neginf=-math.inf))
    if first.interval is None or second.interval is None:
        found = Difference(value, (-math.inf, math.inf), True, text, short, seeds)
    else:
        found = Difference(value, _ratio_interval(one, other), True, text, short, seeds)
    return found.turned() if smaller_is_better else found


def _logarithms(quantity: Overall) -> tuple[float, float, float]:
    """Lower end, centre and upper end; where all that was drawn is 0, a bootstrap does not know how far others lie."""
    low, high = quantity.interval or (0.0, math.inf)
    high = high if high > 0 else math.inf
    return tuple(math.log(end) if end > 0 else -math.inf for end in (low, quantity.centre, high))  # type: ignore[return-value]


def _ratio_interval(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float]:
    """The arms of both added as variances are; where a centre is 0 or infinite, from end to end."""
    if math.isfinite(one[1]) and math.isfinite(other[1]):
        value = one[1] - other[1]
        return (
            value - math.hypot(one[1] - one[0], other[2] - other[1]),
            value + math.hypot(one[2] - one[1], other[1] - other[0]),
        )
    low, high = one[0] - other[2], one[2] - other[0]
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def _pair(results: Results, attack: str, first: str, second: str) -> tuple[Mapping[str, Any], float] | None:
    """The comparison of two models under an attack, and the sign that its log ratio takes for the first of them."""
    for pair in dig(results, "comparisons") or []:
        if dig(pair, "attack") == attack:
            if (dig(pair, "first"), dig(pair, "second")) == (first, second):
                return pair, 1.0
            if (dig(pair, "first"), dig(pair, "second")) == (second, first):
                return pair, -1.0
    return None


def with_interval(pair: Mapping[str, Any], sign: float) -> str:
    """``1.52 [1.41, 1.64]``, a comparison's ratio, ∞ and 0 among them; the other way round if the sign is −1."""
    value = pair["log_ratio"]
    if value is None:  # infinite, as JSON has it
        value = math.copysign(math.inf, pair["superiority"] - 0.5)
    ratio, ends = number_text(math.exp(sign * value)), log_ratio_interval(pair)
    if ends is None:
        return ratio
    low, high = sorted(math.exp(sign * end) for end in ends)
    return f"{ratio} [{number_text(low)}, {number_text(high)}]"


def ratio_text(pair: Mapping[str, Any], sign: float = 1.0) -> str:
    """``× 1.52 [1.41, 1.64], farther on 78 % of images, p = 0.001``."""
    text = f"×\u00a0{with_interval(pair, sign)}"
    share, p = dig(pair, "superiority"), dig(pair, "p_corrected")
    if share is not None:
        text += f", farther on {100 * (share if sign > 0 else 1 - share):.0f} % of images"
    return text + (f", p {p_text(p)}" if p is not None else "")


def robuster(results: Results, attack: str, first: str, second: str) -> Difference | None:
    """Compare two models' critical distances under an attack: by the run's comparisons, or else by the medians."""
    found = _pair(results, attack, first, second)
    if found is None or dig(found[0], "log_ratio") is None:
        one, other = (
            measured(dig(results, "models", model, "critical_l2", attack), "median") for model in (first, second)
        )
        by_medians = compare(one, other)
        if found is None or by_medians is None:
            return by_medians
        p = dig(found[0], "p_corrected")  # the ratio is infinite, the test stands
        return by_medians._replace(significant=p is not None and p < SIGNIFICANCE)
    pair, sign = found
    low, high = log_ratio_interval(pair) or (-math.inf, math.inf)
    p, short = dig(pair, "p_corrected"), f"×\u00a0{number_text(math.exp(sign * pair['log_ratio']))}"
    significant, text = p is not None and p < SIGNIFICANCE, ratio_text(pair, sign)
    planned = len(dig(results, "seeds") or [1])
    seeds = dig(pair, "seeds") or planned
    if seeds < planned:
        text += f", in {seeds} of {planned} seeds"
    if seeds == 1 < planned:  # which tells nothing of the others
        low, high = -math.inf, math.inf
    told = Difference(pair["log_ratio"], (low, high), significant, text, short, seeds)
    return told if sign > 0 else told.turned()


class Standing(NamedTuple):
    """How one model compares with others: who it beats, who beats it, who does as well, and what cannot be told."""

    ahead: dict[str, Difference]
    behind: dict[str, Difference]
    level: dict[str, Difference]
    open: dict[str, Difference]
    missing: list[str]

    @property
    def do_as_well(self) -> list[str]:
        """Those over which it has no lead."""
        return [*self.behind, *self.level]


def standing(models: Iterable[str], difference: Callable[[str], Difference | None]) -> Standing:
    """Sort models by how one compares with each of them.

    Args:
        models: the others.
        difference: of the one from another.
    """
    differences = {model: difference(model) for model in models}
    there = {model: one for model, one in differences.items() if one is not None}
    found = Standing({}, {}, {}, {}, [model for model, one in differences.items() if one is None])
    for model, one in there.items():
        kind = found.behind if one.outcome < 0 else found.ahead if one.outcome > 0 else None
        (kind if kind is not None else found.level if one.has_no_lead(len(there)) else found.open)[model] = one
    return found


def controls_of(results: Results) -> list[str]:
    """The models of a run that are controls."""
    models = dig(results, "models") or {}
    return [model for model in models if dig(models, model, "control") is True]


def listed(differences: Mapping[str, Difference], relation: str) -> list[str]:
    """A line of evidence for each model."""
    return [f"{relation} {label(model)}: {one.text}" for model, one in differences.items()]


def briefly(differences: Mapping[str, Difference]) -> str:
    """All models with their numbers, in part of a sentence."""
    return ", ".join(f"{label(model)} ({one.short})" for model, one in differences.items())

"""Hypotheses of question 5: what of a network goes with the length and curvature of its boundaries, others known."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.questions.mixing.networks import BOUNDARY, SMOOTH, SPECTRUM, WORDS, Networks
from experiments.report.claims import Finding, Results, Verdict
from experiments.report.claims.comparing import SIGNIFICANCE
from experiments.report.claims.verdicts import undecided
from experiments.report.numbers import dig, number_text, p_text
from jax_bioadv.analysis.partial_ranks import partial_rank_correlation
from jax_bioadv.analysis.statistics import RankCorrelation, holm

ACCURACY = ("test_accuracy",)
ASKED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    **{f"{of} {name}": (of, name, ACCURACY) for of in BOUNDARY for name in (*SPECTRUM, *SMOOTH, "distance")},
    **{f"{of} {name} smooth": (of, name, (*ACCURACY, *SMOOTH)) for of in BOUNDARY for name in SPECTRUM},
    **{f"{of} {name} spectrum": (of, name, (*ACCURACY, *SPECTRUM)) for of in BOUNDARY for name in SMOOTH},
}
"""Every correlation that is asked for: of what, with what, and what is held fixed."""
WHERE = ("all networks", "mixes alone")


def correlations(found: Networks, resamples: int = 500) -> dict[str, dict[str, dict[str, Any] | None]]:
    """All of ``ASKED``, over all networks and over those that backpropagation trained as a whole; p-values corrected.

    Corrected together: whichever one is looked at, all were asked. They go into results.json, for they take seconds.
    """
    sets = dict(zip(WHERE, (found, found.only(found.mixes)), strict=True))
    raw = {key: {where: _one(some, *asked, resamples) for where, some in sets.items()} for key, asked in ASKED.items()}
    corrected = iter(holm([None if one is None else one.p_value for by_set in raw.values() for one in by_set.values()]))
    return {
        key: {
            where: None if (p := next(corrected)) is None or one is None else one._replace(p_value=p)._asdict()
            for where, one in by_set.items()
        }
        for key, by_set in raw.items()
    }


def _one(found: Networks, of: str, name: str, fixed: Sequence[str], resamples: int) -> RankCorrelation | None:
    given = [found.column(one) for one in fixed]
    try:
        return partial_rank_correlation(found.column(of), found.column(name), given, found.groups, resamples=resamples)
    except ValueError:
        return None


def read_correlations(results: Results) -> dict[str, dict[str, RankCorrelation | None]]:
    """As they stand in a results file."""
    return {
        key: {
            where: None if one is None else RankCorrelation(**{**one, "interval": tuple(one["interval"])})
            for where, one in by_set.items()
        }
        for key, by_set in (dig(results, "partial_correlations") or {}).items()
    }


def correlation_text(found: RankCorrelation | None) -> str:
    """``ρ = −0.42 [−0.60, −0.20], p = 0.01``."""
    if found is None:
        return "not available"
    low, high = found.interval
    ends = ", ".join(number_text(end, 2) for end in (low, high))
    return f"ρ = {number_text(found.spearman, 2)} [{ends}], p {p_text(found.p_value, found.at_floor)}"


def direction(found: RankCorrelation | None) -> int:
    """The sign of a correlation that is told apart from none, by its interval and its corrected p; else 0."""
    if found is None or found.p_value >= SIGNIFICANCE:
        return 0
    low, high = found.interval
    return int(low > 0) - int(high < 0)


def goes_with(results: Results, key: str, sign: int) -> Finding:
    """Whether two measures go together in this direction: over all networks, and over the mixes alone."""
    found = read_correlations(results).get(key, {})
    lines = _lines(found, key)
    if not all(found.get(where) for where in WHERE):
        return undecided("There are too few networks.", lines)
    said = f"{lines[0]}; {WHERE[1]}: {correlation_text(found[WHERE[1]])}."
    signs = {direction(found[where]) for where in WHERE}
    if signs == {sign}:
        return Finding(Verdict.HOLDS, said, lines)
    return Finding(Verdict.FAILS, said, (), lines) if signs == {-sign} else undecided(said, lines)


def something_is_left(results: Results, keys: Sequence[str]) -> Finding:
    """Whether one correlation of several is there, in one direction, over all networks and over the mixes alone."""
    found = read_correlations(results)
    lines = tuple(line for key in keys for line in _lines(found.get(key, {}), key))
    if not all(found.get(key, {}).get(where) for key in keys for where in WHERE):
        return undecided("There are too few networks.", lines)
    signs = {key: {direction(found[key][where]) for where in WHERE} for key in keys}
    if left := [key for key, one in signs.items() if one in ({1}, {-1})]:
        said = "; ".join(f"{_words(key)}: {correlation_text(found[key][WHERE[0]])}" for key in left)
        return Finding(Verdict.HOLDS, f"{said}.", lines)
    nowhere = sum(one == {0} for one in signs.values())
    said = f"Of {len(keys)} correlations none is told apart from none in both sets of networks, {nowhere} in neither."
    return undecided(said, lines)


def _lines(found: Mapping[str, RankCorrelation | None], key: str) -> tuple[str, ...]:
    return tuple(f"{_words(key)}, {where}: {correlation_text(found.get(where))}" for where in WHERE)


def _words(key: str) -> str:
    of, name, _ = ASKED[key]
    return f"{WORDS[of]} and {WORDS[name]}"

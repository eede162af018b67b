"""How the outcomes of all seeds become lists over seeds in results.json and rows in figures.npz."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.engine.tasks import Outcome
from experiments.results.figure_arrays import Arrays, for_drawing, stacked


def by_key(maps: Sequence[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """A map of lists over seeds; null where a seed has no number."""
    keys = dict.fromkeys(key for one in maps if one for key in one if key != "impossible")
    return {key: [one.get(key) if one else None for one in maps] for key in keys}


def keep_rows(packed: Arrays, path: str, outcomes: Sequence[Outcome | None], kinds: Sequence[str]) -> None:
    """Put ``PATH/KIND`` of shape (seeds, n) into the arrays, of those kinds that there are."""
    for kind in kinds:
        rows = [None if one is None else one.arrays.get(kind) for one in outcomes]
        if any(row is not None for row in rows):
            packed[f"{path}/{kind}"] = for_drawing(stacked(rows))

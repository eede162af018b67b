"""What results.json holds of decisions on corrupted images, from the outcomes of finished tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.engine.tasks import Outcome
from experiments.settings.measurements import CorruptionSettings
from jax_bioadv.analysis.statistics import bootstrap_interval
from jax_bioadv.data.corruptions import SEVERITIES


def corruption_entry(outcomes: Sequence[Outcome | None], chosen: CorruptionSettings) -> dict[str, Any]:
    """Accuracies of a model, one per seed, each with its interval over images beside it.

    ``source`` says what corrupted the images, ``cifar10_c`` or ``made_here``; ``clean`` and ``accuracy``, the mean over
    all corruptions and severities, are of all images; ``overturned`` is the share of the decisions on corrupted images
    that are wrong, where the one on the image itself is right: null where no image is classified correctly.
    ``by_corruption`` and ``by_severity`` are means over the other of the two.

    Args:
        outcomes: of the measurement, one per seed; None where it is missing.
        chosen: which corruptions.
    """
    names = chosen.kinds
    columns = [None if one is None else _columns(one.arrays["clean"], one.arrays["right"], names) for one in outcomes]
    found: dict[str, Any] = {"source": "cifar10_c" if chosen.cifar10_c else "made_here"}
    found |= {"images": [None if one is None else len(one.arrays["clean"]) for one in outcomes]}
    for name in ("clean", "accuracy", "overturned"):
        values, intervals = _summaries([None if one is None else one[name] for one in columns])
        found |= {name: values, f"{name}_interval": intervals}
    for name, keys in (("by_corruption", tuple(names)), ("by_severity", tuple(map(str, SEVERITIES)))):
        each = {key: _summaries([None if one is None else one[name][key] for one in columns]) for key in keys}
        found |= {name: {key: values for key, (values, _) in each.items()}}
        found |= {f"{name}_interval": {key: intervals for key, (_, intervals) in each.items()}}
    return found


def _columns(clean: np.ndarray, right: np.ndarray, names: Sequence[str]) -> Mapping[str, Any]:
    """For every quantity one number per image."""
    return {
        "clean": clean,
        "accuracy": right.mean(axis=(0, 1)),
        "overturned": 1 - right.mean(axis=(0, 1))[clean],
        "by_corruption": dict(zip(names, right.mean(axis=1), strict=True)),
        "by_severity": dict(zip(map(str, SEVERITIES), right.mean(axis=0), strict=True)),
    }


def _summaries(columns: Sequence[np.ndarray | None]) -> tuple[list[float | None], list[list[float] | None]]:
    """Means over images, and their intervals."""
    known = [None if one is None or not one.size else one for one in columns]
    return (
        [None if one is None else float(one.mean()) for one in known],
        [None if one is None else list(bootstrap_interval(one)) for one in known],
    )

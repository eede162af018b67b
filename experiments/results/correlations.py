"""Which measures of a network go with its robustness: rank correlations over models and seeds, for results.json."""

from typing import Any

import numpy as np

from experiments.results.evidence import COMPARED, finite, interval, with_infinity
from jax_bioadv.analysis import statistics


def correlations(models: dict[str, Any]) -> list[dict[str, Any]]:
    """Rank correlation of smoothness, exponents and boundaries with robustness, over all models and seeds.

    The p-values are corrected over all measures and all attacks: whoever picks the best picks among all of them.

    Args:
        models: the ``models`` of results.json.
    """
    family: list[dict[str, Any]] = []
    of_medians = any("jacobian_frobenius" in model["smoothness"] for model in models.values())
    measures_of = {name: _measures(model, of_medians) for name, model in models.items()}
    for attack in COMPARED:
        medians_of = {
            name: with_infinity(critical["median"], critical["censored"])
            for name, model in models.items()
            if (critical := model["critical_l2"].get(attack)) is not None
        }
        for measure in dict.fromkeys(name for measures in measures_of.values() for name in measures):
            members = [
                (name, value, median)
                for name, measures in measures_of.items()
                for value, median in zip(measures.get(measure, []), medians_of.get(name, []), strict=False)
                if value is not None and median is not None
            ]
            names, values, medians = zip(*members, strict=True) if members else ((), (), ())
            try:
                correlation = statistics.rank_correlation(np.array(values), np.array(medians), names)
            except ValueError:
                continue
            family.append(
                {
                    "measure": measure,
                    "attack": attack,
                    "spearman": correlation.spearman,
                    "interval": interval(correlation.interval),
                    "p": finite(correlation.p_value),
                    "p_at_floor": correlation.at_floor,
                    "members": len(members),
                    "models": len(set(names)),
                }
            )
    corrected = statistics.holm([one["p"] for one in family])
    return [{**one, "p_corrected": p} for one, p in zip(family, corrected, strict=True)]


def _measures(model: dict[str, Any], of_medians: bool) -> dict[str, list[float | None]]:
    """Everything of a model that might go with its robustness, one number per seed.

    The norm of its Jacobian is that of the median image as all measures are, or the mean where no model has medians.
    """
    measures = {**model["smoothness"]}
    if not of_medians:
        measures |= {"jacobian_frobenius": model["jacobian_norm"]["activation"]}
    measures |= {f"alpha_{kind}": model["spectrum"][kind]["alpha"] for kind in ("images", "noise")}
    for radius, boundary in model["boundaries"].items():
        measures |= {
            f"boundary_{name}_{radius}": boundary[name] for name in ("length", "curvature") if name in boundary
        }
    return {**measures, "test_accuracy": model["test_accuracy"]}

"""What goes with the critical distances of all networks once accuracy, or more, is accounted for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.results.evidence import finite, interval, with_infinity
from experiments.shaped_models import kind_of
from jax_bioadv.analysis.partial_ranks import partial_rank_correlation
from jax_bioadv.analysis.statistics import holm

EXPONENTS = ("alpha_images", "alpha_noise")
NORMS = ("relative_jacobian", "jacobian_frobenius", "row_norm")
"""Jacobians of the activation, as a share of it and as they are, and the Frobenius norm of the layer itself: with batch
norm the last two have a scale that nothing depends on."""
ACCOUNTED = (
    *((measure, ("test_accuracy",)) for measure in (*EXPONENTS, *NORMS)),
    *((measure, ("test_accuracy", NORMS[0])) for measure in EXPONENTS),
    (NORMS[0], ("test_accuracy", *EXPONENTS)),
)
"""What is correlated with the distances, and what is accounted for."""


def partial_correlations(models: Mapping[str, Any], attack: str = "minimum_norm") -> list[dict[str, Any]]:
    """Partial rank correlations over all networks and seeds, clustered by the kind of network.

    The p-values are corrected over all of them.

    Args:
        models: the ``models`` of results.json.
        attack: whose critical distances.
    """
    columns = {name: measures_of(model, attack) for name, model in models.items()}
    family: list[dict[str, Any]] = []
    for measure, given in ACCOUNTED:
        wanted = ("distance", measure, *given)
        rows = [
            (kind_of(name), *numbers)
            for name, column in columns.items()
            for numbers in zip(*(column[one] for one in wanted), strict=False)
            if None not in numbers
        ]
        if not rows:
            continue
        kinds, distance, x, *accounted = zip(*rows, strict=True)
        try:
            found = partial_rank_correlation(np.array(x), np.array(distance), accounted, kinds)
        except ValueError:
            continue
        family.append(
            {
                "measure": measure,
                "given": list(given),
                "spearman": found.spearman,
                "interval": interval(found.interval),
                "p": finite(found.p_value),
                "p_at_floor": found.at_floor,
                "members": found.members,
                "kinds": found.models,
            }
        )
    corrected = holm([one["p"] for one in family])
    return [{**one, "p_corrected": p} for one, p in zip(family, corrected, strict=True)]


def measures_of(model: Mapping[str, Any], attack: str) -> dict[str, list[float | None]]:
    """Numbers by seed; a distance is infinite where more than half of the images were never flipped."""
    critical, norms = model["critical_l2"][attack], model["jacobian_norm"]
    return {
        "distance": with_infinity(critical["median"], critical["censored"]),
        "test_accuracy": model["test_accuracy"],
        "alpha_images": model["alignment"].get("measured", []),
        "alpha_noise": model["alignment"].get("layer", []),
        "relative_jacobian": model["smoothness"].get("relative_jacobian", []),
        "jacobian_frobenius": norms["activation"],
        "row_norm": norms["preactivation"],
    }

"""The README's table of a run: ``python -m experiments.report.markdown results/quick``."""

import sys
from pathlib import Path
from typing import Any

from experiments.report import read_results
from experiments.report.numbers import centre, dig
from experiments.settings import ATTACKS
from jax_bioadv.figures import display_name, ordered_models

HEADER = ("", "test accuracy", "α on images", "α on noise", "r² on noise", "Gaussian", "FGSM", "PGD", "mean ‖∂a/∂x‖")


def markdown_table(results: dict[str, Any]) -> str:
    """One row per model: accuracy, exponents, median critical L2 distances, smoothness; means over the seeds."""
    rows = [HEADER, ("---",) * len(HEADER)]
    for name in ordered_models(results["models"]):
        model = results["models"][name]
        columns = [
            dig(model, "test_accuracy"),
            dig(model, "spectrum", "images", "alpha"),
            dig(model, "spectrum", "noise", "alpha"),
            dig(model, "spectrum", "noise", "r2"),
            *(dig(model, "critical_l2", attack, "median") for attack in ATTACKS),
            dig(model, "jacobian_norm", "activation"),
        ]
        centres = [centre(column) for column in columns]
        rows.append((display_name(name), *("–" if value is None else f"{value:.3g}" for value in centres)))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    print(markdown_table(read_results(Path(sys.argv[1]))))

"""The tables of questions 4 and 5."""

from collections.abc import Mapping

import numpy as np

from experiments.questions.mixing import boundary, front
from experiments.questions.mixing.networks import WORDS, called, networks_of
from experiments.report.claims import Results
from experiments.report.numbers import dig, summary_text, told
from experiments.report.page import Html, folded, paragraph, table
from jax_bioadv.analysis.pareto import on_front

NETWORKS = "The networks"
GAINS = "What predicts robustness"
CORRELATIONS = "Partial rank correlations"


def of_mixing(results: Results) -> Mapping[str, Html]:
    """Those of question 4."""
    return {GAINS: _gains(results), NETWORKS: _networks(results)}


def of_boundaries(results: Results) -> Mapping[str, Html]:
    """Those of question 5."""
    return {CORRELATIONS: _correlations(results), NETWORKS: _networks(results)}


def _gains(results: Results) -> Html:
    found = networks_of(results)
    mixes = found.only(found.mixes)
    rows = [
        [question, *(front.gain_text(front.gain(some, *asked)) for some in (found, mixes))]
        for question, asked in front.PREDICTIONS.items()
    ]
    said = paragraph(
        "The share of the squared error of a network's log distance that measures take away, beyond accuracy and its "
        "square (and beyond the measures named as known), in predictions for networks that the fit has not seen. "
        "Intervals: bootstrap over networks. “The spectrum” is both exponents and the participation ratio, "
        "“smoothness” the hidden Jacobian's norm, the loss's curvature and the local Lipschitz constant of the logits."
    )
    return Html(table(["", "all networks", "mixes alone"], rows) + said)


def _networks(results: Results) -> Html:
    """All of them, the most accurate first; those on the front of all are marked."""
    found = networks_of(results)
    accuracy, robustness = found.accuracy.mean(axis=1), found.robustness.mean(axis=1)
    marked = on_front(accuracy, robustness)
    measures = [name for name in WORDS if name not in ("test_accuracy", "distance")]
    rows = []
    for place in np.argsort(-accuracy):
        name = found.names[place]
        entry = dig(results, "networks", name)
        words = called(name, found.models[place], found.changed[place])
        cells = [told(entry, "test_accuracy"), told(entry, "distance", "median")]
        rows.append(
            [words, "yes" if marked[place] else "", *cells, *(summary_text(entry[measure]) for measure in measures)]
        )
    head = ["", "on the front", "test accuracy", "median distance", *(WORDS[name] for name in measures)]
    return folded(f"{len(rows)} networks", table(head, rows))


def _correlations(results: Results) -> Html:
    rows = []
    for key, by_set in boundary.read_correlations(results).items():
        of, name, fixed = boundary.ASKED[key]
        texts = [boundary.correlation_text(by_set[where]) for where in boundary.WHERE]
        rows.append([f"{WORDS[of]}, {WORDS[name]}", ", ".join(WORDS[one] for one in fixed), *texts])
    said = paragraph(
        "Spearman's ρ of what is left of both when the measures in the second column are held fixed; p corrected for "
        "all rows and both columns (Holm). Seeds of one network count as one."
    )
    return Html(table(["", "held fixed", *boundary.WHERE], rows) + said)

"""results.json of question 3, and the arrays of its figures.

``models`` has for each what a reproduction has of it, of the attacks that are made here; ``alignment`` as in question
1; ``target``, the exponents that it was to have; ``predicted_noise``, the one on noise that the sum leaves: lists over
seeds. ``partial`` has what goes with the critical distances when other measures are accounted for.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome
from experiments.questions.results import by_key, keep_rows
from experiments.questions.shape.partial import partial_correlations
from experiments.questions.shape.plan import ShapePlan
from experiments.results.collect import Collector, facts, with_overall
from experiments.results.figure_arrays import Arrays
from experiments.settings.presets import Preset
from jax_bioadv.analysis.spectra import FitImpossible, fit_variances

_SHOWN = (
    *("test_accuracy", "test_accuracy_interval", "converged", "decoder_converged", "pruned_units", "n_attacked"),
    *("critical_l2", "critical_linf", "relative_accuracy", "robust_accuracy", "jacobian_norm"),
    *("smoothness", "smoothness_interval"),
)
SPECTRA = ("measured", "layer", "inputs", "gain")


def collect(plan: ShapePlan, ledger: Ledger, preset: Preset) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector = Collector(plan, ledger)
    models = {model: _model(collector, plan, model) for model in plan.models}
    with_overall(models)
    spectrum = collector.spectrum([collector.outcome(plan.images_spectrum())] * len(collector.seeds), "the images")
    collector.notes += ledger.failure_notes()
    return {
        **facts(collector, preset, dataclasses.asdict(plan.settings)),
        "models": models,
        "baselines": {"data": {"spectrum": {"images": spectrum["images"], "noise": {}}}},
        "comparisons": collector.evidence.comparisons(),
        "partial": partial_correlations(models),
    }


def _model(collector: Collector, plan: ShapePlan, model: str) -> dict[str, Any]:
    whole = collector.model(model)
    found = [collector.outcome(plan.alignment(model, seed)) for seed in collector.seeds]
    entry = {key: whole[key] for key in _SHOWN if key in whole}
    entry["spectrum"] = collector.spectrum(found, model)
    entry["alignment"] = by_key([None if one is None else one.values.get("exponents") for one in found])
    entry["predicted_noise"] = [None if one is None else _predicted(one) for one in found]
    entry["target"] = {
        of: [exponent if exponent is not None else _of_the_rule(collector, plan, of, seed) for seed in collector.seeds]
        for of, exponent in plan.targets(model).items()
    }
    return entry


def _of_the_rule(collector: Collector, plan: ShapePlan, of: str, seed: int) -> float | None:
    layer = collector.outcome(plan.alignment("kh", seed))
    exponents = {} if layer is None else layer.values.get("exponents", {})
    return exponents.get("layer" if of == "noise" else of)


def _predicted(found: Outcome) -> float | None:
    """Exponent on noise of an aligned layer with this one's spectrum on images: of ``λ_n / c_n``, the largest first."""
    if "exponents" not in found.values:
        return None
    images, inputs = found.arrays["images"], found.arrays["inputs"]
    there = (images > 0) & (inputs > 0)
    try:
        ordered = np.sort(images[there] / inputs[there])[::-1]
        first, last = found.values["exponents"]["window"]
        return fit_variances(ordered, first, last, 0.0).alpha
    except FitImpossible:
        return None


def pack(plan: ShapePlan, ledger: Ledger) -> Arrays:
    """``spectrum/MODEL/KIND`` of shape (seeds, n)."""
    packed, seeds = Arrays(), range(plan.settings.seeds)
    for model in plan.models:
        found: Sequence[Outcome | None] = [ledger.find(plan.alignment(model, seed)) for seed in seeds]
        keep_rows(packed, f"spectrum/{model}", found, SPECTRA)
    return packed

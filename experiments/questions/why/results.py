"""results.json of question 1, and the arrays of its figures.

``models`` has for each the fits of its first layer's spectra, as a reproduction does, and ``alignment``: exponents over
one window, as lists over seeds; those that were attacked have the rest of a reproduction's entry, too. ``courses``,
``rest`` and ``variants`` have the same exponents of layers on their way, at the fixed point, with other settings.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task
from experiments.models import KNOWN
from experiments.questions.results import by_key, keep_rows
from experiments.questions.why.plan import COURSES, RESTING, WhyPlan
from experiments.results.collect import Collector, facts, with_overall
from experiments.results.figure_arrays import Arrays, for_drawing
from experiments.settings.presets import Preset

# Of a model that was attacked.
_SHOWN = (
    *("test_accuracy", "test_accuracy_interval", "converged", "decoder_converged", "pruned_units", "n_attacked"),
    *("critical_l2", "critical_linf", "relative_accuracy", "jacobian_norm"),
)
SPECTRA = ("measured", "layer", "inputs", "images", "along", "unaligned", "nearby", "by_chance")
SHOWN_ROWS = 6
"""Of each layer of rows so many are drawn."""


def collect(plan: WhyPlan, ledger: Ledger, preset: Preset) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector, settings = Collector(plan, ledger), plan.settings
    models = {model: _model(collector, plan, model) for model in settings.model_names}
    with_overall(models)
    images = collector.outcome(plan.images_spectrum())
    spectrum = collector.spectrum([images] * len(collector.seeds), "the images")

    def over(task: Callable[[int], Task]) -> list[Outcome | None]:
        return [collector.outcome(task(seed)) for seed in collector.seeds]

    def converged(task: Callable[[int], Task]) -> list[bool | None]:
        return [None if one is None else one.values["converged"] for one in over(task)]

    collector.notes += ledger.failure_notes()
    return {
        **facts(collector, preset, dataclasses.asdict(settings)),
        "models": models,
        "baselines": {"data": {"spectrum": {"images": spectrum["images"], "noise": {}}}},
        "courses": {
            name: {**_course(over(partial(plan.course, name))), "converged": converged(plan.trained(name))}
            for name in COURSES
        },
        "rest": {name: _rest(over(partial(plan.fixed_point, name))) for name in RESTING},
        "variants": {name: _exponents(over(partial(plan.variant, name))) for name in settings.variants},
        "comparisons": collector.evidence.comparisons(),
    }


def _model(collector: Collector, plan: WhyPlan, model: str) -> dict[str, Any]:
    found = [collector.outcome(plan.alignment(model, seed)) for seed in collector.seeds]
    for seed, one in enumerate(found):
        if one is not None and "exponents" not in one.values:
            collector.note(f"{model}, seed {seed}: the window holds too few eigenvalues for exponents to be added")
    entry: dict[str, Any] = {"control": KNOWN[model].control}
    if model in plan.attacked:
        whole = collector.model(model)
        entry |= {key: whole[key] for key in _SHOWN if key in whole}
    entry["spectrum"] = collector.spectrum(found, model)
    entry["alignment"] = _exponents(found)
    entry["broken"] = by_key([None if one is None else one.values["broken"] for one in found])
    for key in ("participation_ratio", "rank_me"):
        entry[key] = [None if one is None else one.values[key] for one in found]
    return entry


def _exponents(outcomes: Sequence[Outcome | None]) -> dict[str, list[Any]]:
    return by_key([None if one is None else one.values.get("exponents") for one in outcomes])


def _course(outcomes: Sequence[Outcome | None]) -> dict[str, Any]:
    """Exponents by epoch, each a list over seeds."""
    epochs: list[int] = next((one.values["epochs"] for one in outcomes if one is not None), [])
    return {
        "epochs": epochs,
        "exponents": [
            by_key([None if one is None else one.values["exponents"][place] for one in outcomes])
            for place in range(len(epochs))
        ],
    }


def _rest(outcomes: Sequence[Outcome | None]) -> dict[str, Any]:
    kinds = ("trained", "predicted", "won", "linear")
    values = [None if one is None else one.values for one in outcomes]
    plain = [None if one is None else {key: one[key] for key in one if key not in kinds} for one in values]
    exponents = {kind: by_key([None if one is None else one.get(kind) for one in values]) for kind in kinds}
    return {**by_key(plain), **exponents}


def pack(plan: WhyPlan, ledger: Ledger) -> Arrays:
    """``spectrum/MODEL/KIND`` and ``rest/LAYER/KIND`` of shape (seeds, n); ``rows/MODEL``, a few of the first seed."""
    packed, seeds = Arrays(), range(plan.settings.seeds)

    for model in plan.models:
        keep_rows(packed, f"spectrum/{model}", [ledger.find(plan.alignment(model, seed)) for seed in seeds], SPECTRA)
        first = KNOWN[model].first_layer
        layer = None if first is None else ledger.find(plan.first_layer(KNOWN[model], 0))
        if layer is not None and layer.arrays and KNOWN[model].powered:  # none where it diverged
            packed[f"rows/{model}"] = for_drawing(_synapses(layer, plan.settings.layer.p)[:SHOWN_ROWS])
    for name in RESTING:
        kinds = [f"{kind}/{on}" for kind in ("trained", "predicted", "won") for on in ("layer", "images")]
        keep_rows(packed, f"rest/{name}", [ledger.find(plan.fixed_point(name, seed)) for seed in seeds], kinds)
    return packed | {"image_shape": np.array(plan.images.dataset.image_shape)}


def _synapses(layer: Outcome, p: float) -> np.ndarray:
    """W, of which a kernel is W|W|^(p-2)."""
    if "synapses" in layer.arrays:
        return layer.arrays["synapses"]
    rows = layer.arrays["kernel"].T
    return np.sign(rows) * np.abs(rows) ** (1 / (p - 1))

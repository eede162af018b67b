"""results.json of question 2: ``sets`` has for each its data's measures, and those of every model as lists over
seeds."""

import dataclasses
from typing import Any

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome
from experiments.questions.dimension.plan import DimensionPlan
from experiments.questions.dimension.sets import names_of
from experiments.results.collect import Collector, facts
from experiments.results.figure_arrays import Arrays, for_drawing, stacked
from experiments.settings.presets import Preset
from jax_bioadv.analysis.spectra import FitImpossible, fit_variances

MEASURES = ("participation_ratio", "two_nearest", "maximum_likelihood")


def collect(plan: DimensionPlan, ledger: Ledger, preset: Preset) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector, known = Collector(plan, ledger), names_of(plan.settings.dimension)
    sets: dict[str, Any] = {}
    for name, of_set in plan.of_sets.items():
        models = {}
        for model in plan.trained:
            found = [collector.outcome(of_set.of_model(model, seed)) for seed in collector.seeds]
            for kind in ("preactivation", "activation"):
                _tell_refused(collector, found, kind, f"{model} on {name}, {kind}")
            accuracy = [None if one is None else one.values["test_accuracy"] for one in found]
            kinds = {kind: _measures(found, kind) for kind in ("preactivation", "activation")}
            models[model] = {"test_accuracy": accuracy, **kinds}
            if name.startswith("images "):
                whole = [collector.outcome(plan.of_sets["images"].of_model(model, seed)) for seed in collector.seeds]
                models[model]["alpha_of_whole"] = list(map(_over_its_window, whole, found))
        data = _measures([collector.outcome(of_set.of_data())], "data")
        sets[name] = {"dimension": known[name], "data": data, "models": models}
    collector.notes += ledger.failure_notes()
    return {**facts(collector, preset, dataclasses.asdict(plan.settings)), "sets": sets}


def _tell_refused(collector: Collector, outcomes: list[Outcome | None], kind: str, called: str) -> None:
    for outcome in outcomes:
        if outcome is not None and (why := outcome.values[kind]["fit"].get("impossible")):
            collector.note(f"no exponent of {called}: {why}")


def _over_its_window(whole: Outcome | None, cut: Outcome | None) -> float | None:
    """α before the nonlinearity on whole images, over the window that is left where images are cut."""
    window = None if cut is None else cut.values["preactivation"]["fit"].get("window")
    if whole is None or window is None:
        return None
    try:
        return fit_variances(whole.arrays["preactivation"], *window).alpha
    except FitImpossible:
        return None


def _measures(outcomes: list[Outcome | None], kind: str) -> dict[str, list[Any]]:
    values = [None if one is None else one.values[kind] for one in outcomes]
    found = {name: [None if one is None else one[name] for one in values] for name in MEASURES}
    return {"alpha": [None if one is None else one["fit"].get("alpha") for one in values], **found}


def pack(plan: DimensionPlan, ledger: Ledger) -> Arrays:
    """``spectrum/SET/data`` and ``spectrum/SET/MODEL``, of the pre-activation: (seeds, n)."""
    packed = Arrays()
    for name, of_set in plan.of_sets.items():
        tasks = {"data": [of_set.of_data()]}
        tasks |= {
            model: [of_set.of_model(model, seed) for seed in range(plan.settings.seeds)] for model in plan.trained
        }
        for what, each in tasks.items():
            found = [ledger.find(task) for task in each]
            kind = "data" if what == "data" else "preactivation"
            rows = [None if one is None else one.arrays.get(kind) for one in found]
            if any(row is not None for row in rows):
                packed[f"spectrum/{name}/{what}"] = for_drawing(stacked(rows))
    return packed

"""results.json of questions 4 and 5: ``networks`` has an entry for each recipe, with its measures as lists over
seeds."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome
from experiments.questions.mixing.boundary import correlations
from experiments.questions.mixing.networks import FIXED_ROWS, Networks, networks_of, published_one
from experiments.questions.mixing.plan import MixingPlan, OfRecipe
from experiments.questions.mixing.recipes import RULE
from experiments.results.collect import Collector, facts
from experiments.results.evidence import critical_summary, finite, interval, on_same_images
from experiments.settings.presets import Preset
from jax_bioadv.analysis import paired
from jax_bioadv.analysis.crossed import share_interval

# Of the measures of smoothness those that no margin goes into, which is a distance itself.
SMOOTHNESS = ("loss_curvature", "lipschitz_local")


def collect(plan: MixingPlan, ledger: Ledger, preset: Preset) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector = Collector(plan, ledger)
    networks = {one.recipe.name: _network(collector, one) for one in plan.of_recipes}
    collector.notes += ledger.failure_notes()
    settings = dataclasses.asdict(plan.settings)
    results = {**facts(collector, preset, settings), "networks": networks}
    found = networks_of(results)
    if found.left_out:
        results["notes"].append(f"left out of all verdicts, for want of a finite number: {', '.join(found.left_out)}")
    return {
        **results,
        "paired": _paired(collector, plan, found),
        "partial_correlations": correlations(found),
    }


def _paired(collector: Collector, plan: MixingPlan, found: Networks) -> dict[str, dict[str, list[float]]]:
    """The networks that are held against the front with every mix, on the images that both classify correctly."""
    plans = {one.recipe.name: one for one in plan.of_recipes}
    places = (published_one(found, model) for model in (RULE, *FIXED_ROWS))
    pairs = {
        found.names[ours]: {
            found.names[mix]: _pair(collector, plans, found.names[ours], found.names[mix]) for mix in found.mixes
        }
        for ours in places
        if ours is not None
    }
    return {one: {other: pair for other, pair in of_it.items() if pair is not None} for one, of_it in pairs.items()}


def _pair(collector: Collector, plans: Mapping[str, OfRecipe], first: str, second: str) -> list[float] | None:
    """Log ratio, and its interval over seeds and images; None if it is not finite, or a seed has no image for it."""
    ours, theirs = [], []
    tasks = [partial(plans[name].minimum_norm, plans[name].recipe.model) for name in (first, second)]
    for seed in collector.seeds:
        one, other = (collector.outcome(task(seed)) for task in tasks)
        if one is None or other is None or not one.arrays or not other.arrays:
            return None
        own, its = on_same_images(one, other)
        ours.append(own)
        theirs.append(its)
    if not all(map(len, ours)):
        return None
    compared = paired.paired_comparison(ours, theirs)
    numbers = [compared.log_ratio, *compared.interval]
    return numbers if np.isfinite(numbers).all() else None


def _network(collector: Collector, plan: OfRecipe) -> dict[str, Any]:
    model, seeds = plan.recipe.model, collector.seeds
    images = len(plan.images.dataset.test_images)

    def found(task: Any) -> list[Outcome | None]:
        return [collector.outcome(task(seed)) for seed in seeds]

    trained = found(lambda seed: plan.model(model, seed))
    accuracy = [None if one is None else one.values["test_accuracy"] for one in trained]
    attacked = [
        one.arrays["critical_l2"] if one is not None and one.arrays else None
        for one in found(lambda seed: plan.minimum_norm(model, seed))
    ]
    jacobian = found(lambda seed: plan.jacobian(model, seed))
    smoothness = found(lambda seed: plan.smoothness(model, seed))
    aligned = found(plan.alignment)
    boundaries = found(lambda seed: plan.boundaries(model, seed))
    radius = f"radius_{min(plan.settings.boundaries.radii):g}"
    return {
        "model": model,
        "changed": dict(plan.recipe.changed),
        "test_accuracy": accuracy,
        "test_accuracy_interval": [None if one is None else interval(share_interval(one, images)) for one in accuracy],
        "distance": critical_summary(attacked),
        "alpha_images": [_exponent(one, "images") for one in aligned],
        "alpha_noise": [_exponent(one, "noise") for one in aligned],
        "participation_ratio": [_value(one, "participation_ratio") for one in aligned],
        "jacobian_norm": [_mean(one, "activation") for one in jacobian],
        **{name: [_median(one, name) for one in smoothness] for name in SMOOTHNESS},
        "boundary_length": [_value(_value(one, radius), "length") for one in boundaries],
        "boundary_curvature": [_value(_value(one, radius), "curvature") for one in boundaries],
    }


def _value(outcome: Any, name: str) -> Any:
    values = outcome.values if isinstance(outcome, Outcome) else outcome
    return values.get(name) if isinstance(values, Mapping) else None


def _exponent(outcome: Outcome | None, kind: str) -> float | None:
    return None if outcome is None else outcome.values["fits"][kind].get("alpha")


def _mean(outcome: Outcome | None, name: str) -> float | None:
    return None if outcome is None or not outcome.arrays else finite(float(outcome.arrays[name].mean()))


def _median(outcome: Outcome | None, name: str) -> float | None:
    if outcome is None or not outcome.arrays:
        return None
    values = outcome.arrays[name]
    known = values[~np.isnan(values)]
    return finite(float(np.median(known))) if known.size else None

"""results.json of the study of depth, schema 1: ``models`` has each model at each depth, MODEL-DEPTH, with its taps.

``depths`` says which there are. ``comparisons`` are those of :meth:`DepthPlan.pairs`; rank correlations are over
networks of all depths together.
"""

import dataclasses
from typing import Any

from experiments.depth_plan import DepthPlan, model_and_depth
from experiments.engine.ledger import Ledger
from experiments.measuring.threats import left_out
from experiments.results.collect import Collector, facts, with_overall
from experiments.results.correlations import correlations
from experiments.results.taps import of_taps
from experiments.settings.presets import Preset
from experiments.stacks import STACK_MODELS


def collect_depth(plan: DepthPlan, ledger: Ledger, preset: Preset) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector = Collector(plan, ledger)
    models = {}
    for name in plan.models:
        model, depth = model_and_depth(name)
        entry = {**collector.model(name), "taps": of_taps(plan, collector, name), "depth": depth}
        models[name] = entry | ({"control": True} if STACK_MODELS[model].control else {})
    with_overall(models)
    collector.notes += [*left_out(plan.images), *ledger.failure_notes()]
    return {
        **facts(collector, preset, dataclasses.asdict(plan.study)),
        "depths": list(plan.study.depths),
        "models": models,
        "baselines": {},
        "comparisons": collector.evidence.comparisons(),
        "correlations": correlations(models),
    }

"""results.json of an evaluation, schema 1: the network under its name, what is inside it, and what it stands beside.

``network`` says how it was made and in which space its images, and so ε and all lengths, are; ``models`` has its entry
alone, where ``spectrum`` and ``jacobian_norm`` are those of the last tap, and ``taps`` has them all. In raw pixels
``critical_l2_in_norms`` has critical perturbations once more, that of each image divided by the image's L_p norm, which
is its length where images are divided by their norm. ``references`` are the models of a published run: of the same data
and in the space that it names.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments.attacks import ATTACKS
from experiments.engine.ledger import Ledger
from experiments.evaluation_plan import EvaluationPlan
from experiments.measuring.threats import left_out
from experiments.results.collect import Collector, facts, with_overall
from experiments.results.evidence import critical_summary
from experiments.results.schema import read_results
from experiments.results.taps import of_taps
from experiments.settings.presets import Preset
from jax_bioadv.storage import read_json

REFERENCES = Path(__file__).parents[2] / "results" / "quick"
"""The run whose models stand beside, if nothing else is said."""
# Of a reference, what is shown beside other networks.
_SHOWN = (
    *("test_accuracy", "n_attacked", "control", "converged", "pruned_units", "decoder_converged", "spectrum"),
    *("critical_l2", "critical_linf", "jacobian_norm", "robust_accuracy", "masking", "certified_l2", "smoothness"),
    *("boundaries", "corruptions"),
    *(f"{name}_{what}" for name in ("test_accuracy", "smoothness") for what in ("interval", "overall")),
)


def collect_evaluation(plan: EvaluationPlan, ledger: Ledger, preset: Preset, references: Path | None) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done.

    Args:
        plan: of the evaluation.
        ledger: with the outcomes.
        preset: that the settings started from.
        references: folder of a published run; None for none.
    """
    collector, images = Collector(plan, ledger), plan.images
    model = collector.model(plan.name)
    model["taps"] = of_taps(plan, collector, plan.name)
    if images.space == "raw":
        model["critical_l2_in_norms"] = _in_norms(plan, collector)
    models = {plan.name: model}
    with_overall(models)
    beside = None if references is None else _references(collector, references)
    collector.notes += [*_not_measured(plan), *left_out(images), *ledger.failure_notes()]
    found = facts(collector, preset, dataclasses.asdict(plan.evaluation))
    return {
        **found,
        "network": {
            "name": plan.name,
            **dataclasses.asdict(plan.network.brought),
            "space": images.space,
            "taps": list(plan.taps),
            "parameters": int(sum(array.size for array in plan.network.state.values())),
        },
        "models": models,
        "baselines": {},
        "references": beside,
    }


def _in_norms(plan: EvaluationPlan, collector: Collector) -> dict[str, Any]:
    """Critical L2 perturbations as they are where every image is divided by its norm."""
    norms: np.ndarray = plan.images.test_norms  # type: ignore[attr-defined]
    found = {attack: collector.evidence.critical(attack, plan.name, 0) for attack in (*ATTACKS, "minimum_norm")}
    there = {attack: None if one is None else one.arrays for attack, one in found.items()}
    return {
        attack: critical_summary([None if one is None else one["critical_l2"] / norms[one["images"]]])
        for attack, one in there.items()
    }


def _references(collector: Collector, folder: Path) -> dict[str, Any] | None:
    """The models of a published run, if it has the same data; else a note says why they are not shown."""
    try:
        results = read_results(folder)
    except (OSError, ValueError) as error:
        collector.note(f"there are no reference models: {error}")
        return None
    data = collector.plan.images.dataset
    if results["dataset"]["sha256"] != data.sha256:
        collector.note(f"the reference models of {folder.name} are of {results['dataset']['name']}, not of {data.name}")
        return None
    published = read_json(folder / "results.json")  # as it stands: nothing infinite
    models = published["models"].items()
    return {
        **{key: published[key] for key in ("preset", "seeds")},
        "from": folder.name,
        "space": "unit",
        "threats": published["settings"]["threats"],
        "models": {name: {key: one[key] for key in one if key in _SHOWN} for name, one in models},
    }


def _not_measured(plan: EvaluationPlan) -> list[str]:
    """What the network is not of a kind for."""
    notes = []
    if not plan.has_bounds:
        notes.append("certified bounds are not measured: they hold for a jax_bioadv.Network of one hidden layer")
    if plan.taps == ("logits",):
        notes.append("spectra and Jacobians are those of the logits: the network lists no taps and --taps names none")
    if plan.images.space == "raw":
        notes.append("threats to unit-norm images are not measured: the network takes raw pixels")
    return notes

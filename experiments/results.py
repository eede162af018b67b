"""results.json, schema 1: everything that a run found, from the outcomes of its tasks.

Lists have one entry per seed, null where a training diverged or a fit is impossible; the reason stands in ``notes``.
"""

import dataclasses
import math
import platform
from collections import defaultdict
from importlib.metadata import version
from typing import Any

import jax

from experiments.plan import Plan
from experiments.settings import ATTACKS, CONTROLS, PRESETS, PUBLISHED_NOISE, SCHEMA
from experiments.tasks import Ledger, Outcome, Task
from jax_bioadv.analysis import robustness

FIT_KEYS = ("alpha", "stderr", "r2", "window")


def environment(precision: str) -> dict[str, str]:
    device = jax.devices()[0]
    packages = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {
        **packages,
        "python": platform.python_version(),
        "device": device.device_kind,
        "platform": f"{device.platform}, {platform.system()} {platform.machine()}",
        "precision": precision,
    }


class Collector:
    """Reads finished tasks and turns them into the maps of results.json; collects notes on what is missing."""

    def __init__(self, plan: Plan, ledger: Ledger):
        self.plan, self.ledger = plan, ledger
        self.seeds = list(range(plan.settings.seeds))
        self.notes: list[str] = []

    def outcome(self, task: Task) -> Outcome | None:
        """The outcome of a task that was done and did not diverge."""
        outcome = self.ledger.find(task)
        if outcome is not None and outcome.diverged:
            self.note(outcome.diverged)
            return None
        return outcome

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def spectrum(self, outcomes: list[Outcome | None], name: str) -> dict[str, Any]:
        """Fits by kind of spectrum, each a map of lists over seeds."""
        done = [outcome for outcome in outcomes if outcome is not None]
        kinds = dict.fromkeys(kind for outcome in done for kind in outcome.values["fits"])
        found: dict[str, Any] = {}
        for kind in dict.fromkeys(["images", "noise", *kinds]):
            fits = [None if outcome is None else outcome.values["fits"].get(kind) for outcome in outcomes]
            for seed, fit in zip(self.seeds, fits, strict=True):
                if fit is not None and "impossible" in fit:
                    self.note(f"spectrum of {name} on {kind.replace('_', ' ')}, seed {seed}: {fit['impossible']}")
            found[kind] = {key: [fit.get(key) if fit else None for fit in fits] for key in FIT_KEYS}
        return found

    def model(self, model: str) -> dict[str, Any]:
        plan, seeds = self.plan, self.seeds
        trained = [self.outcome(plan.model(model, seed)) for seed in seeds]
        found: dict[str, Any] = {
            key: [None if outcome is None else outcome.values[key] for outcome in trained]
            for key in ("test_accuracy", "converged", "pruned_units")
        }
        if model in CONTROLS:
            found["control"] = True
        for seed, outcome in zip(seeds, trained, strict=True):
            if outcome is not None and not outcome.values.get("decoder_converged", True):
                self.note(f"{model}-{seed}: the decoder's loss still changes by more than 1 % in its last quarter")
        found["spectrum"] = self.spectrum([self.outcome(plan.spectra(model, seed)) for seed in seeds], model)
        found |= self._robustness(model)
        norms = [self.outcome(plan.jacobian(model, seed)) for seed in seeds]
        found["jacobian_norm"] = {
            "activation": [None if one is None else _finite(float(one.arrays["activation"].mean())) for one in norms],
            "preactivation": [None if one is None else one.values["preactivation"] for one in norms],
        }
        return found

    def _robustness(self, model: str) -> dict[str, Any]:
        attacked: list[int | None] = [None for _ in self.seeds]
        critical: dict[str, dict[str, Any]] = {"critical_l2": {}, "critical_linf": {}}
        curves: dict[str, Any] = {}
        not_monotone: dict[str, list[int | None]] = {}
        for attack in (*ATTACKS, PUBLISHED_NOISE):
            outcomes = [self.outcome(self.plan.attack(attack, model, seed)) for seed in self.seeds]
            for seed, outcome in zip(self.seeds, outcomes, strict=True):
                if outcome is not None and attack != PUBLISHED_NOISE:
                    attacked[seed] = outcome.values["n_attacked"]
                    if not attacked[seed]:
                        self.note(f"{model}, seed {seed}: no test image is classified correctly, so none was attacked")
            not_monotone[attack] = [one.values.get("not_monotone") if one is not None else None for one in outcomes]
            arrays = [outcome.arrays if outcome is not None and outcome.arrays else None for outcome in outcomes]
            for key, by_attack in critical.items():
                by_attack[attack] = _critical([None if one is None else one[key] for one in arrays])
            for seed, share in zip(self.seeds, critical["critical_l2"][attack]["censored"], strict=True):
                if share is not None and share > 0.5:
                    self.note(f"{model}, {attack}, seed {seed}: the median is infinite, {share:.1%} were never flipped")
            curves[attack] = {
                "epsilons": next((one["epsilons"].tolist() for one in arrays if one is not None), []),
                "accuracy": [None if one is None else one["relative_accuracy"].tolist() for one in arrays],
            }
        return {"n_attacked": attacked, **critical, "not_monotone": not_monotone, "relative_accuracy": curves}


def _critical(members: list[Any]) -> dict[str, Any]:
    """Median (null when more than half of the images were never flipped), its 95 % interval, share of censored."""
    found: dict[str, list[Any]] = defaultdict(list)
    for lengths in members:
        if lengths is None:
            for key in ("median", "median_interval", "censored"):
                found[key].append(None)
            continue
        found["median"].append(_finite(robustness.median_with_censoring(lengths)))
        found["median_interval"].append([_finite(end) for end in robustness.median_interval(lengths)])
        found["censored"].append(robustness.censored_share(lengths))
    return dict(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def collect(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector, settings, dataset = Collector(plan, ledger), plan.settings, plan.study.dataset
    models = {model: collector.model(model) for model in settings.model_names}
    data = collector.outcome(plan.data_spectra())
    untrained = [collector.outcome(plan.untrained_spectra(seed)) for seed in collector.seeds]
    noise_starts = [collector.outcome(plan.noise_start_spectra(seed)) for seed in collector.seeds]
    baselines = {
        "data": {"spectrum": collector.spectrum([data] * len(collector.seeds), "data")},
        "untrained": {"spectrum": collector.spectrum(untrained, "untrained")},
        "noise_start": {
            "spectrum": collector.spectrum(noise_starts, "noise-start layer"),
            "pruned_units": [None if one is None else one.values["pruned_units"] for one in noise_starts],
            "cut_reason": [None if one is None else one.values["cut_reason"] for one in noise_starts],
        },
    }
    collector.notes += _layer_notes(collector)
    seconds: dict[str, float] = defaultdict(float)
    for task in plan.all_tasks():
        if ledger.find(task) is not None:
            seconds[task.stage] += ledger.seconds(task)
        else:
            collector.note(f"tasks of the stage {task.stage} have not been run; run again without --stages")
    return {
        "schema": SCHEMA,
        "preset": plan.study.preset,
        "settings": dataclasses.asdict(settings),
        "changed_settings": _changed(plan.study.preset, dataclasses.asdict(settings)),
        "seeds": collector.seeds,
        "notes": collector.notes,
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "n_train": len(dataset.train_images),
            "n_test": len(dataset.test_images),
            "source": dataset.source,
        },
        "environment": environment(settings.precision),
        "stages": {stage: {"seconds": spent} for stage, spent in seconds.items()},
        "models": models,
        "baselines": baselines,
    }


def _changed(preset: Any, settings: dict[str, Any]) -> list[str]:
    """Top-level settings, or groups of them, that differ from the preset's."""
    default = dataclasses.asdict(PRESETS[preset])
    return [name for name, value in settings.items() if value != default[name]]


def _layer_notes(collector: Collector) -> list[str]:
    """What a reader must know about layers that did not converge."""
    notes = []
    plan = collector.plan
    layers = [plan.noise_start_layer(seed) for seed in collector.seeds]
    if "kh" in plan.settings.model_names:
        layers += [plan.layer(seed) for seed in collector.seeds]
    for task in layers:
        outcome = collector.outcome(task)
        if outcome is not None and not outcome.values["converged"]:
            values = outcome.values
            notes.append(
                f"{task.name} has not converged: of {values['rows']} rows {values['unconverged_rows']} are further than"
                f" 0.01 from their norm, {values['wrong_attractor_rows']} sit at the wrong attractor"
            )
    return notes

"""results.json, schema 1: everything that a run found, from the outcomes of its tasks.

Lists have one entry per seed, null where a training diverged or a fit is impossible; the reason stands in ``notes``.
Beside a list ``NAME`` stands ``NAME_interval``, each seed's 95 % interval over images, and ``NAME_overall``, what the
seeds come to (:func:`jax_bioadv.analysis.crossed.overall`): centre, interval, and what this interval is over.
"""

import dataclasses
from collections import defaultdict
from typing import Any

from experiments.attacks import PUBLISHED_NOISE
from experiments.engine.ledger import Ledger
from experiments.engine.provenance import environment, stages_made_by
from experiments.engine.tasks import Outcome, Task
from experiments.measuring.threats import left_out
from experiments.models import KNOWN
from experiments.plan import Plan
from experiments.results.correlations import correlations
from experiments.results.evidence import Evidence, critical_summary, finite, interval, with_infinity
from experiments.results.schema import SCHEMA
from experiments.settings.presets import PRESETS, Preset
from jax_bioadv.analysis.crossed import change_interval, overall, share_interval
from jax_bioadv.analysis.statistics import bootstrap_interval

# Quantities that no images stand behind: their intervals are over seeds alone.
OVER_SEEDS_ALONE = ("alpha", "preactivation")
FIT_KEYS = ("alpha", "stderr", "r2", "window")


class Collector:
    """Reads finished tasks and turns them into the maps of results.json; collects notes on what is missing."""

    def __init__(self, plan: Plan, ledger: Ledger):
        self.plan, self.ledger = plan, ledger
        self.seeds = list(range(plan.settings.seeds))
        self.notes: list[str] = []
        self.evidence = Evidence(plan, self.outcome)

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
            keys = dict.fromkeys([*FIT_KEYS, *(key for fit in fits if fit for key in fit if key != "impossible")])
            found[kind] = {key: [fit.get(key) if fit else None for fit in fits] for key in keys}
        return found

    def noise_start_accuracy(self, name: str) -> dict[str, list[Any]]:
        pruned, images = name == "test_accuracy", len(self.plan.images.dataset.test_images)
        found = [self.outcome(self.plan.noise_start_decoder(pruned, seed)) for seed in self.seeds]
        shares = [None if one is None else one.values["test_accuracy"] for one in found]
        intervals = [None if share is None else interval(share_interval(share, images)) for share in shares]
        return {name: shares, f"{name}_interval": intervals}

    def accuracy_changed_by_pruning(self) -> dict[str, list[Any]]:
        changes = [self._changed_by_pruning(seed) for seed in self.seeds]
        return {
            "test_accuracy_change": [None if one is None else one[0] for one in changes],
            "test_accuracy_change_interval": [None if one is None else one[1] for one in changes],
        }

    def _changed_by_pruning(self, seed: int) -> tuple[float, list[float | None]] | None:
        """The change and its interval, on the same images; None without both decoders."""
        both = [self.outcome(self.plan.noise_start_decoder(pruned, seed)) for pruned in (False, True)]
        right = [one.arrays["right"] for one in both if one is not None and "right" in one.arrays]
        if len(right) < 2:
            return None
        whole, cut = right
        gained, lost, images = int((cut & ~whole).sum()), int((whole & ~cut).sum()), whole.size
        return (gained - lost) / images, interval(change_interval(gained, lost, images))

    def noise_start_decoders_converged(self, seed: int) -> bool | None:
        found = [self.outcome(self.plan.noise_start_decoder(pruned, seed)) for pruned in (False, True)]
        flags = [None if one is None else one.values.get("decoder_converged") for one in found]
        return None if None in flags else all(flags)

    def model(self, model: str) -> dict[str, Any]:
        plan, seeds = self.plan, self.seeds
        trained = [self.outcome(plan.model(model, seed)) for seed in seeds]
        found: dict[str, Any] = {
            key: [None if outcome is None else outcome.values[key] for outcome in trained]
            for key in ("test_accuracy", "converged", "pruned_units")
        }
        found["decoder_converged"] = [
            None if outcome is None else outcome.values.get("decoder_converged") for outcome in trained
        ]
        if model in KNOWN and KNOWN[model].control:
            found["control"] = True
        for seed, outcome in zip(seeds, trained, strict=True):
            values = {} if outcome is None else outcome.values
            if not values.get("decoder_converged", True):
                self.note(f"{model}-{seed}: the decoder's loss still changes by more than 1 % in its last quarter")
            if "epochs" in values:
                reached = "" if values["converged"] else ", which did not reach that accuracy"
                self.note(f"{model}-{seed}: stopped at the hybrid's accuracy after {values['epochs']} epochs{reached}")
        found["spectrum"] = self.spectrum([self.outcome(plan.spectra(model, seed)) for seed in seeds], model)
        found |= self._robustness(model)
        found["critical_l2"]["minimum_norm"] = self.evidence.minimum_norm(model)
        found["jacobian_norm"] = self.jacobian_norms([self.outcome(plan.jacobian(model, seed)) for seed in seeds])
        return found | self.evidence.of_model(model)

    @staticmethod
    def jacobian_norms(norms: list[Outcome | None]) -> dict[str, Any]:
        """Means over images, of outcomes that have any."""
        means = [None if one is None or not one.arrays else one for one in norms]
        return {
            "activation": [None if one is None else finite(float(one.arrays["activation"].mean())) for one in means],
            "activation_interval": [
                None if one is None else interval(bootstrap_interval(one.arrays["activation"])) for one in means
            ],
            "preactivation": [None if one is None else one.values["preactivation"] for one in means],
        }

    def _robustness(self, model: str) -> dict[str, Any]:
        attacked: list[int | None] = [None for _ in self.seeds]
        critical: dict[str, dict[str, Any]] = {"critical_l2": {}, "critical_linf": {}}
        curves: dict[str, Any] = {}
        not_monotone: dict[str, list[int | None]] = {}
        for attack in self.plan.attacks_on(model):
            outcomes = [self.outcome(self.plan.attack(attack, model, seed)) for seed in self.seeds]
            for seed, outcome in zip(self.seeds, outcomes, strict=True):
                if outcome is not None and attack != PUBLISHED_NOISE:
                    attacked[seed] = outcome.values["n_attacked"]
                    if not attacked[seed]:
                        self.note(f"{model}, seed {seed}: no test image is classified correctly, so none was attacked")
            not_monotone[attack] = [one.values.get("not_monotone") if one is not None else None for one in outcomes]
            arrays = [outcome.arrays if outcome is not None and outcome.arrays else None for outcome in outcomes]
            for key, by_attack in critical.items():
                by_attack[attack] = critical_summary([None if one is None else one[key] for one in arrays])
            for seed, share in zip(self.seeds, critical["critical_l2"][attack]["censored"], strict=True):
                if share is not None and share > 0.5:
                    self.note(f"{model}, {attack}, seed {seed}: the median is infinite, {share:.1%} were never flipped")
            curves[attack] = {
                "epsilons": next((one["epsilons"].tolist() for one in arrays if one is not None), []),
                "accuracy": [None if one is None else one["relative_accuracy"].tolist() for one in arrays],
            }
        return {"n_attacked": attacked, **critical, "not_monotone": not_monotone, "relative_accuracy": curves}


def collect(plan: Plan, ledger: Ledger, preset: Preset) -> dict[str, Any]:
    """results.json as a dictionary, from the tasks that are done."""
    collector, settings = Collector(plan, ledger), plan.settings
    models = {model: collector.model(model) for model in settings.model_names}
    data = collector.outcome(plan.data_spectra())
    untrained = [collector.outcome(plan.untrained_spectra(seed)) for seed in collector.seeds]
    noise_layers = [collector.outcome(plan.noise_start_layer(seed)) for seed in collector.seeds]
    noise_starts = [collector.outcome(plan.noise_start_spectra(seed)) for seed in collector.seeds]
    baselines = {
        "data": {"spectrum": collector.spectrum([data] * len(collector.seeds), "data")},
        "untrained": {"spectrum": collector.spectrum(untrained, "untrained")},
        "noise_start": {
            "spectrum": collector.spectrum(noise_starts, "noise-start layer"),
            **collector.noise_start_accuracy("test_accuracy"),
            **collector.noise_start_accuracy("test_accuracy_unpruned"),
            **collector.accuracy_changed_by_pruning(),
            "pruned_units": [None if one is None else one.values["pruned_units"] for one in noise_starts],
            "converged": [None if one is None else one.values["converged"] for one in noise_layers],
            "cut_reason": [None if one is None else one.values["cut_reason"] for one in noise_starts],
            "decoder_converged": [collector.noise_start_decoders_converged(seed) for seed in collector.seeds],
        },
    }
    collector.notes += _layer_notes(collector)
    collector.notes += [*left_out(plan.images), *ledger.failure_notes()]
    with_overall(models)
    with_overall(baselines)
    return {
        **facts(collector, preset, dataclasses.asdict(settings)),
        "changed_settings": _changed(preset, dataclasses.asdict(settings)),
        "models": models,
        "baselines": baselines,
        "comparisons": collector.evidence.comparisons(),
        "correlations": correlations(models),
    }


def facts(collector: Collector, preset: Preset, settings: dict[str, Any]) -> dict[str, Any]:
    """What results.json says of the run itself, by its finished tasks; adds to the collector's notes.

    Args:
        collector: of the run.
        preset: that the settings started from.
        settings: all of them.
    """
    plan, ledger, dataset = collector.plan, collector.ledger, collector.plan.images.dataset
    seconds: dict[str, float] = defaultdict(float)
    records = []
    for task in plan.all_tasks():
        if ledger.find(task) is not None:
            records.append(ledger.record(task))
            seconds[task.stage] += records[-1]["seconds"]
        elif task.fingerprint not in ledger.failures:
            collector.note(f"tasks of the stage {task.stage} have not been run; run again without --stages")
    made_by, mixed = stages_made_by(records)
    collector.notes += mixed
    return {
        "schema": SCHEMA,
        "preset": preset,
        "settings": settings,
        "seeds": collector.seeds,
        "notes": collector.notes,
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "n_train": len(dataset.train_images),
            "n_test": len(dataset.test_images),
            "source": dataset.source,
        },
        "environment": environment(plan.settings.precision),
        "stages": {
            stage: {"seconds": spent, "made_by": {**made_by[stage], "precision": plan.settings.precision}}
            for stage, spent in seconds.items()
        },
    }


def with_overall(entry: dict[str, Any]) -> None:
    """Add ``…_overall`` beside every list that has an interval, at whatever depth, in place."""
    for name, value in list(entry.items()):
        intervals = entry.get(f"{name}_interval")
        if isinstance(value, dict):
            if isinstance(intervals, dict):
                entry[f"{name}_overall"] = {key: _overall(each, intervals.get(key)) for key, each in value.items()}
            else:
                with_overall(value)
        elif isinstance(value, list) and (intervals is not None or name in OVER_SEEDS_ALONE):
            known = entry.get("censored") if name == "median" else intervals
            entry[f"{name}_overall"] = _overall(with_infinity(value, known or [None] * len(value)), intervals)


def _overall(values: list[Any], intervals: list[Any] | None) -> dict[str, Any] | None:
    found = overall(values, intervals)
    if found is None:
        return None
    ends = None if found.interval is None else interval(found.interval)
    return {"centre": finite(found.centre), "interval": ends, "over": found.over, "infinite_seeds": found.infinite}


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

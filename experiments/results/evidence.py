"""What results.json holds beyond the paper's own measurements: intervals, comparisons, robust accuracy, bounds.

Everything here reads the outcomes of finished tasks; it computes nothing that a model is needed for.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.attacks import ATTACKS
from experiments.engine.tasks import Outcome, Task
from experiments.measuring.threats import transferred
from experiments.plan import Plan
from experiments.results.corruptions import corruption_entry
from experiments.threats import THREATS
from jax_bioadv.analysis import paired, robustness, statistics
from jax_bioadv.analysis.crossed import share_interval

FindOutcome = Callable[[Task], Outcome | None]
# Attacks whose critical L2 perturbations models are compared by.
COMPARED = (*ATTACKS, "minimum_norm")


def finite(value: float) -> float | None:
    """A number as JSON takes it."""
    return float(value) if math.isfinite(value) else None


def interval(ends: tuple[float, float]) -> list[float | None]:
    return [finite(end) for end in ends]


def critical_summary(members: Sequence[np.ndarray | None]) -> dict[str, list[Any]]:
    """Median (null when more than half of the images were never flipped), its 95 % interval, share of censored."""
    found: dict[str, list[Any]] = {"median": [], "median_interval": [], "censored": []}
    for lengths in members:
        if lengths is None:
            for column in found.values():
                column.append(None)
            continue
        found["median"].append(finite(robustness.median_with_censoring(lengths)))
        found["median_interval"].append(interval(robustness.median_interval(lengths)))
        found["censored"].append(robustness.censored_share(lengths))
    return found


def on_same_images(one: Outcome, other: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Critical distances of two networks, on the images that both classify correctly."""
    _, in_one, in_other = np.intersect1d(one.arrays["images"], other.arrays["images"], return_indices=True)
    return one.arrays["critical_l2"][in_one], other.arrays["critical_l2"][in_other]


def with_infinity(numbers: Sequence[float | None], known: Sequence[Any]) -> list[float | None]:
    """Numbers with infinity, which ranks above all others, where one is null though something is known of its seed.

    Args:
        numbers: of each seed, such as medians, which are null where more than half of the images were never flipped.
        known: of each seed: the share of images that were never flipped, or an interval; None where it is missing.
    """
    return [
        math.inf if number is None and found is not None else number
        for number, found in zip(numbers, known, strict=True)
    ]


class Evidence:
    """Reads the tasks of a plan, model by model.

    Args:
        plan: of the run.
        outcome: gives the outcome of a task that was done and did not diverge.
    """

    def __init__(self, plan: Plan, outcome: FindOutcome):
        self.plan, self.outcome, self.seeds = plan, outcome, range(plan.settings.seeds)

    def _over_seeds(self, task: Callable[[str, int], Task], model: str) -> list[Outcome | None]:
        return [self.outcome(task(model, seed)) for seed in self.seeds]

    def of_model(self, model: str) -> dict[str, Any]:
        """The maps that a model's entry holds besides those of the paper."""
        plan = self.plan
        trained, smoothness = self._over_seeds(plan.model, model), self._over_seeds(plan.smoothness, model)
        test_images = len(plan.images.dataset.test_images)
        return {
            "test_accuracy_interval": [
                None if one is None else interval(share_interval(one.values["test_accuracy"], test_images))
                for one in trained
            ],
            "robust_accuracy": {threat: self._threat(threat, model) for threat in plan.settings.threats.names},
            "masking": self._masking(model),
            "certified_l2": self._bounds(model),
            "smoothness": _by_name([_over_images(one, _median) for one in smoothness]),
            "smoothness_interval": _by_name([_over_images(one, _median_interval) for one in smoothness]),
            "boundaries": self._boundaries(model),
            "corruptions": corruption_entry(self._over_seeds(plan.corruptions, model), plan.settings.corruptions),
        }

    def critical(self, attack: str, model: str, seed: int) -> Outcome | None:
        """An outcome with the arrays ``images`` and ``critical_l2``.

        An image at which the minimum-norm attack fails is as near as any other attack found it.
        """
        found = self._found(attack, model, seed)
        if found is None or attack != "minimum_norm" or np.isfinite(found.arrays["critical_l2"]).all():
            return found
        lengths, shortest = found.arrays["critical_l2"], self._shortest(model, seed, found.arrays["images"])
        lengths = np.where(np.isinf(lengths), shortest, lengths)
        return dataclasses.replace(found, arrays={**found.arrays, "critical_l2": lengths})

    def _found(self, attack: str, model: str, seed: int) -> Outcome | None:
        plan = self.plan
        task = plan.minimum_norm(model, seed) if attack == "minimum_norm" else plan.attack(attack, model, seed)
        found = self.outcome(task)
        return found if found is not None and found.arrays else None

    def minimum_norm(self, model: str) -> dict[str, list[Any]]:
        found = [self.critical("minimum_norm", model, seed) for seed in self.seeds]
        return critical_summary([None if one is None else one.arrays["critical_l2"] for one in found])

    def _threat(self, name: str, model: str) -> dict[str, Any]:
        threat = THREATS[name]
        entry: dict[str, Any] = {
            "norm": "linf" if math.isinf(threat.norm) else "l2",
            "epsilon": getattr(self.plan.settings.threats, name),
            "space": "raw" if threat.raw else "unit",
        }
        columns: dict[str, list[Any]] = {key: [] for key in ("images", "clean", "worst_case")}
        by_attack: list[dict[str, float]] = []
        for seed in self.seeds:
            outcome = self.outcome(self.plan.threat(name, model, seed))
            right = {} if outcome is None else self._right_after(name, model, seed, outcome)
            by_attack.append({attack: float(survived.mean()) for attack, survived in right.items()})
            columns["images"].append(None if outcome is None else outcome.values["images"])
            columns["clean"].append(None if outcome is None else outcome.values["clean"])
            columns["worst_case"].append(float(np.all(list(right.values()), axis=0).mean()) if right else None)

        def intervals(shares: Sequence[float | None]) -> list[Any]:
            pairs = zip(shares, columns["images"], strict=True)
            return [None if share is None else interval(share_interval(share, images)) for share, images in pairs]

        shares = _by_name(by_attack)
        return {
            **entry,
            **columns,
            **{f"{key}_interval": intervals(columns[key]) for key in ("clean", "worst_case")},
            "attacks": shares,
            "attacks_interval": {attack: intervals(each) for attack, each in shares.items()},
        }

    def _right_after(self, name: str, model: str, seed: int, outcome: Outcome) -> dict[str, np.ndarray]:
        """By attack, which of all the images are still classified correctly."""
        correct, images = outcome.arrays["correct"], outcome.values["images"]
        failures = {
            attack.removeprefix("success/"): ~array
            for attack, array in outcome.arrays.items()
            if attack.startswith("success/")
        }
        moved = self.outcome(self.plan.transfer(name, seed)) if self.plan.transfers else None
        fooled = None if moved is None else transferred(moved, model, correct)
        if fooled is not None:
            failures["transfer"] = ~fooled
        if not failures:
            return {"none": np.zeros(images, bool)}
        return {attack: np.isin(np.arange(images), correct[held]) for attack, held in failures.items()}

    def _masking(self, model: str) -> dict[str, Any]:
        found = self._over_seeds(self.plan.masking, model)
        known = [one if one is not None and one.values.get("checks") else None for one in found]
        checks = dict.fromkeys(name for one in known if one is not None for name in one.values["checks"])
        entry: dict[str, Any] = {
            name: {
                key: [None if one is None else one.values["checks"].get(name, {}).get(key) for one in known]
                for key in ("value", "suspect")
            }
            for name in checks
        }
        return {**entry, "verdict": [None if one is None else one.values["verdict"] for one in known]}

    def _bounds(self, model: str) -> dict[str, Any]:
        """Certified lower bounds beside the shortest perturbation that any attack has found, image by image."""
        columns: dict[str, list[np.ndarray | None]] = {"lipschitz": [], "relaxation": [], "upper": []}
        gaps: list[float | None] = []
        gap_intervals: list[list[float | None] | None] = []
        violations: list[int | None] = []
        for seed in self.seeds:
            outcome = self.outcome(self.plan.bounds(model, seed))
            if outcome is None or not outcome.arrays:
                for column in columns.values():
                    column.append(None)
                gaps.append(None)
                gap_intervals.append(None)
                violations.append(None)
                continue
            upper = self._shortest(model, seed, outcome.arrays["images"])
            lower = np.maximum(outcome.arrays["lipschitz"], outcome.arrays["relaxation"])
            for name in ("lipschitz", "relaxation"):
                columns[name].append(outcome.arrays[name])
            columns["upper"].append(upper)
            ratios = upper[lower > 0] / lower[lower > 0]
            gaps.append(finite(float(np.median(ratios))) if ratios.size else None)
            gap_intervals.append(interval(robustness.median_interval(ratios)) if ratios.size else None)
            # Where no attack ran, or none succeeded, there is nothing that could violate a bound.
            violations.append(int((lower > upper).sum()) if np.isfinite(upper).any() else None)
        summaries = {name: critical_summary(column) for name, column in columns.items()}
        return {**summaries, "gap": gaps, "gap_interval": gap_intervals, "violations": violations}

    def _shortest(self, model: str, seed: int, images: np.ndarray) -> np.ndarray:
        """Length of the shortest adversarial perturbation of each image, infinity where there is none."""
        shortest = np.full(len(images), np.inf)
        for attack in COMPARED:
            found = self._found(attack, model, seed)
            if found is not None:
                _, ours, theirs = np.intersect1d(images, found.arrays["images"], return_indices=True)
                shortest[ours] = np.minimum(shortest[ours], found.arrays["critical_l2"][theirs])
        return shortest

    def _boundaries(self, model: str) -> dict[str, Any]:
        """Means over the planes, each through another image, with their intervals over them."""
        found = self._over_seeds(self.plan.boundaries, model)
        radii = dict.fromkeys(radius for one in found if one is not None for radius in one.values)
        return {radius: _by_name([_of_radius(one, radius) for one in found]) for radius in radii}

    def comparisons(self) -> list[dict[str, Any]]:
        """The plan's pairs of models, on the images that both classify correctly."""
        compared, pairs = [], self.plan.pairs()
        for attack in COMPARED:
            family = [one for pair in pairs if (one := self._comparison(attack, *pair)) is not None]
            corrected = statistics.holm([one["p"] for one in family])
            for one, p in zip(family, corrected, strict=True):
                decided = p is not None and p < 0.05
                compared.append({**one, "p_corrected": p, "better": one["better"] if decided else None})
        return compared

    def _comparison(self, attack: str, first: str, second: str) -> dict[str, Any] | None:
        ours, theirs = [], []
        for seed in self.seeds:
            one, other = self.critical(attack, first, seed), self.critical(attack, second, seed)
            if one is None or other is None:
                continue
            own, its = on_same_images(one, other)
            if len(own):
                ours.append(own)
                theirs.append(its)
        if not ours:
            return None
        found = paired.paired_comparison(ours, theirs)
        return {
            "attack": attack,
            "first": first,
            "second": second,
            "seeds": len(ours),
            "images": [len(lengths) for lengths in ours],
            "log_ratio": finite(found.log_ratio),
            "log_ratio_interval": interval(found.interval),
            "superiority": found.superiority,
            "p": finite(found.p_value),
            "better": None if found.log_ratio == 0 else first if found.log_ratio > 0 else second,
        }


def _over_images(outcome: Outcome | None, summarise: Callable[[np.ndarray], Any]) -> dict[str, Any] | None:
    """A summary of every measure over the images that have it."""
    if outcome is None:
        return None
    known = {name: array[~np.isnan(array)] for name, array in outcome.arrays.items()}
    return {name: summarise(array) if array.size else None for name, array in known.items()}


def _of_radius(outcome: Outcome | None, radius: str) -> dict[str, Any] | None:
    if outcome is None:
        return None
    found = dict(outcome.values[radius])
    for name, mean in outcome.values[radius].items():
        planes = outcome.arrays.get(f"{radius}/{name}")
        if mean is not None and planes is not None:
            found[f"{name}_interval"] = interval(statistics.bootstrap_interval(planes[~np.isnan(planes)]))
    return found


def _median(values: np.ndarray) -> float | None:
    return finite(float(np.median(values)))


def _median_interval(values: np.ndarray) -> list[float | None]:
    return interval(statistics.bootstrap_interval(values, "median"))


def _by_name(maps: Sequence[dict[str, Any] | None]) -> dict[str, list[Any]]:
    """A map of lists over seeds from a list of maps; null where one is missing."""
    names = dict.fromkeys(name for one in maps if one is not None for name in one)
    return {name: [None if one is None else one.get(name) for one in maps] for name in names}

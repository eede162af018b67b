"""The contract of results.json, schema 1, as a check that fails on whatever breaks it; and the reading of a run."""

import dataclasses
import itertools
import json
import math
import re

import numpy as np

from experiments.attacks import ATTACKS
from experiments.settings.presets import PRESETS


def read_results(directory):
    """results.json by the letter of the JSON standard, which has neither NaN nor Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((directory / "results.json").read_text(), parse_constant=refuse)


REASONS = re.compile("training diverged|no power law|no test image is classified correctly|have not been run")


class Contract:
    """Checks results.json by its schema: keys, types, one entry per seed, ranges; null only where a note says why."""

    def __init__(self, results, settings):
        self.results, self.settings = results, settings
        self.seeds = range(settings.seeds)

    def check(self):
        results = self.results
        assert type(results["schema"]) is int
        assert results["schema"] == 1
        assert results["preset"] in PRESETS
        assert results["settings"] == json.loads(json.dumps(dataclasses.asdict(self.settings)))
        assert results["seeds"] == list(self.seeds)
        assert all(isinstance(note, str) and note for note in results["notes"])
        assert len(set(results["notes"])) == len(results["notes"])
        dataset = results["dataset"]
        assert dataset["name"] == self.settings.dataset
        assert re.fullmatch("[0-9a-f]{64}", dataset["sha256"])
        assert (dataset["n_train"], dataset["n_test"]) == (1500, 297)
        environment = results["environment"]
        for key in ("jax", "jaxlib", "flax", "optax", "python", "device", "platform", "precision"):
            assert isinstance(environment[key], str)
            assert environment[key]
        assert results["stages"]
        for stage in results["stages"].values():
            assert stage["seconds"] >= 0
        assert set(results["models"]) == set(self.settings.model_names)
        for model in results["models"].values():
            self.check_model(model)
        self.check_comparisons()
        assert {"data", "untrained"} <= set(results["baselines"])
        spectra = self.settings.spectra
        for name, baseline in results["baselines"].items():
            last_on_images = spectra.last_on_data if name == "data" else spectra.last_on_images
            self.check_spectra(baseline["spectrum"], last_on_images)

    def per_seed(self, values, right):
        """One entry per seed, each right or null; a null needs a note that gives a reason."""
        assert len(values) == len(self.seeds)
        for value in values:
            assert (value is None and REASONS.search("\n".join(self.results["notes"]))) or right(value), value

    def check_model(self, model):
        self.per_seed(model["test_accuracy"], share)
        self.per_seed(model["converged"], lambda value: type(value) is bool)
        self.per_seed(model["pruned_units"], lambda value: type(value) is int and 0 <= value <= self.settings.hidden)
        self.per_seed(model["n_attacked"], lambda n: type(n) is int and 0 <= n <= self.settings.attacks.images)
        self.check_spectra(model["spectrum"], self.settings.spectra.last_on_images)
        for key in ("critical_l2", "critical_linf"):
            assert set(ATTACKS) <= set(model[key])
            for critical in model[key].values():
                self.check_critical(critical)
        assert set(ATTACKS) <= set(model["relative_accuracy"])
        for curve in model["relative_accuracy"].values():
            self.check_curve(curve)
        for key in ("activation", "preactivation"):
            self.per_seed(model["jacobian_norm"][key], positive)
        for place, accuracy in enumerate(model["test_accuracy"]):
            found = [model["converged"][place], model["n_attacked"][place], model["jacobian_norm"]["activation"][place]]
            if model["n_attacked"][place] != 0:
                found += [model["critical_l2"][attack]["censored"][place] for attack in ATTACKS]
            assert all((value is None) == (accuracy is None) for value in found), "a member is there, or it is not"

        self.check_evidence(model)

    def check_evidence(self, model):
        self.per_seed(model["test_accuracy_interval"], interval_of(share))
        self.per_seed(model["jacobian_norm"]["activation_interval"], interval_of(positive))
        assert set(model["robust_accuracy"]) == set(self.settings.threats.names)
        for threat in model["robust_accuracy"].values():
            assert (threat["norm"], threat["space"]) in itertools.product(("linf", "l2"), ("unit", "raw"))
            assert threat["epsilon"] > 0
            for shares in (threat["clean"], threat["worst_case"], *threat["attacks"].values()):
                self.per_seed(shares, share)
            self.per_seed(threat["worst_case_interval"], interval_of(share))
            for clean, worst in zip(threat["clean"], threat["worst_case"], strict=True):
                assert clean is None or worst <= clean
        for bound in ("lipschitz", "relaxation", "upper"):
            self.check_critical(model["certified_l2"][bound], may_be_zero=bound != "upper")
        self.per_seed(model["certified_l2"]["violations"], lambda count: type(count) is int and count == 0)
        for check, found in model["masking"].items():
            if check != "verdict":
                assert len(found["value"]) == len(found["suspect"]) == len(self.seeds)
        assert len(model["masking"]["verdict"]) == len(self.seeds)
        for measures in (model["smoothness"], *model["boundaries"].values()):
            for name, values in measures.items():
                assert name.endswith("_overall") or len(values) == len(self.seeds)
        assert set(model["smoothness_interval"]) == set(model["smoothness"]) == set(model["smoothness_overall"])
        self.check_overall(model["test_accuracy_overall"], "images")
        self.check_overall(model["spectrum"]["images"]["alpha_overall"], "seeds")
        for threat in model["robust_accuracy"].values():
            self.check_overall(threat["worst_case_overall"], "images")

    def check_overall(self, found, besides):
        """What the seeds come to: over the seeds where there are several, and what else stands behind a number."""
        if found is None:
            return
        over = {("images", True): "seeds and images", ("images", False): "images", ("seeds", True): "seeds"}
        assert found["over"] in (over.get((besides, len(self.seeds) > 1), "nothing"), "images", "nothing")
        if found["interval"] is not None and not found["infinite_seeds"]:
            assert found["interval"][0] <= found["centre"] <= found["interval"][1]

    def check_comparisons(self):
        for one in self.results["comparisons"]:
            assert {one["first"], one["second"]} <= set(self.settings.model_names)
            assert 0 <= one["superiority"] <= 1
            assert 0 <= one["p"] <= one["p_corrected"] <= 1
            assert len(one["images"]) == one["seeds"] <= len(self.seeds)
            assert one["better"] in (None, one["first"], one["second"])
        for one in self.results["correlations"]:
            assert -1 <= one["spearman"] <= 1
            assert 0 < one["p"] <= one["p_corrected"] <= 1
            assert type(one["p_at_floor"]) is bool

    def check_spectra(self, spectra, last_on_images):
        assert {"images", "noise"} <= set(spectra)
        for kind, fits in spectra.items():
            last = last_on_images if kind.startswith("images") else self.settings.spectra.last_on_noise
            self.per_seed(fits["alpha"], positive)
            self.per_seed(fits["stderr"], positive)
            self.per_seed(fits["r2"], share)
            self.per_seed(fits["window"], lambda window, last=last: self.is_window(window, last))
            for members in zip(*(fits[key] for key in ("alpha", "stderr", "r2", "window")), strict=True):
                assert len({member is None for member in members}) == 1

    def is_window(self, window, last):
        low, high = window
        return low == self.settings.spectra.first and low + 2 <= high <= last

    def check_critical(self, critical, may_be_zero=False):
        self.per_seed(critical["censored"], share)
        assert len(critical["median"]) == len(self.seeds)
        for median, censored in zip(critical["median"], critical["censored"], strict=True):
            infinite = censored is None or censored > 0.5
            assert (median is None) if infinite else positive(median) or (may_be_zero and median == 0)

    def check_curve(self, curve):
        epsilons = curve["epsilons"]
        assert (np.diff(epsilons, prepend=0) > 0).all()
        assert epsilons or curve["accuracy"] == [None] * len(self.seeds)
        self.per_seed(curve["accuracy"], lambda row: len(row) == len(epsilons) > 1 and all(map(share, row)))


def share(value):
    return type(value) is float and 0 <= value <= 1


def interval_of(right):
    return lambda ends: right(ends[0]) and right(ends[1]) and ends[0] <= ends[1]


def positive(value):
    return type(value) is float and 0 < value < math.inf


def arrays(directory, name):
    with np.load(directory / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}

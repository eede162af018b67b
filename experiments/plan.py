"""The plan of an experiment: which tasks there are, what each depends on, in which order they are best run."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from experiments import measuring, training
from experiments.settings import ATTACKS, PUBLISHED_NOISE, LayerSettings
from experiments.study import Study
from experiments.tasks import Outcome, Task

STAGES = ("layer", "train", "spectra", "jacobian", "attacks", "landscape")

# Which of the settings of a group a task reads; all of them where nothing stands here.
READ_BY_ATTACK = {
    "gaussian": ("images", "epsilons", "method", "gaussian_low", "gaussian_high"),
    "fgsm": ("images", "epsilons", "method", "gradient_low", "gradient_high"),
    "pgd": ("images", "epsilons", "method", "gradient_low", "gradient_high", "pgd_steps"),
    PUBLISHED_NOISE: ("published_images", "published_epsilons"),
}
READ_BY_SPECTRAL = ("epochs", "batch_size")
READ_BY_LAYER_SPECTRA = ("noise_images", "first", "last_on_images", "last_on_noise", "populations")
READ_BY_DATA_SPECTRA = ("noise_images", "first", "last_on_data", "last_on_noise")


class Plan:
    """The tasks of a study; a task is the same wherever it is asked for."""

    def __init__(self, study: Study):
        self.study, self.settings = study, study.settings
        self.data_settings = {"sha256": study.data_digests, "norm": study.settings.norm}

    def _task(
        self,
        name: str,
        stage: str,
        settings: Mapping[str, Any],
        run: Callable[[Task, Mapping[str, Outcome]], Outcome],
        needs: Mapping[str, Task] | None = None,
        folder: str = "arrays",
    ) -> Task:
        everything = {"data": self.data_settings, "precision": self.settings.precision, **settings}
        return Task(name, stage, everything, needs or {}, run, folder)

    def _chosen(self, *names: str) -> dict[str, Any]:
        return {name: dataclasses.asdict(getattr(self.settings, name)) for name in names}

    def _read(self, name: str, fields: tuple[str, ...]) -> dict[str, Any]:
        return {name: {field: getattr(getattr(self.settings, name), field) for field in fields}}

    def _layer_spectra(self) -> dict[str, Any]:
        return self._read("spectra", READ_BY_LAYER_SPECTRA)

    def layer(self, seed: int) -> Task:
        settings, hidden = self.settings.layer, self.settings.hidden
        return self._layer(f"layer-{seed}", settings, hidden, seed)

    def untrained_layer(self, seed: int) -> Task:
        """What the layer of the ``kh`` model starts from."""
        settings = dataclasses.replace(self.settings.layer, epochs=0)
        return self._layer(f"layer-start-{seed}", settings, self.settings.hidden, seed)

    def noise_start_layer(self, seed: int) -> Task:
        """The layer of figure A1: the one of the ``kh`` model where that starts from noise too."""
        settings, hidden = self.settings.noise_start, self.settings.noise_start_hidden
        if (settings, hidden) == (self.settings.layer, self.settings.hidden):
            return self.layer(seed)
        return self._layer(f"noise-start-layer-{seed}", settings, hidden, seed)

    def _layer(self, name: str, layer: LayerSettings, hidden: int, seed: int) -> Task:
        settings = {"layer": dataclasses.asdict(layer), "hidden": hidden, "seed": seed}
        return self._task(name, "layer", settings, partial(training.run_layer, self.study, layer, hidden, seed))

    def model(self, model: str, seed: int) -> Task:
        hybrid = model in ("kh", "kh_start")
        names = ["pruning", "decoder"] if hybrid else ["backprop"] if model == "bp" else ["backprop", model]
        settings = {**self._chosen(*names), "hidden": self.settings.hidden, "seed": seed}
        if model == "spectral":
            settings |= self._read("backprop", READ_BY_SPECTRAL)
        if hybrid:
            layer = self.layer(seed) if model == "kh" else self.untrained_layer(seed)
            needs, run = {"layer": layer}, partial(training.run_hybrid, self.study, seed)
        else:
            needs, run = {}, partial(training.run_backprop, self.study, model, seed)
        return self._task(f"{model}-{seed}", "train", settings, run, needs, "models")

    def spectra(self, model: str, seed: int) -> Task:
        needs = {"model": self.model(model, seed)}
        if model == "kh":
            needs["layer"] = self.layer(seed)
        run = partial(measuring.run_spectra, self.study, model)
        return self._task(f"spectra-{model}-{seed}", "spectra", self._layer_spectra(), run, needs)

    def noise_start_spectra(self, seed: int) -> Task:
        needs = {"layer": self.noise_start_layer(seed)}
        run = partial(measuring.run_noise_start_spectra, self.study)
        settings = {**self._chosen("pruning"), **self._layer_spectra()}
        return self._task(f"spectra-noise-start-{seed}", "spectra", settings, run, needs)

    def data_spectra(self) -> Task:
        run = partial(measuring.run_data_spectra, self.study)
        return self._task("spectra-data", "spectra", self._read("spectra", READ_BY_DATA_SPECTRA), run)

    def untrained_spectra(self, seed: int) -> Task:
        settings = {**self._layer_spectra(), "hidden": self.settings.hidden, "seed": seed}
        run = partial(measuring.run_untrained_spectra, self.study, seed)
        return self._task(f"spectra-untrained-{seed}", "spectra", settings, run)

    def attack(self, attack: str, model: str, seed: int) -> Task:
        settings = {**self._read("attacks", READ_BY_ATTACK[attack]), "seed": seed}
        run = partial(measuring.run_attack, self.study, attack, model, seed)
        return self._task(f"{attack}-{model}-{seed}", "attacks", settings, run, {"model": self.model(model, seed)})

    def jacobian(self, model: str, seed: int) -> Task:
        run = partial(measuring.run_jacobian, self.study, model)
        return self._task(f"jacobian-{model}-{seed}", "jacobian", {}, run, {"model": self.model(model, seed)})

    def landscape(self, model: str) -> Task:
        run = partial(measuring.run_landscape, self.study, model)
        needs = {"model": self.model(model, 0)}
        return self._task(f"landscape-{model}", "landscape", self._chosen("landscape"), run, needs)

    def all_tasks(self) -> list[Task]:
        """Every task of the experiment, in the order in which they are best run."""
        models = self.settings.model_names
        tasks = [self.data_spectra()]
        for seed in range(self.settings.seeds):
            tasks += [self.layer(seed)] if "kh" in models else []
            tasks += [self.noise_start_layer(seed), self.noise_start_spectra(seed), self.untrained_spectra(seed)]
            tasks += [self.model(model, seed) for model in models]
            tasks += [self.spectra(model, seed) for model in models]
            tasks += [self.jacobian(model, seed) for model in models]
            tasks += [self.attack(attack, model, seed) for attack in (*ATTACKS, PUBLISHED_NOISE) for model in models]
        tasks += [self.landscape(model) for model in models]
        return list({task.name: task for task in tasks}.values())

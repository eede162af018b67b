"""The plan of an experiment: which tasks there are, what each depends on, in which order they are best run."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from experiments.attacks import ATTACKS, PUBLISHED_NOISE
from experiments.engine.tasks import Outcome, Task, with_needs
from experiments.measuring import attacks as measuring
from experiments.measuring import smoothness, spectra, threats
from experiments.models import CONTROLS, FROZEN, POWERED
from experiments.settings.groups import LayerSettings
from experiments.study import Study
from experiments.training import training

STAGES = (
    *("layer", "train", "spectra", "jacobian", "attacks", "landscape"),
    *("threats", "masking", "bounds", "smoothness", "boundaries"),
)

# Which of the settings of a group a task reads; all of them where nothing stands here.
READ_BY_ATTACK = {
    "gaussian": ("images", "epsilons", "method", "gaussian_low", "gaussian_high"),
    "fgsm": ("images", "epsilons", "method", "gradient_low", "gradient_high"),
    "pgd": ("images", "epsilons", "method", "gradient_low", "gradient_high", "pgd_steps"),
    PUBLISHED_NOISE: ("published_images", "published_epsilons"),
}
# Of backprop.
READ_BY_NETWORK = ("batch_size", "learning_rates", "boundaries")
READ_BY_SPECTRAL = ("epochs", "batch_size")
READ_BESIDES_BACKPROP = {
    "l2": ("l2",),
    "bp_first_decay": ("l2",),
    "jacobian": ("jacobian",),
    "spectral": ("spectral",),
    "adversarial": ("adversarial",),
}
READ_BY_THREAT = ("steps", "targets", "target_steps", "restarts", "queries", "minimum_norm_steps")
READ_BY_TRANSFER = ("images", "steps")
READ_BY_LAYER_SPECTRA = ("noise_images", "first", "last_on_images", "last_on_noise")
READ_BY_SPECTRA = (*READ_BY_LAYER_SPECTRA, "populations")
READ_BY_DATA_SPECTRA = ("noise_images", "first", "last_on_data", "last_on_images", "last_on_noise")


class Plan:
    """The tasks of a study; a task is the same wherever it is asked for.

    Args:
        study: of the experiment.
        also: by stage, a further function whose code outcomes depend on, such as that of populations.
    """

    def __init__(self, study: Study, also: Mapping[str, Callable[..., Any]] | None = None):
        self.study, self.settings, self.also = study, study.settings, also or {}
        self.data_settings = {
            "sha256": study.data_digests,
            "image_shape": list(study.dataset.image_shape),
            "classes": study.dataset.classes,
            "norm": study.settings.norm,
        }

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
        also = (self.also[stage],) if stage in self.also else ()
        return Task(name, stage, everything, needs or {}, run, folder, also=also)

    def _chosen(self, *names: str) -> dict[str, Any]:
        return {name: dataclasses.asdict(getattr(self.settings, name)) for name in names}

    def _read(self, name: str, fields: tuple[str, ...]) -> dict[str, Any]:
        return {name: {field: getattr(getattr(self.settings, name), field) for field in fields}}

    def _read_by_cut(self) -> dict[str, Any]:
        fields = ("method", "threshold") if self.settings.pruning.method == "threshold" else ("method",)
        return self._read("pruning", fields)

    def layer(self, seed: int) -> Task:
        settings, hidden = self.settings.layer, self.settings.hidden
        return self._layer(f"layer-{seed}", settings, hidden, seed)

    def untrained_layer(self, seed: int) -> Task:
        """Training images as rows, whatever the layer of ``kh`` starts from; where it starts from images, the same."""
        layer = dataclasses.replace(self.settings.layer, epochs=0, start="samples")
        settings = {"hidden": self.settings.hidden, "seed": seed, **self._read("layer", ("p", "radius"))}
        run = partial(training.run_layer, self.study, layer, self.settings.hidden, seed)
        return self._task(f"layer-start-{seed}", "layer", settings, run)

    def noise_start_layer(self, seed: int) -> Task:
        """The layer of figure A1: the one of the ``kh`` model where that starts from noise too."""
        settings, hidden = self.settings.noise_start, self.settings.noise_start_hidden
        if (settings, hidden) == (self.settings.layer, self.settings.hidden):
            return self.layer(seed)
        return self._layer(f"noise-start-layer-{seed}", settings, hidden, seed)

    def _layer(self, name: str, layer: LayerSettings, hidden: int, seed: int) -> Task:
        read = dataclasses.asdict(layer)
        if layer.start == "samples":
            del read["scale"]
        settings = {"layer": read, "hidden": hidden, "seed": seed}
        return self._task(name, "layer", settings, partial(training.run_layer, self.study, layer, hidden, seed))

    def fixed_layer(self, control: str, seed: int) -> Task:
        """The first layer of a control that is not trained at all; principal directions know no seed."""
        settings: dict[str, Any] = {"hidden": self.settings.hidden}
        run = partial(training.run_fixed_layer, self.study, control, seed)
        if control in ("pca", "whitened"):
            return self._task(f"layer-{control}", "layer", settings, run)
        if control == "kmeans":
            settings |= {**self._chosen("kmeans"), **self._read("layer", ("p", "radius"))}
        return self._task(f"layer-{control}-{seed}", "layer", {**settings, "seed": seed}, run)

    def model(self, model: str, seed: int) -> Task:
        settings = {"hidden": self.settings.hidden, "seed": seed}
        if model in FROZEN:
            layers = {"kh": self.layer, "kh_start": self.untrained_layer}
            needs = {"layer": layers.get(model, partial(self.fixed_layer, model))(seed)}
            read = self._read_by_decoder(model) | (self._read_by_cut() if model in layers else {})
            run: Any = partial(training.run_hybrid, self.study, model, seed)
        else:
            needs = {"hybrid": self.model("kh", seed)} if model == "bp_matched" else {}
            of_others = READ_BY_NETWORK if model == "adversarial" else ("epochs", *READ_BY_NETWORK)
            read = self._read("backprop", READ_BY_SPECTRAL if model == "spectral" else of_others)
            read |= {group: self._chosen(group)[group] for group in READ_BESIDES_BACKPROP.get(model, ())}
            read |= self._read("decoder", ("power",)) if model in POWERED else {}
            run = partial(training.run_backprop, self.study, model, seed)
            if model == "adversarial":
                run = partial(training.run_adversarial, self.study, seed)
        return self._task(f"{model}-{seed}", "train", {**read, **settings}, run, needs, "models")

    def _read_by_decoder(self, model: str) -> dict[str, Any]:
        fields = ("power",) if model in POWERED else ()
        return self._read("decoder", ("epochs", "learning_rate", "batch_size", *fields))

    def spectra(self, model: str, seed: int) -> Task:
        needs = {"model": self.model(model, seed)}
        if model == "kh":
            needs["layer"] = self.layer(seed)
        run = partial(spectra.run_spectra, self.study, model)
        return self._task(f"spectra-{model}-{seed}", "spectra", self._read("spectra", READ_BY_SPECTRA), run, needs)

    def noise_start_spectra(self, seed: int) -> Task:
        needs = {"layer": self.noise_start_layer(seed)}
        run = partial(spectra.run_noise_start_spectra, self.study)
        settings = {**self._read_by_cut(), **self._read("spectra", READ_BY_LAYER_SPECTRA)}
        return self._task(f"spectra-noise-start-{seed}", "spectra", settings, run, needs)

    def noise_start_decoder(self, pruned: bool, seed: int) -> Task:
        """A decoder on the layer that started from noise, to see what pruning costs."""
        settings = {**self._chosen("decoder"), **(self._read_by_cut() if pruned else {}), "seed": seed}
        run = partial(training.run_noise_start_decoder, self.study, pruned, seed)
        name = f"noise-start-{'pruned' if pruned else 'whole'}-{seed}"
        return self._task(name, "train", settings, run, {"layer": self.noise_start_layer(seed)})

    def data_spectra(self) -> Task:
        run = partial(spectra.run_data_spectra, self.study)
        return self._task("spectra-data", "spectra", self._read("spectra", READ_BY_DATA_SPECTRA), run)

    def untrained_spectra(self, seed: int) -> Task:
        settings = {**self._read("spectra", READ_BY_SPECTRA), "hidden": self.settings.hidden, "seed": seed}
        run = partial(spectra.run_untrained_spectra, self.study, seed)
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

    def threat(self, threat: str, model: str, seed: int) -> Task:
        """Attacks of one strength on one model."""
        settings = {**self._read("threats", (*READ_BY_THREAT, threat)), "seed": seed}
        settings["threats"] |= {"images": threats.images_to_attack(self.study, model)}
        run = partial(threats.run_threat, self.study, threat, model, seed)
        return self._task(f"{threat}-{model}-{seed}", "threats", settings, run, {"model": self.model(model, seed)})

    def transfer(self, threat: str, seed: int) -> Task:
        """The same strength, with attacks made on other models."""
        settings = {**self._read("threats", (*READ_BY_TRANSFER, threat)), "seed": seed}
        needs = {model: self.model(model, seed) for model in self.settings.model_names}
        run = partial(threats.run_transfer, self.study, threat, seed)
        task = self._task(f"transfer-{threat}-{seed}", "threats", settings, run, needs)
        return dataclasses.replace(task, optional=tuple(needs))

    def minimum_norm(self, model: str, seed: int) -> Task:
        settings = {
            **self._read("attacks", ("images",)),
            **self._read("threats", ("minimum_norm_steps", "targets")),
            "seed": seed,
        }
        run = partial(threats.run_minimum_norm, self.study, model, seed)
        return self._task(f"minimum_norm-{model}-{seed}", "threats", settings, run, {"model": self.model(model, seed)})

    def _of_model(self, stage: str, run: Callable[..., Outcome], model: str, seed: int, **read: Any) -> Task:
        settings = {**self._chosen(stage), **read, "seed": seed}
        needs = {"model": self.model(model, seed)}
        return self._task(f"{stage}-{model}-{seed}", stage, settings, partial(run, self.study, model, seed), needs)

    def masking(self, model: str, seed: int) -> Task:
        """With one other model to transfer from."""
        task = self._of_model("masking", threats.run_masking, model, seed, **self._read("threats", ("unit_linf",)))
        source = "kh" if model == "bp" else "bp"
        if source not in self.settings.model_names:
            return task
        needs = {**task.needs, source: self.model(source, seed)}
        return dataclasses.replace(task, needs=needs, optional=(source,))

    def bounds(self, model: str, seed: int) -> Task:
        return self._of_model("bounds", smoothness.run_bounds, model, seed)

    def smoothness(self, model: str, seed: int) -> Task:
        return self._of_model("smoothness", smoothness.run_smoothness, model, seed)

    def boundaries(self, model: str, seed: int) -> Task:
        return self._of_model("boundaries", smoothness.run_boundaries, model, seed)

    def evidence(self, model: str, seed: int) -> list[Task]:
        """What is measured on a model beyond the paper."""
        strengths = [self.threat(threat, model, seed) for threat in self.settings.threats.names]
        kinds = (self.minimum_norm, self.masking, self.bounds, self.smoothness, self.boundaries)
        return [*strengths, *(kind(model, seed) for kind in kinds)]

    def all_tasks(self) -> list[Task]:
        """Every task of the experiment and what it builds on, in the order in which they are best run."""
        models = self.settings.model_names
        tasks = [self.data_spectra()]
        for seed in range(self.settings.seeds):
            tasks += [self.layer(seed)] if "kh" in models else []
            tasks += [self.noise_start_layer(seed), self.noise_start_spectra(seed), self.untrained_spectra(seed)]
            tasks += [self.noise_start_decoder(pruned, seed) for pruned in (False, True)]
            tasks += [self.model(model, seed) for model in models]
            tasks += [self.spectra(model, seed) for model in models]
            tasks += [self.jacobian(model, seed) for model in models]
            tasks += [self.attack(attack, model, seed) for attack in ATTACKS for model in models]
            tasks += [self.attack(PUBLISHED_NOISE, model, seed) for model in models if model not in CONTROLS]
            tasks += [task for model in models for task in self.evidence(model, seed)]
            tasks += [self.transfer(threat, seed) for threat in self.settings.threats.names] if len(models) > 1 else []
        tasks += [self.landscape(model) for model in models]
        return with_needs(tasks)

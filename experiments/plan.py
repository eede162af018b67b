"""The plan of an experiment: which tasks there are, what each is given, on what it builds, in which order they run."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from experiments.attacks import SWEPT_ATTACKS
from experiments.engine.tasks import Outcome, Task, with_needs
from experiments.images import Images
from experiments.measuring import smoothness, spectra, threats
from experiments.measuring.attacks import GridAttack, SearchedAttack
from experiments.measuring.corruptions import are_pictures, check_cifar10_c, corruptions
from experiments.models import CONTROLS, KNOWN, MODELS, PAPER_MODELS, FirstLayer, Model
from experiments.settings.groups import LayerSettings, PruningSettings, only, without
from experiments.settings.reproduction import Settings
from experiments.threats import THREATS
from experiments.training import layers
from experiments.training.decoders import DECODER

STAGES = (
    *("layer", "train", "spectra", "jacobian", "attacks", "landscape"),
    *("threats", "masking", "bounds", "smoothness", "boundaries", "corruptions"),
)
# Of the group threats, what the attacks of one strength read besides their images and that strength.
BATTERY = ("steps", "targets", "target_steps", "restarts", "queries", "minimum_norm_steps")
# The model from which attacks are transferred in the diagnosis of masking, and the one for that model itself.
MASKING_SOURCES = ("bp", "kh")


class Plan:
    """The tasks of an experiment; a task is the same wherever it is asked for.

    Args:
        settings: checked here against the data, before any work.
        images: the data.
        trained: models, and ``noise_start``, of which there are tasks: no setting of another one is checked against the
            data; if None, all of a reproduction.

    Raises:
        ValueError: a setting that cannot work with these data.
    """

    def __init__(self, settings: Settings, images: Images, trained: Collection[str] | None = None):
        train, test = images.dataset.train_images, images.dataset.test_images
        settings.check(len(train), len(test), images.inputs, trained)
        check_cifar10_c(settings.corruptions, images)
        self.settings, self.images, self.models = settings, images, settings.model_names

    def task_name(self, name: str, stage: str) -> str:
        """The name of a task: that of a reproduction, where nothing else is planned beside it."""
        return name

    def _task(
        self,
        name: str,
        stage: str,
        run: Callable[..., Outcome],
        given: Mapping[str, Any],
        needs: Mapping[str, Task] | None = None,
        folder: str = "arrays",
        optional: tuple[str, ...] = (),
    ) -> Task:
        called, precision = self.task_name(name, stage), self.settings.precision
        return Task(called, stage, run, self.images, precision, given, needs or {}, folder, optional)

    @property
    def transfers(self) -> bool:
        """Whether attacks on one model are tried on others."""
        return len(self.models) > 1

    def pairs(self) -> list[tuple[str, str]]:
        """What is compared on the same images: the paper's models pairwise, and kh with every control."""
        pairs = list(itertools.combinations([model for model in PAPER_MODELS if model in self.models], 2))
        return pairs + [("kh", control) for control in CONTROLS if {"kh", control} <= set(self.models)]

    # First layers and models.

    def layer(self, seed: int) -> Task:
        """The layer of ``kh``."""
        return self.first_layer(MODELS["kh"], seed)

    def first_layer(self, model: Model, seed: int) -> Task:
        """The layer on which a model's decoder is trained; one that knows no seed is the same for all."""
        layer = model.first_layer
        assert layer is not None
        name = layer.name or f"layer-{model.name}"
        given = {"hidden": self.settings.hidden, **layer.given(self.settings)}
        if layer.seeded:
            name, given = f"{name}-{seed}", {**given, "seed": seed}
        return self._task(name, "layer", layer.run, given)

    def noise_start_layer(self, seed: int) -> Task:
        """The layer of figure A1: the one of ``kh`` where that starts from noise too."""
        settings, hidden = self.settings.noise_start, self.settings.noise_start_hidden
        if (settings, hidden) == (self.settings.layer, self.settings.hidden):
            return self.layer(seed)
        given = {"layer": settings.read, "hidden": hidden, "seed": seed}
        return self._task(f"noise-start-layer-{seed}", "layer", layers.LAYER, given)

    def model(self, name: str, seed: int) -> Task:
        """The training of a model."""
        model, settings = KNOWN[name], self.settings
        given = {"hidden": settings.hidden, "seed": seed, **model.given(settings)}
        needs = {"hybrid": self.model(model.matches, seed)} if model.matches else {}
        if model.first_layer is not None:
            return self._decoder(name, model.first_layer, self.first_layer(model, seed), model.powered, given)
        given |= {"backprop": only(settings.backprop, *model.reads)}
        given |= {"power": settings.decoder.power} if model.powered else {}
        return self._task(f"{name}-{seed}", "train", model.run, given, needs, "models")

    def _decoder(self, name: str, layer: FirstLayer, below: Task, powered: bool, given: Mapping[str, Any]) -> Task:
        settings = self.settings
        decoder = settings.decoder if powered else without(settings.decoder, "power")
        if not powered:
            decoder = dataclasses.replace(decoder, power=1.0)
        cut = self._cut(settings.layer) if layer.learned else {}
        return self._task(
            f"{name}-{given['seed']}",
            "train",
            DECODER,
            {**given, "decoder": decoder, **cut},
            {"layer": below},
            "models",
        )

    def _cut(self, layer: LayerSettings) -> dict[str, Any]:
        return {"p": layer.p, "radius": layer.radius, "pruning": self.settings.pruning.read}

    def noise_start_decoder(self, pruned: bool, seed: int) -> Task:
        """A decoder on the layer that started from noise, to see what pruning costs."""
        settings = self.settings
        cut = self._cut(settings.noise_start)
        cut |= {} if pruned else {"pruning": PruningSettings("none")}
        given = {"hidden": settings.noise_start_hidden, "seed": seed, "decoder": settings.decoder, **cut}
        name = f"noise-start-{'pruned' if pruned else 'whole'}-{seed}"
        return self._task(name, "train", DECODER, given, {"layer": self.noise_start_layer(seed)})

    # Measurements of the paper.

    def _spectra(self, *besides: str) -> dict[str, Any]:
        unread = {"last_on_data", "populations"} - set(besides)
        return {"spectra": without(self.settings.spectra, *unread)}

    def spectra(self, model: str, seed: int) -> Task:
        needs, given = {"model": self.model(model, seed)}, self._spectra("populations")
        if model == "kh":
            needs["layer"] = self.layer(seed)
            given["p"] = self.settings.layer.p
        return self._task(f"spectra-{model}-{seed}", "spectra", spectra.layer_spectra, given, needs)

    def noise_start_spectra(self, seed: int) -> Task:
        given = {**self._cut(self.settings.noise_start), **self._spectra()}
        needs = {"layer": self.noise_start_layer(seed)}
        return self._task(f"spectra-noise-start-{seed}", "spectra", spectra.noise_start_spectra, given, needs)

    def data_spectra(self) -> Task:
        return self._task("spectra-data", "spectra", spectra.data_spectra, self._spectra("last_on_data"))

    def untrained_spectra(self, seed: int) -> Task:
        given = {"seed": seed, "hidden": self.settings.hidden, **self._spectra("populations")}
        return self._task(f"spectra-untrained-{seed}", "spectra", spectra.untrained_spectra, given)

    def called(self, kind: str, model: str, seed: int) -> str:
        """The name of a measurement of a model."""
        return f"{kind}-{model}-{seed}"

    def _of_model(self, kind: str, run: Callable[..., Outcome], model: str, seed: int, **given: Any) -> Task:
        stage, needs = kind if kind in STAGES else "threats", {"model": self.model(model, seed)}
        return self._task(self.called(kind, model, seed), stage, run, {"seed": seed, **given}, needs)

    def attack(self, attack: str, model: str, seed: int) -> Task:
        """An attack over many strengths."""
        record, settings = SWEPT_ATTACKS[attack], self.settings.attacks
        searched = record.searched and settings.method == "search"
        run = SearchedAttack(record) if searched else GridAttack(record)
        given = {"seed": seed, "attacks": only(settings, record.images, *record.reads)}
        needs = {"model": self.model(model, seed)}
        return self._task(f"{attack}-{model}-{seed}", "attacks", run, given, needs)

    def jacobian(self, model: str, seed: int) -> Task:
        needs = {"model": self.model(model, seed)}
        return self._task(f"jacobian-{model}-{seed}", "jacobian", smoothness.jacobian_norms, {}, needs)

    def landscape(self, model: str) -> Task:
        given, needs = {"landscape": self.settings.landscape}, {"model": self.model(model, 0)}
        return self._task(f"landscape-{model}", "landscape", smoothness.landscape, given, needs)

    # Evidence beyond the paper.

    def threat(self, threat: str, model: str, seed: int) -> Task:
        """Attacks of one strength on one model; controls get fewer images."""
        chosen = only(self.settings.threats, *BATTERY, threat, "images")
        if model in KNOWN and KNOWN[model].control:
            chosen = dataclasses.replace(chosen, images=min(self.settings.threats.control_images, chosen.images))
        run = partial(threats.fixed_strength, THREATS[threat])
        return self._of_model(threat, run, model, seed, threats=chosen)

    def transfer(self, threat: str, seed: int) -> Task:
        """The same strength, with attacks made on other models."""
        chosen = only(self.settings.threats, "images", "steps", threat)
        given = {"seed": seed, "threats": chosen, "sources": PAPER_MODELS}
        needs = {model: self.model(model, seed) for model in self.models}
        run = partial(threats.transfer, THREATS[threat])
        return self._task(f"transfer-{threat}-{seed}", "threats", run, given, needs, optional=tuple(needs))

    def minimum_norm(self, model: str, seed: int) -> Task:
        chosen = only(self.settings.threats, "minimum_norm_steps", "targets")
        limit = self.settings.attacks.images
        return self._of_model("minimum_norm", threats.minimum_norm, model, seed, limit=limit, threats=chosen)

    def masking(self, model: str, seed: int) -> Task:
        """With one other model to transfer from."""
        chosen, epsilon = self.settings.masking, self.settings.threats.unit_linf
        task = self._of_model("masking", threats.masked_gradients, model, seed, masking=chosen, epsilon=epsilon)
        source = next(other for other in MASKING_SOURCES if other != model)
        if source not in self.models:
            return task
        needs = {**task.needs, source: self.model(source, seed)}
        return dataclasses.replace(task, needs=needs, optional=(source,))

    def bounds(self, model: str, seed: int) -> Task:
        return self._of_model("bounds", smoothness.bounds, model, seed, bounds=self.settings.bounds)

    def smoothness(self, model: str, seed: int) -> Task:
        return self._of_model("smoothness", smoothness.smoothness, model, seed, smoothness=self.settings.smoothness)

    def boundaries(self, model: str, seed: int) -> Task:
        return self._of_model("boundaries", smoothness.boundaries, model, seed, boundaries=self.settings.boundaries)

    def corruptions(self, model: str, seed: int) -> Task:
        """The same images for all models and seeds."""
        given, needs = {"corruptions": self.settings.corruptions}, {"model": self.model(model, seed)}
        return self._task(self.called("corruptions", model, seed), "corruptions", corruptions, given, needs)

    def if_pictures(self, task: Task) -> list[Task]:
        """The task alone where images are grey or coloured, which all others cannot be corrupted as."""
        return [task] if are_pictures(self.images) else []

    def evidence(self, model: str, seed: int) -> list[Task]:
        """What is measured on a model beyond the paper."""
        strengths = [self.threat(threat, model, seed) for threat in self.settings.threats.names]
        kinds = (self.minimum_norm, self.masking, self.bounds, self.smoothness, self.boundaries)
        return [*strengths, *(kind(model, seed) for kind in kinds), *self.if_pictures(self.corruptions(model, seed))]

    def attacks_on(self, model: str) -> list[str]:
        """The attacks over many strengths that a model gets."""
        return [name for name, one in SWEPT_ATTACKS.items() if one.of_controls or not KNOWN[model].control]

    def all_tasks(self) -> list[Task]:
        """Every task of the experiment and what it builds on, in the order in which they are best run."""
        models, tasks = self.models, [self.data_spectra()]
        for seed in range(self.settings.seeds):
            tasks += [self.layer(seed)] if "kh" in models else []
            tasks += [self.noise_start_layer(seed), self.noise_start_spectra(seed), self.untrained_spectra(seed)]
            tasks += [self.noise_start_decoder(pruned, seed) for pruned in (False, True)]
            tasks += [self.model(model, seed) for model in models]
            tasks += [self.spectra(model, seed) for model in models]
            tasks += [self.jacobian(model, seed) for model in models]
            for attack in SWEPT_ATTACKS:
                tasks += [self.attack(attack, model, seed) for model in models if attack in self.attacks_on(model)]
            tasks += [task for model in models for task in self.evidence(model, seed)]
            tasks += [self.transfer(threat, seed) for threat in self.settings.threats.names] if len(models) > 1 else []
        tasks += [self.landscape(model) for model in models]
        return with_needs(tasks)

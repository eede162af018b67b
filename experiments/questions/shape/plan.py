"""The tasks of question 3: networks whose spectra a penalty shapes, what they are compared with, and their measures."""

from typing import Any

from experiments.engine.estimate import products
from experiments.engine.tasks import Task, with_needs
from experiments.images import Images
from experiments.measuring.alignment import last_of
from experiments.models import FirstLayer
from experiments.questions.plan import QuestionPlan
from experiments.settings.groups import only
from experiments.settings.questions import QuestionSettings
from experiments.settings.shaping import ShapingSettings
from experiments.shaped_models import MATCHED, ROTATED, SHAPED, SHAPES, UNSHAPED
from experiments.training.layers import rotated_layer
from experiments.training.networks import SHAPED as SHAPED_NETWORK
from experiments.training.networks import matched_network

ATTACKS = ("pgd", "minimum_norm")
"""By which critical distances are found."""


class ShapePlan(QuestionPlan):
    """The tasks of question 3.

    Args:
        settings: checked here against the data.
        images: the data.

    Raises:
        ValueError: a setting that cannot work with these data.
    """

    def __init__(self, settings: QuestionSettings, images: Images):
        super().__init__(settings.of_shapes, images, settings.shape.compared_names)
        strengths = self.settings.shape.strengths
        self.shaped = tuple(name for name, (_, strength) in SHAPED.items() if strength in strengths)
        self.matched = tuple(f"{MATCHED}_law_both_{strength}" for strength in strengths)
        self.models = (*self.settings.shape.compared_names, UNSHAPED, *self.shaped, *self.matched, ROTATED)
        if last_of(self.settings.spectra, self.settings.hidden) < self.settings.spectra.first + 2:
            raise ValueError(f"shape.hidden: {self.settings.hidden} units have too few eigenvalues; give it more")

    transfers = False

    def model(self, name: str, seed: int) -> Task:
        """The training of a model, of those of a reproduction too."""
        if name in SHAPED or name == UNSHAPED:
            return self._shaped(name, seed)
        given: dict[str, Any] = {"hidden": self.settings.hidden, "seed": seed}
        if name == ROTATED:
            layer = self._task(
                f"layer-{name}-{seed}",
                "layer",
                rotated_layer,
                given | self._cut(self.settings.layer),
                {"layer": self.layer(seed)},
            )
            return self._decoder(name, FirstLayer(rotated_layer), layer, True, given)
        if name in self.matched:
            needs = {"hybrid": self.model(name.removeprefix(f"{MATCHED}_"), seed)}
            given |= {"backprop": self.settings.backprop}
            return self._task(f"{name}-{seed}", "train", matched_network, given, needs, "models")
        return super().model(name, seed)

    def _shaped(self, name: str, seed: int) -> Task:
        settings, (kind, strength) = self.settings, SHAPED.get(name, ("law_images", ""))
        shape, weight = SHAPES[kind], getattr(settings.shape, strength) if strength else 0.0
        # Images may vary in fewer directions than they have pixels; the end of the rule's own spectra is rounding.
        last = min(settings.hidden, self.images.inputs // 2) // (2 if shape.copied else 1)
        pace = vars(settings.spectral) | {"weight": weight}
        shaping = ShapingSettings(**pace, on=shape.on, copied=shape.copied, last=last)
        given = {
            "hidden": settings.hidden,
            "seed": seed,
            "spectral": shaping,
            "backprop": only(settings.backprop, "epochs", "batch_size"),
        }
        needs = {"layer": self.alignment("kh", seed)} if shape.copied else {}
        return self._task(f"{name}-{seed}", "train", SHAPED_NETWORK, given, needs, "models")

    def targets(self, name: str) -> dict[str, float | None]:
        """The exponents that a network is to have, by the inputs; None is the one of the rule's layer."""
        if name not in SHAPED:
            return {"images": self.settings.spectral.exponent} if name == "spectral" else {}
        shape = SHAPES[SHAPED[name][0]]
        return dict.fromkeys(shape.on, None if shape.copied else self.settings.spectral.exponent)

    def attacks_on(self, model: str) -> list[str]:
        return [attack for attack in ATTACKS if attack != "minimum_norm"]

    def pairs(self) -> list[tuple[str, str]]:
        """The hypotheses' own: with the law on both, and with the rule's spectra."""
        pairs = [("kh", ROTATED), *(("kh", other) for other in ("kmeans", "bp_matched", "spectral"))]
        for strength in self.settings.shape.strengths:
            both = f"law_both_{strength}"
            pairs += [(both, other) for other in (f"law_images_{strength}", f"{MATCHED}_{both}", UNSHAPED)]
            copied = f"rule_spectra_{strength}"
            pairs += [(copied, UNSHAPED), ("kh", copied), ("kh", both)]
        return [pair for pair in pairs if set(pair) <= set(self.models)]

    def all_tasks(self) -> list[Task]:
        tasks = [self.images_spectrum()]
        for seed in range(self.settings.seeds):
            tasks += [self.alignment("kh", seed)]
            tasks += [self.model(model, seed) for model in self.models]
            for one in (self.alignment, self.jacobian, self.smoothness, self.minimum_norm):
                tasks += [one(model, seed) for model in self.models]
            tasks += [self.attack(attack, model, seed) for model in self.models for attack in self.attacks_on(model)]
            tasks += [self.threat(name, model, seed) for name in self.settings.threats.names for model in self.models]
        return with_needs(tasks)


def counted(task: Task, units: int) -> float:
    """How many products of an image with a layer a task comes to: renewals pass the covariance through the layer."""
    shaping = task.given.get("spectral")
    if not isinstance(shaping, ShapingSettings):
        return products(task, units)
    epochs, batch = task.given["backprop"].epochs, task.given["backprop"].batch_size
    renewals = epochs * len(task.images.dataset.train_images) / batch / shaping.refresh_every
    return products(task, units) + renewals * task.images.inputs * ("images" in shaping.on)

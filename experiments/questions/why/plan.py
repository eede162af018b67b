"""The tasks of question 1.

Layers and networks are those of a reproduction with the same settings, task for task; what is measured on them is new.
Of a model that is not attacked the first layer is enough, and no decoder is trained.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.engine.estimate import products
from experiments.engine.tasks import Task, with_needs
from experiments.images import Images
from experiments.measuring import alignment, fixed_point
from experiments.models import KNOWN
from experiments.questions.plan import QuestionPlan
from experiments.results.evidence import COMPARED
from experiments.settings.groups import only
from experiments.settings.questions import QuestionSettings
from experiments.training.courses import LAYER_COURSE, NETWORK_COURSE
from experiments.training.layers import LAYER

START = "kh_start"
"""Training images as rows: what rows that share one of their properties are compared with."""
COURSES = ("kh", "noise_start", "bp")
"""Trainings that are followed: the layer from images and from noise, and backpropagation."""
RESTING = ("kh", "noise_start", "kh_start")
"""Layers that are held against the rule's fixed point; the last has not learned."""


class WhyPlan(QuestionPlan):
    """The tasks of question 1.

    Args:
        settings: checked here against the data.
        images: the data.

    Raises:
        ValueError: a setting that cannot work with these data.
    """

    def __init__(self, settings: QuestionSettings, images: Images):
        super().__init__(settings, images)
        most = len(images.dataset.train_images)
        for _, hidden in settings.variants.values():
            if settings.layer.start == "samples" and hidden > most:
                raise ValueError(f"why: {hidden} rows cannot start from {most} training images")
        self.attacked = settings.attacked

    def course(self, name: str, seed: int) -> Task:
        settings = self.settings
        looks = {"looks": settings.why.looks, **self._window(), "seed": seed}
        given: dict[str, Any]
        if name == "bp":
            given = {"backprop": only(settings.backprop, *KNOWN["bp"].reads), "hidden": settings.hidden}
            return self._task(f"course-bp-{seed}", "course", NETWORK_COURSE, {**looks, **given})
        layer, hidden = settings.layer, settings.hidden
        if name == "noise_start":
            layer, hidden = settings.noise_start, settings.noise_start_hidden
        given = {"layer": layer.read, "hidden": hidden}
        return self._task(f"course-{name}-{seed}", "course", LAYER_COURSE, {**looks, **given})

    def trained(self, name: str) -> Callable[[int], Task]:
        """The task of which a course is the way."""
        tasks: dict[str, Callable[[int], Task]] = {"kh": self.layer, "noise_start": self.noise_start_layer}
        return tasks.get(name, partial(self.model, name))

    def fixed_point(self, name: str, seed: int) -> Task:
        settings = self.settings
        layer, below = {
            "kh": lambda: (settings.layer, self.layer(seed)),
            "noise_start": lambda: (settings.noise_start, self.noise_start_layer(seed)),
            "kh_start": lambda: (settings.layer, self.first_layer(KNOWN["kh_start"], seed)),
        }[name]()
        rule = only(layer, "p", "k", "delta", "radius")
        given = {"layer": rule, **self._window()}
        return self._task(f"rest-{name}-{seed}", "rest", fixed_point.fixed_point, given, {"layer": below})

    def variant(self, name: str, seed: int) -> Task:
        """What the spectrum of a layer trained with one other setting is made of."""
        layer, hidden = self.settings.variants[name]
        called = f"variant-{name.replace(' ', '-')}-{seed}"
        trained = self._task(called, "layer", LAYER, {"layer": layer.read, "hidden": hidden, "seed": seed})
        if (hidden, layer) == (self.settings.hidden, self.settings.layer):
            trained = self.layer(seed)
        smallest = min(hidden for _, hidden in self.settings.variants.values())
        last = alignment.last_of(self.settings.spectra, smallest)
        given = {**self._window(last), **self._cut(layer)}
        return self._task(f"alignment-{called}", "alignment", alignment.alignment, given, {"layer": trained})

    def pairs(self) -> list[tuple[str, str]]:
        """Images as rows, with all others that are attacked."""
        return [(START, model) for model in self.attacked if model != START] if START in self.attacked else []

    def all_tasks(self) -> list[Task]:
        tasks = [self.images_spectrum()]
        for seed in range(self.settings.seeds):
            tasks += [self.alignment(model, seed) for model in self.models]
            tasks += [self.course(name, seed) for name in COURSES]
            tasks += [self.fixed_point(name, seed) for name in RESTING]
            tasks += [self.variant(name, seed) for name in self.settings.variants]
            tasks += [self.model(model, seed) for model in self.attacked]
            tasks += [self.jacobian(model, seed) for model in self.attacked]
            for attack in COMPARED:
                one = self.minimum_norm if attack == "minimum_norm" else partial(self.attack, attack)
                tasks += [one(model, seed) for model in self.attacked]
        return with_needs(tasks)


def counted(task: Task, units: int) -> float:
    """How many products of an image with a layer a task comes to, for the estimate of its time."""
    if task.stage == "course":
        given = task.given
        epochs = (given["layer"] if "layer" in given else given["backprop"]).epochs
        return len(task.images.dataset.train_images) * epochs * (1 if "layer" in given else 2)
    return products(task, units)

"""The tasks of question 2: models trained on every set, and what is measured of both."""

from typing import Any

from experiments.engine.tasks import Task, with_needs
from experiments.images import Images
from experiments.measuring import dimension
from experiments.plan import Plan
from experiments.questions.dimension.sets import sets_of
from experiments.settings.groups import only
from experiments.settings.paths import with_settings
from experiments.settings.questions import QuestionSettings


class OfSet(Plan):
    """The tasks on one set of data."""

    def __init__(self, name: str, settings: QuestionSettings, images: Images):
        chosen = settings.dimension
        super().__init__(with_settings(settings, {"hidden": chosen.hidden}), images, chosen.model_names)
        self.name, self.points = name, chosen.points

    def task_name(self, name: str, stage: str) -> str:
        """By the name of the set."""
        return f"{self.name.replace(' ', '-')}-{name}"

    def _given(self) -> dict[str, Any]:
        spectra = only(self.settings.spectra, "first", "last_on_images")
        return {"spectra": spectra, "points": self.points, "units": self.settings.hidden}

    def of_data(self) -> Task:
        return self._task("data", "dimension", dimension.dimensions, self._given())

    def of_model(self, model: str, seed: int) -> Task:
        needs = {"model": self.model(model, seed)}
        return self._task(f"dimension-{model}-{seed}", "dimension", dimension.dimensions, self._given(), needs)


class DimensionPlan(Plan):
    """The tasks of question 2.

    Args:
        settings: checked here against the data.
        images: whose number of pixels all sets have, and of which some are restricted.

    Raises:
        ValueError: settings that cannot work with these data.
    """

    settings: QuestionSettings

    def __init__(self, settings: QuestionSettings, images: Images):
        chosen = settings.dimension
        super().__init__(with_settings(settings, {"hidden": chosen.hidden}), images, chosen.model_names)
        for name, there in (("train_images", images.dataset.train_images), ("test_images", images.dataset.test_images)):
            if getattr(chosen, name) > len(there):
                raise ValueError(f"dimension.{name.replace('_', '-')}: {images.dataset.name} has {len(there)}")
        if chosen.directions and max(chosen.directions) >= images.inputs:
            raise ValueError(f"dimension.directions must be below the number of pixels, {images.inputs}")
        self.trained = chosen.model_names
        self.of_sets = {name: OfSet(name, settings, one) for name, one in sets_of(chosen, images).items()}

    def all_tasks(self) -> list[Task]:
        tasks = []
        for plan in self.of_sets.values():
            tasks.append(plan.of_data())
            tasks += [plan.of_model(model, seed) for seed in range(self.settings.seeds) for model in self.trained]
        return with_needs(tasks)

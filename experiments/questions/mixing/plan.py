"""The tasks of questions 4 and 5: every network is trained and measured, from its boundaries to its spectrum.

A network is a model at settings of its own; layers that several share are trained once.
"""

from experiments.engine.tasks import Task, with_needs
from experiments.images import Images
from experiments.measuring import alignment
from experiments.plan import Plan
from experiments.questions.mixing.recipes import Recipe, recipes
from experiments.settings.groups import only
from experiments.settings.paths import with_settings
from experiments.settings.questions import QuestionSettings


class OfRecipe(Plan):
    """The tasks of one network, by its name."""

    def __init__(self, recipe: Recipe, settings: QuestionSettings, images: Images):
        chosen = {"hidden": settings.mixing.hidden, **recipe.changed}
        super().__init__(with_settings(settings, chosen), images, (recipe.model,))
        self.recipe = recipe

    def task_name(self, name: str, stage: str) -> str:
        """By the network's name; layers are those of several."""
        return name if stage == "layer" else name.replace(self.recipe.model, self.recipe.name, 1)

    def alignment(self, seed: int) -> Task:
        spectra = only(self.settings.spectra, "first", "last_on_images", "last_on_noise")
        needs = {"model": self.model(self.recipe.model, seed)}
        name = f"alignment-{self.recipe.model}-{seed}"
        return self._task(name, "alignment", alignment.alignment, {"spectra": spectra}, needs)

    def of_seed(self, seed: int) -> list[Task]:
        kinds = (self.model, self.jacobian, self.smoothness, self.minimum_norm, self.boundaries)
        return [*(kind(self.recipe.model, seed) for kind in kinds), self.alignment(seed)]


class MixingPlan(Plan):
    """The tasks of all networks.

    Args:
        settings: checked here against the data, for every network.
        images: the data.

    Raises:
        ValueError: settings that cannot work with these data.
    """

    settings: QuestionSettings

    def __init__(self, settings: QuestionSettings, images: Images):
        super().__init__(with_settings(settings, {"hidden": settings.mixing.hidden}), images, ())
        self.of_recipes = [OfRecipe(recipe, settings, images) for recipe in recipes(settings)]

    def all_tasks(self) -> list[Task]:
        seeds = range(self.settings.seeds)
        # One kind of network after the other, so that each program is compiled once while it is at hand.
        return with_needs([task for seed in seeds for plan in self.of_recipes for task in plan.of_seed(seed)])

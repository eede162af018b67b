"""What the plans of questions share: the spectra of a first layer, and what they are made of."""

import dataclasses
from typing import Any

from experiments.engine.tasks import Task
from experiments.measuring import alignment
from experiments.models import KNOWN
from experiments.plan import Plan
from experiments.settings.groups import only
from experiments.settings.questions import QuestionSettings


class QuestionPlan(Plan):
    """A plan that looks at the spectra of first layers; see :class:`experiments.plan.Plan`."""

    settings: QuestionSettings

    def _window(self, last: int | None = None) -> dict[str, Any]:
        chosen = only(self.settings.spectra, "first", "last_on_images", "last_on_noise")
        return {"spectra": chosen if last is None else dataclasses.replace(chosen, last_on_images=last)}

    def images_spectrum(self) -> Task:
        return self._task("spectrum-images", "alignment", alignment.spectrum_of_images, self._window())

    def alignment(self, model: str, seed: int) -> Task:
        """Of a model's first layer, whether or not a decoder is trained on it."""
        first, given = KNOWN[model].first_layer if model in KNOWN else None, self._window()
        if first is None:
            needs = {"model": self.model(model, seed)}
        else:
            needs = {"layer": self.first_layer(KNOWN[model], seed)}
            given |= self._cut(self.settings.layer) if first.learned else {}
        return self._task(f"alignment-{model}-{seed}", "alignment", alignment.alignment, given, needs)

"""The plan of a run on a stream: trainings read it, measurements are those of a reproduction, on images in memory."""

import dataclasses
from collections.abc import Callable, Mapping

from experiments.attacks import ATTACKS
from experiments.engine.tasks import Outcome, Task, with_needs
from experiments.models import Model
from experiments.plan import Plan
from experiments.settings.groups import only
from experiments.settings.reproduction import Settings
from experiments.settings.streams import MODELS, StreamSettings
from experiments.streamed_images import StreamedImages
from experiments.training import streamed

# First layers that look at every image.
LEARNED: Mapping[str, Callable[..., Outcome]] = {"kh": streamed.layer, "kmeans": streamed.centroids}


class StreamPlan(Plan):
    """The tasks of a run on a stream.

    Args:
        settings: of a reproduction; checked here against the data.
        stream: how images are read.
        images: the data.

    Raises:
        ValueError: a setting that cannot work with these data, or a model that needs all images at once.
    """

    def __init__(self, settings: Settings, stream: StreamSettings, images: StreamedImages):
        for name in settings.model_names:
            if name not in MODELS:
                raise ValueError(f"{name} cannot be trained on a stream; choose among {', '.join(MODELS)}")
        if settings.layer.start != "samples":
            raise ValueError("a layer on a stream starts from samples; leave --layer.start")
        super().__init__(settings, images, settings.model_names)
        self.stream = only(stream, "window", "chunk")

    def first_layer(self, model: Model, seed: int) -> Task:
        task = super().first_layer(model, seed)
        if model.name in LEARNED:
            return dataclasses.replace(task, run=LEARNED[model.name], given={**task.given, "stream": self.stream})
        return dataclasses.replace(task, run=streamed.images_as_rows) if model.name == "kh_start" else task

    def model(self, name: str, seed: int) -> Task:
        task = super().model(name, seed)
        run = streamed.decoder if "layer" in task.needs else streamed.network
        return dataclasses.replace(task, run=run, given={**task.given, "stream": self.stream})

    def all_tasks(self) -> list[Task]:
        tasks: list[Task] = []
        for seed in range(self.settings.seeds):
            tasks += [self.model(model, seed) for model in self.models]
            for kind in (self.spectra, self.jacobian, self.smoothness, self.minimum_norm):
                tasks += [kind(model, seed) for model in self.models]
            tasks += [task for model in self.models for task in self.if_pictures(self.corruptions(model, seed))]
            tasks += [self.attack(attack, model, seed) for attack in ATTACKS for model in self.models]
            tasks += [
                self.threat(threat, model, seed) for threat in self.settings.threats.names for model in self.models
            ]
        return with_needs(tasks)

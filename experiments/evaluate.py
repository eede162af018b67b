"""Evaluate your own network: ``python -m experiments.evaluate --network my_module:build --weights model.safetensors``.

The folder of the run then holds results.json, figures/ and report.html, as a reproduction's does, with the published
reference models beside the network; run again on the same folder it continues where it was stopped.
"""

import dataclasses
import logging
import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.brought import Brought, Loaded, Space, check, loaded, suspicion
from experiments.engine.command import SideBySide, following, following_in_pixels, images_of, parsed
from experiments.engine.job import Job, complete
from experiments.engine.ledger import Ledger
from experiments.evaluation_estimate import evaluation_estimate
from experiments.evaluation_plan import EvaluationPlan
from experiments.images import Images, RawImages
from experiments.models import STYLES
from experiments.results.evaluation import REFERENCES
from experiments.settings.evaluation import UNREAD, EvaluationSettings, evaluation_preset
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.weights.pytorch import EPSILON

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command(SideBySide):
    """Is your network's representation smooth, a power law, robust?

    Measures a classifier of your own, a Flax nnx.Module or a function from flattened images (batch, height · width ·
    channels) to logits: accuracy, covariance spectra and Jacobians of its representations, attacks, shortest
    adversarial perturbations, signs of masked gradients, smoothness and decision boundaries; and shows the published
    reference models beside it. Stop it whenever you like: run again on the same folder, it goes on where it was.
    """

    network: str = ""
    """Module and function that make it, my_module:build; the module is looked for where the command runs, too."""
    weights: Path | None = None
    """Its weights: Flax state as .npz or a folder of Orbax, or a PyTorch state dict as .safetensors; without them it is
    taken as it is built."""
    taps: tuple[str, ...] = ()
    """Names of its representations, in order; those that the network lists if not given. The last one stands for it."""
    input: Space = "raw"
    """What it takes: raw pixels in [0, 1], or images divided by their own norm, as the reference models do. This is
    also the space of every ε and length; only numbers of one space stand beside each other."""
    mean: tuple[float, ...] = ()
    """Subtracted from the pixels before the network: a number, or one for each channel."""
    std: tuple[float, ...] = ()
    """By which they are then divided."""
    names: tuple[str, ...] = ()
    """PyTorch's names of modules where they cannot be told: stages.0=layer1 holds for what is within it, too."""
    flattened: tuple[str, ...] = ()
    """Height, width and channels of the map behind which a dense layer stands, where they cannot be told: fc=8,8,64."""
    epsilon: float = EPSILON
    """That PyTorch's norms had; a state dict does not say."""
    half_precision: bool = False
    """Take weights of 16 bits, which are computed with in 32."""
    name: str = ""
    """What tables and figures call it; if not given, after its module."""
    out: Path | None = None
    """Folder of the run; runs/NAME if not given."""
    references: Path = REFERENCES
    """Folder of a published run whose models stand beside."""
    settings: Annotated[EvaluationSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: evaluation_preset("quick")
    )

    @property
    def called(self) -> str:
        """The name, as files have it."""
        return re.sub(r"[^\w.-]+", "_", self.name or self.network.partition(":")[0].rpartition(".")[2])


def parse(arguments: list[str], prog: str = "python -m experiments.evaluate") -> Command:
    """See :func:`experiments.engine.command.parsed`."""
    return parsed(Command, evaluation_preset, arguments, prog, UNREAD)


def run(command: Command) -> Path:
    """Do what the command says and return the folder of the run.

    Raises:
        ValueError: a network, weights or a setting that cannot work, before long work.
        OSError: a file cannot be read, or the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    from experiments.report.closing import close_evaluation  # with Matplotlib, for which --help need not wait

    if not command.network:
        raise ValueError("--network: name the module and function that make your network, my_module:build")
    command.settings.of_reproduction(command.preset).check_values()
    if command.references != REFERENCES and not (command.references / "results.json").is_file():
        raise ValueError(f"--references: {command.references} holds no results.json; name the folder of a finished run")
    if command.called in STYLES:
        raise ValueError(f"--name: {command.called} is a reference model's; choose another")

    def what(plan: EvaluationPlan) -> str:
        if (said := suspicion(plan.network, plan.images)) is not None:
            logger.warning("%s", said)
        return f"{command.called} on {plan.images.dataset.name}"

    def close(plan: EvaluationPlan, ledger: Ledger) -> list[str]:
        return close_evaluation(plan, ledger, command.preset, command.references)

    directory = command.out or Path("runs") / command.called
    kind = RawImages if command.input == "raw" else Images
    images = partial(images_of, kind=kind)
    job = Job(directory, command, command.settings, partial(_planned, command), images)
    complete(job, what, close, estimated=evaluation_estimate)
    return directory


def _planned(command: Command, images: Images) -> EvaluationPlan:
    network = load(command, images)
    check(network, images)
    if isinstance(images, RawImages):
        settings = following_in_pixels(command, command.settings, images, evaluation_preset(command.preset))
    else:
        settings = following(command, command.settings, images)
    taps = command.taps or tuple(getattr(network.network, "taps", ()))
    return EvaluationPlan(command.called, network, taps, settings, command.preset, images)


def load(command: Command, images: Images) -> Loaded:
    """The network of the command, with its weights."""
    brought = Brought(command.network, images.dataset.image_shape, command.mean, command.std)
    flattened = {}
    for path, sizes in _pairs("--flattened", command.flattened).items():
        numbers = sizes.split(",")
        if len(numbers) != 3 or not all(number.strip().isdigit() for number in numbers):
            raise ValueError(f"--flattened: give height, width and channels as fc=8,8,64, not {path}={sizes}")
        flattened[path] = tuple(map(int, numbers))
    options: dict[str, Any] = {
        "names": _pairs("--names", command.names),
        "flattened": flattened,
        "epsilon": command.epsilon,
        "half_precision": command.half_precision,
    }
    return loaded(brought, command.weights, options)


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if any(not (left and right) for left, _, right in pairs):
        raise ValueError(f"{option}: give pairs such as a.b=c, not {' '.join(given)}")
    return {left: right for left, _, right in pairs}


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

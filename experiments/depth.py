"""Does robustness come with depth, and do untrained patches have it too? ``python -m experiments.depth``.

The folder of the run then holds results.json, figures/ and report.html; run again on the same folder it continues where
it was stopped.
"""

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.depth_plan import DepthPlan
from experiments.engine.command import Place, check_devices, following, preset_of, with_user_paths, working_in
from experiments.engine.estimate import Estimate
from experiments.engine.ledger import Ledger
from experiments.engine.running import complete_all
from experiments.engine.tasks import Task
from experiments.engine.workers import Workers, share_device
from experiments.evaluation_estimate import passes, seconds_of_a_pass
from experiments.images import Images, RawImages
from experiments.report.closing import close_depth
from experiments.settings.depth import DEPTH_PRESETS, DepthSettings
from experiments.settings.evaluation import in_pixels
from jax_bioadv.command_line import IncompleteError, exit_code, start

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command(Place):
    """Does robustness come with depth?

    Trains convolutional networks of one to three layers on raw pixels: locally, layer by layer; by backpropagation,
    plain and regularized; and on filters that nobody has trained. Measures accuracy, covariance spectra and Jacobians
    of every representation, attacks, smoothness and decision boundaries. Stop it whenever you like: run again on the
    same folder, it goes on where it was.
    """

    out: Path | None = None
    """Folder of the run; runs/depth-PRESET if not given."""
    workers: int = 1
    """Processes that share the device, and the cores."""
    settings: Annotated[DepthSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: DEPTH_PRESETS["quick"]
    )

    @property
    def directory(self) -> Path:
        """Of the run."""
        return self.out or Path("runs") / f"depth-{self.preset}"


def parse(arguments: list[str]) -> Command:
    """The command line, with the settings of the preset that it names as defaults.

    Raises:
        ValueError: two presets, or a home folder that is not known.
    """
    chosen = preset_of(arguments)
    default = Command(preset=chosen, settings=DEPTH_PRESETS[chosen])
    return with_user_paths(tyro.cli(Command, args=arguments, default=default, prog="python -m experiments.depth"))


def run(command: Command) -> Path:
    """Do what the command says and return the folder of the run.

    Raises:
        ValueError: a setting that cannot work, before long work.
        OSError: the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    share_device(command.workers)
    check_devices()
    with working_in(command.directory, command, command.settings, RawImages) as images:
        plan, ledger = _planned(command, images), Ledger(command.directory)
        what = f"{command.preset} study of depth on {images.dataset.name}"
        workers = Workers(command.workers, partial(_in_a_worker, command))
        complete_all(plan.settings, ledger, plan.all_tasks(), what, partial(_estimate, plan), workers)
        ledger.clear_up(plan.all_tasks())
        complaints = [*ledger.complaints(), *close_depth(plan, ledger, command.preset)]
        if complaints:
            raise IncompleteError("; ".join(complaints))
    return command.directory


def _planned(command: Command, images: Images) -> DepthPlan:
    assert isinstance(images, RawImages)
    measured = in_pixels(following(command, command.settings.measured, images), images.typical_norm)
    return DepthPlan(dataclasses.replace(command.settings, measured=measured), command.preset, images)


@contextlib.contextmanager
def _in_a_worker(command: Command) -> Iterator[tuple[list[Task], Ledger]]:
    with working_in(command.directory, command, command.settings, RawImages, locked=False) as images:
        yield _planned(command, images).all_tasks(), Ledger(command.directory)


def _estimate(plan: DepthPlan, settings: Any, images: Any) -> Estimate:
    """In passes through the deepest network."""
    deepest = plan.example(max(plan.models, key=lambda name: name.rpartition("-")[2]))
    return Estimate(settings, images, seconds_of_a_pass(deepest, images), passes)


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

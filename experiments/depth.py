"""Does robustness come with depth, and do untrained patches have it too? ``python -m experiments.depth``.

The folder of the run then holds results.json, figures/ and report.html; run again on the same folder it continues where
it was stopped.
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from experiments.depth_plan import DepthPlan
from experiments.engine.command import SideBySide, following_in_pixels, images_of, parsed
from experiments.engine.estimate import Estimate
from experiments.engine.job import Job, complete
from experiments.engine.ledger import Ledger
from experiments.evaluation_estimate import passes, seconds_of_a_pass
from experiments.images import Images, RawImages
from experiments.settings.depth import DEPTH_PRESETS, UNREAD, DepthSettings
from jax_bioadv.command_line import exit_code, start


@dataclasses.dataclass(frozen=True)
class Command(SideBySide):
    """Does robustness come with depth?

    Trains convolutional networks of one to three layers on raw pixels: locally, layer by layer; by backpropagation,
    plain and regularized; and on filters that nobody has trained. Measures accuracy, covariance spectra and Jacobians
    of every representation, attacks, smoothness and decision boundaries. Stop it whenever you like: run again on the
    same folder, it goes on where it was.
    """

    out: Path | None = None
    """Folder of the run; runs/depth-PRESET if not given."""
    settings: Annotated[DepthSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: DEPTH_PRESETS["quick"]
    )

    @property
    def directory(self) -> Path:
        """Of the run."""
        return self.out or Path("runs") / f"depth-{self.preset}"


def parse(arguments: list[str]) -> Command:
    """See :func:`experiments.engine.command.parsed`."""
    return parsed(Command, DEPTH_PRESETS.__getitem__, arguments, "python -m experiments.depth", UNREAD)


def run(command: Command) -> Path:
    """Do what the command says and return the folder of the run.

    Raises:
        ValueError: a setting that cannot work, before long work.
        OSError: the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    from experiments.report.closing import close_depth  # with Matplotlib, for which --help need not wait

    def what(plan: DepthPlan) -> str:
        return f"{command.preset} study of depth on {plan.images.dataset.name}"

    def close(plan: DepthPlan, ledger: Ledger) -> list[str]:
        return close_depth(plan, ledger, command.preset)

    job = Job(
        command.directory, command, command.settings, partial(_planned, command), partial(images_of, kind=RawImages)
    )
    complete(job, what, close, estimated=_estimate)
    return command.directory


def _planned(command: Command, images: Images) -> DepthPlan:
    assert isinstance(images, RawImages)
    usual = DEPTH_PRESETS[command.preset].measured
    measured = following_in_pixels(command, command.settings.measured, images, usual)
    return DepthPlan(dataclasses.replace(command.settings, measured=measured), command.preset, images)


def _estimate(plan: DepthPlan) -> Estimate:
    """In passes through the deepest network."""
    deepest = plan.example(max(plan.models, key=lambda name: name.rpartition("-")[2]))
    return Estimate(plan.settings, plan.images, seconds_of_a_pass(deepest, plan.images), passes)


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

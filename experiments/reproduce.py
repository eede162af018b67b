"""Reproduce the paper: ``python -m experiments.reproduce --preset quick --out runs/quick``.

Run again on the same folder it continues where it was stopped; a changed setting runs again what depends on it and
nothing else. The folder then holds results.json, figures/, report.html, models/, arrays/ and a log.
"""

import dataclasses
import logging
import sys
from functools import partial
from pathlib import Path

from experiments.engine.command import Options, SideBySide, following, parsed
from experiments.engine.job import Job, complete
from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Task, with_needs
from experiments.images import Images
from experiments.measuring.threats import left_out
from experiments.plan import STAGES, Plan
from experiments.settings.presets import PRESETS
from jax_bioadv.command_line import exit_code, start

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command(Options, SideBySide):
    """Reproduce "Exploring Biologically Inspired Mechanisms of Adversarial Robustness" (arXiv 2405.00679).

    Trains a Krotov–Hopfield layer and four networks by backpropagation, measures their covariance spectra,
    robustness, Jacobian norms and decision boundaries, and writes results.json, the paper's figures and report.html
    into one folder. Stop it whenever you like: run again on the same folder, it goes on where it was.

    Presets: smoke (a minute, scikit-learn's digits, no network), quick (CIFAR-10 at reduced size, some ten minutes on
    two CPU cores), paper (the published sizes, for a GPU or TPU). Every setting below may be changed; --help shows the
    values of the preset that is named with it.
    """

    out: Path | None = None
    """Folder of the run; runs/PRESET if not given."""
    stages: str = ",".join(STAGES)
    """Stages to run, separated by commas; what they build on is run too."""

    @property
    def directory(self) -> Path:
        """Of the run."""
        return self.out or Path("runs") / self.preset


def parse(arguments: list[str]) -> Command:
    """See :func:`experiments.engine.command.parsed`."""
    return parsed(Command, PRESETS.__getitem__, arguments, "python -m experiments.reproduce")


def run(command: Command) -> Path:
    """Do what the command says and return the folder of the run.

    Raises:
        ValueError: a setting that cannot work, before any work.
        OSError: the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    from experiments.report.closing import close_run  # with Matplotlib, for which --help need not wait

    stages = [stage.strip() for stage in command.stages.split(",")]
    for stage in stages:
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; choose among {', '.join(STAGES)}")
    command.settings.check_values()

    def what(plan: Plan) -> str:
        for note in left_out(plan.images):
            logger.info("as expected, %s", note)
        return f"{command.preset} on {plan.images.dataset.name}"

    def wanted(plan: Plan) -> list[Task]:
        return with_needs(task for task in plan.all_tasks() if task.stage in stages)

    def close(plan: Plan, ledger: Ledger) -> list[str]:
        return close_run(plan, ledger, command.preset)

    job = Job(command.directory, command, command.settings, partial(_planned, command))
    complete(job, what, close, wanted)
    return command.directory


def _planned(command: Command, images: Images) -> Plan:
    return Plan(following(command, command.settings, images), images)


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

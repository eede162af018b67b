"""Reproduce the paper: ``python -m experiments.reproduce --preset quick --out runs/quick``.

Run again on the same folder it continues where it was stopped; a changed setting runs again what depends on it and
nothing else. The folder then holds results.json, figures/, report.html, models/, arrays/ and a log.
"""

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import tyro

from experiments.engine.command import Options, check_devices, following, preset_of, with_user_paths, working_in
from experiments.engine.ledger import Ledger
from experiments.engine.running import complete_all
from experiments.engine.tasks import Task, with_needs
from experiments.engine.workers import Workers, share_device
from experiments.measuring.threats import left_out
from experiments.plan import STAGES, Plan
from experiments.report.closing import close_run
from experiments.settings.presets import PRESETS
from jax_bioadv.command_line import IncompleteError, exit_code, start

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command(Options):
    """Reproduce "Exploring Biologically Inspired Mechanisms of Adversarial Robustness" (arXiv 2405.00679).

    Trains a Krotov–Hopfield layer and four networks by backpropagation, measures their covariance spectra,
    robustness, Jacobian norms and decision boundaries, and writes results.json, the paper's figures and report.html
    into one folder. Stop it whenever you like: run again on the same folder, it goes on where it was.

    Presets: smoke (seconds, scikit-learn's digits, no network), quick (CIFAR-10 at reduced size, some ten minutes on
    two CPU cores), paper (the published sizes, for a GPU or TPU). Every setting below may be changed; --help shows the
    values of the preset that is named with it.
    """

    out: Path | None = None
    """Folder of the run; runs/PRESET if not given."""
    stages: str = ",".join(STAGES)
    """Stages to run, separated by commas; what they build on is run too."""
    workers: int = 1
    """Processes that share the device: on an accelerator the others use it while one compiles or works on the host."""

    @property
    def directory(self) -> Path:
        """Of the run."""
        return self.out or Path("runs") / self.preset


def parse(arguments: list[str]) -> Command:
    """The command line, with the settings of the preset that it names as defaults.

    Raises:
        ValueError: two presets, or a home folder that is not known.
    """
    chosen = preset_of(arguments)
    default = Command(preset=chosen, settings=PRESETS[chosen])
    command = tyro.cli(Command, args=arguments, default=default, prog="python -m experiments.reproduce")
    return with_user_paths(command)


def run(command: Command) -> Path:
    """Do what the command says and return the folder of the run.

    Raises:
        ValueError: a setting that cannot work, before any work.
        OSError: the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    share_device(command.workers)
    directory = command.directory
    stages = [stage.strip() for stage in command.stages.split(",")]
    for stage in stages:
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; choose among {', '.join(STAGES)}")
    command.settings.check_values()
    check_devices()
    with working_in(directory, command, command.settings) as images:
        for note in left_out(images):
            logger.info("as expected, %s", note)
        settings = following(command, command.settings, images)
        plan, ledger = Plan(settings, images), Ledger(directory)
        everything = plan.all_tasks()
        wanted = with_needs(task for task in everything if task.stage in stages)
        what = f"{command.preset} on {images.dataset.name}"
        workers = Workers(command.workers, partial(_in_a_worker, command))
        complete_all(settings, ledger, wanted, what, workers=workers)
        ledger.clear_up(everything)
        complaints = [*ledger.complaints(), *close_run(plan, ledger, command.preset)]
        if complaints:
            raise IncompleteError("; ".join(complaints))
    return directory


@contextlib.contextmanager
def _in_a_worker(command: Command) -> Iterator[tuple[list[Task], Ledger]]:
    with working_in(command.directory, command, command.settings, locked=False) as images:
        yield Plan(following(command, command.settings, images), images).all_tasks(), Ledger(command.directory)


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

"""Reproduce the paper: ``python -m experiments.reproduce --preset quick --out runs/quick``.

Run again on the same folder it continues where it was stopped; a changed setting runs again what depends on it and
nothing else. The folder then holds results.json, figures/, report.html, models/, arrays/ and a log.
"""

import dataclasses
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from experiments.engine.command import check_devices, load_images, logging_to, option, with_user_paths
from experiments.engine.estimate import Estimate, in_words
from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Task, exclusive, progress, with_needs
from experiments.images import Images
from experiments.measuring.threats import left_out
from experiments.plan import STAGES, Plan
from experiments.report import figures as drawing
from experiments.report import write_report
from experiments.results import figure_arrays
from experiments.results.collect import collect
from experiments.settings.presets import PRESETS, Preset
from experiments.settings.reproduction import Settings
from jax_bioadv.command_line import IncompleteError, exit_code, start
from jax_bioadv.compilation_cache import keep_compiled_programs
from jax_bioadv.storage import write_json

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command:
    """Reproduce "Exploring Biologically Inspired Mechanisms of Adversarial Robustness" (arXiv 2405.00679).

    Trains a Krotov–Hopfield layer and four networks by backpropagation, measures their covariance spectra,
    robustness, Jacobian norms and decision boundaries, and writes results.json, the paper's figures and report.html
    into one folder. Stop it whenever you like: run again on the same folder, it goes on where it was.

    Presets: smoke (seconds, scikit-learn's digits, no network), quick (CIFAR-10 at reduced size, some ten minutes on
    two CPU cores), paper (the published sizes, for a GPU or TPU). Every setting below may be changed; --help shows the
    values of the preset that is named with it.
    """

    preset: Preset = "quick"
    """Where the settings below start from."""
    out: Path | None = None
    """Folder of the run; runs/PRESET if not given."""
    data_dir: Path | None = None
    """Folder that holds, or will hold, the data; default: $JAX_BIOADV_DATA, else ~/.cache/jax-bioadv."""
    drop_blank_images: bool = False
    """Leave out images that are all zero, which have no norm to be divided by; results say how many."""
    compiled: Path | None = None
    """Folder that keeps compiled programs for later runs, or off; default: $JAX_BIOADV_COMPILED, else
    ~/.cache/jax-bioadv/compiled."""
    stages: str = ",".join(STAGES)
    """Stages to run, separated by commas; what they build on is run too."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: PRESETS["quick"])


def parse(arguments: list[str]) -> Command:
    """The command line, with the settings of the preset that it names as defaults.

    Raises:
        ValueError: two presets, or a home folder that is not known.
    """
    chosen: Any = option(arguments, "--preset")
    if chosen not in PRESETS:
        chosen = "quick"  # tyro then refuses what was given, but would take any default
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
    directory = command.out or Path("runs") / command.preset
    stages = [stage.strip() for stage in command.stages.split(",")]
    for stage in stages:
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; choose among {', '.join(STAGES)}")
    command.settings.check_values()
    check_devices()
    with exclusive(directory), logging_to(directory):
        keep_compiled_programs(command.compiled)
        dataset = load_images(command.settings.dataset, command.data_dir, command.drop_blank_images)
        with jax.default_matmul_precision(command.settings.precision):
            plan = Plan(command.settings, Images(dataset, command.settings.norm))
            _run_stages(plan, directory, command.preset, stages)
    return directory


def _run_stages(plan: Plan, directory: Path, preset: Preset, stages: list[str]) -> None:
    ledger = Ledger(directory)
    tasks = with_needs(task for task in plan.all_tasks() if task.stage in stages)
    missing = [task for task in tasks if ledger.find(task) is None]
    done = len(tasks) - len(missing)
    logger.info("%s on %s: %d tasks, %d already done", preset, plan.images.dataset.name, len(tasks), done)
    ledger.say_what_runs_again(missing)
    for note in left_out(plan.images):
        logger.warning("%s", note)
    left = _estimate(plan, ledger, tasks, missing)
    if left > 0:
        logger.info("it will take about %s on %s", in_words(left), jax.devices()[0].device_kind)
    with progress("all tasks", len(tasks), "task") as advance:
        for task in tasks:
            ledger.complete(task)
            advance(1)
    if all(ledger.find(task) is not None for task in plan.all_tasks()):
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    ledger.set_aside_all_but(plan.all_tasks())
    results = collect(plan, ledger, preset)
    write_json(directory / "results.json", results)  # whatever becomes of the figures
    figure_arrays.write(figure_arrays.pack(plan, ledger), directory)
    undrawn = drawing.draw_all(directory)
    results["notes"] += undrawn.notes
    write_json(directory / "results.json", results)
    logger.info("done: %s", write_report(directory))
    complaints = ledger.complaints()
    if undrawn.failed:
        complaints.append(f"{', '.join(undrawn.failed)} could not be drawn; {directory / 'log.txt'} says why")
    if complaints:
        raise IncompleteError("; ".join(complaints))


def _estimate(plan: Plan, ledger: Ledger, tasks: Sequence[Task], missing: Sequence[Task]) -> float:
    """Seconds that the missing tasks will take, by those that are done."""
    if not missing:
        return 0.0
    estimate, left = Estimate(plan), {task.fingerprint for task in missing}
    for task in tasks:
        if task.fingerprint not in left:
            estimate.learn(task, ledger.seconds(task))
    return estimate.seconds(missing)


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

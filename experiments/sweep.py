"""Train and measure a whole grid: ``python -m experiments.sweep --grid layer.delta=0,0.2,0.4 --seeds 4``.

Every model, seed and point of the grid is a member. Members that share shapes are trained as one program, over all
devices; what is found goes into one tidy table, sweep.csv, with a row for each member and stage. Run again on the same
folder it continues where it was stopped.
"""

import contextlib
import dataclasses
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from experiments.engine.command import check_devices, load_images, logging_to, option, with_user_paths
from experiments.engine.hosts import is_first, join_hosts
from experiments.engine.members import MEASUREMENTS, describe
from experiments.engine.populations import Devices
from experiments.engine.provenance import environment
from experiments.engine.sweeping import TRAINED, Sweep
from experiments.engine.tasks import exclusive, progress
from experiments.images import Images
from experiments.models import CONTROLS, SWEPT
from experiments.report.sweep_figure import draw_sweep
from experiments.settings.grid import SWEEP_PRESETS, Grid, parse_grid, points, read_file, with_settings
from experiments.settings.presets import Preset
from experiments.settings.reproduction import Settings
from jax_bioadv import population
from jax_bioadv.command_line import IncompleteError, exit_code, start, stop_if_told
from jax_bioadv.compilation_cache import keep_compiled_programs
from jax_bioadv.sharding import make_mesh
from jax_bioadv.storage import write_json
from jax_bioadv.user_folders import user_path

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command:
    """Train and measure every model and seed at every point of a grid of settings, as one program where shapes allow.

    Learning rates, p, Δ, R and the scale of a layer, the weights and the exponent of regularizers and the learning
    rates of decoders and networks run side by side in one program; every other setting of the grid (hidden units, k,
    epochs …) makes a group of its own. Values of a setting that is itself a list are joined by colons:
    --grid backprop.learning-rates=1e-3:3e-4,1e-3:1e-4.
    """

    file: Path | None = None
    """A sweep as TOML: preset, seeds, models, [settings] and [grid]. What the command line says comes on top."""
    preset: Preset = "quick"
    """Where the settings below start from."""
    grid: tuple[str, ...] = ()
    """SETTING=VALUE,VALUE,… for each setting that is varied."""
    measure: str = "spectra,gaussian,fgsm,pgd"
    """What is measured on the trained models, among spectra, jacobian, gaussian, fgsm, pgd; none for nothing."""
    out: Path = Path("runs/sweep")
    """Folder of the sweep."""
    data_dir: Path | None = None
    """Folder that holds, or will hold, the data; default: $JAX_BIOADV_DATA, else ~/.cache/jax-bioadv."""
    drop_blank_images: bool = False
    """Leave out images that are all zero, which have no norm to be divided by; results say how many."""
    compiled: Path | None = None
    """Folder that keeps compiled programs for later runs, or off; default: $JAX_BIOADV_COMPILED, else
    ~/.cache/jax-bioadv/compiled."""
    memory_gib: float | None = None
    """Memory on each device that training may take; default: half of what is free."""
    data_devices: int = 1
    """Devices that share the minibatches of one member; the others share out the members."""
    distributed: bool = False
    """Run on several hosts, each of which starts this command: SLURM, GKE and TPU pods are recognised."""
    coordinator: str | None = None
    """ADDRESS:PORT of the first host, where no cluster is recognised; with --processes and --process."""
    processes: int | None = None
    """Number of processes."""
    process: int | None = None
    """Number of this process, from 0."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: SWEEP_PRESETS["quick"]
    )


def parse(arguments: Sequence[str]) -> tuple[Command, Grid]:
    """The command line, with what a sweep's file or a preset says as defaults; and the grid of both.

    Raises:
        ValueError: the file or the grid makes no sense.
    """
    if sum(argument.partition("=")[0] == "--grid" for argument in arguments) > 1:
        raise ValueError("--grid stands once, followed by all settings that vary")
    file, preset = option(arguments, "--file"), option(arguments, "--preset")
    grid: dict[str, tuple[Any, ...]] = {}
    default = Command()
    if file is not None:
        named, settings, grid = read_file(user_path(file))
        default = Command(preset=named, settings=settings)  # type: ignore[arg-type]
    elif preset in SWEEP_PRESETS:
        default = Command(preset=preset, settings=SWEEP_PRESETS[preset])
    command = tyro.cli(Command, args=arguments, default=default, prog="python -m experiments.sweep")
    if file is not None and preset is not None and preset != default.preset:
        raise ValueError(f"{file} is a sweep of the preset {default.preset}; leave --preset out")
    return with_user_paths(command), {**grid, **parse_grid(command.grid, command.settings)}


def _measurements(text: str) -> list[str]:
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in MEASUREMENTS:
            raise ValueError(f"unknown measurement {name!r}; choose among {', '.join(MEASUREMENTS)}, or none")
    return names


def devices_of(command: Command) -> Devices:
    mesh = make_mesh(command.data_devices)
    if command.memory_gib is not None and not 0 < command.memory_gib < float("inf"):
        raise ValueError(f"memory-gib must be positive and finite, got {command.memory_gib}")
    free = population.free_memory(mesh) // 2 if command.memory_gib is None else int(command.memory_gib * 2**30)
    return Devices(mesh, population.members_together(mesh), free)


def run(command: Command, grid: Grid) -> Path:
    """Do what the command says and return the folder of the sweep.

    Raises:
        ValueError: a setting that cannot work, before any work.
        OSError: the folder cannot be written.
        IncompleteError: the figure could not be drawn; the table is written.
    """
    measurements = _measurements(command.measure)
    for model in command.settings.model_names:
        if model in CONTROLS and model not in SWEPT:
            raise ValueError(
                f"no sweep trains {model!r}, only experiments.reproduce does; choose among {', '.join(SWEPT)}"
            )
    for point in points(grid):
        try:
            with_settings(command.settings, point).check_values()
        except ValueError as error:
            raise ValueError(f"at {describe(point) or 'the settings given'}: {error}") from error
    join_hosts(command.coordinator, command.processes, command.process, command.distributed)
    check_devices()
    with _owned(command.out):
        keep_compiled_programs(command.compiled)
        devices = devices_of(command)
        dataset = load_images(command.settings.dataset, command.data_dir, command.drop_blank_images)
        with jax.default_matmul_precision(command.settings.precision):
            images = Images(dataset, command.settings.norm)
            sweep = Sweep(command.settings, images, grid, measurements, devices, command.out)
            _run_stages(sweep, command)
    return command.out


@contextlib.contextmanager
def _owned(directory: Path) -> Iterator[None]:
    """The first process locks the folder and logs into it; the others keep quiet."""
    if not is_first():
        yield
        return
    with exclusive(directory), logging_to(directory):
        yield


def _run_stages(sweep: Sweep, command: Command) -> None:
    counts = {stage: len(sweep.tasks(stage)) for stage in (*TRAINED, *sweep.measurements)}
    mesh = sweep.devices.mesh
    logger.info(
        "%d members (%d points × seeds × models) on %d devices, %.1f GiB each for training; tasks: %s",
        *(len(sweep.members), len(points(sweep.grid)), mesh.size, sweep.devices.budget / 2**30),
        ", ".join(f"{count} {stage}" for stage, count in counts.items()),
    )
    sweep.plan()
    with progress("all tasks", sum(counts.values()), "task") as advance:
        for stage in counts:
            sweep.complete(stage, advance)
    sweep.write()
    complaints = sweep.ledger.complaints()
    if is_first():
        directory, settings, dataset = sweep.directory, command.settings, sweep.members[0].plan.images.dataset
        if not sweep.ledger.failures:
            shutil.rmtree(directory / "checkpoints", ignore_errors=True)
        write_json(
            directory / "sweep.json",
            {
                "preset": command.preset,
                "grid": sweep.grid,
                "settings": dataclasses.asdict(settings),
                "dataset": dataset.name,
                "source": dataset.source,
                "environment": environment(settings.precision),
                "devices": mesh.size,
                "processes": jax.process_count(),
                "failed": sweep.ledger.failure_notes(),
            },
        )
        try:
            draw_sweep(directory)
        except Exception as error:
            stop_if_told()
            logger.warning("the figure could not be drawn: %s", error, exc_info=error)
            complaints.append(f"the figure could not be drawn; {directory / 'log.txt'} says why")
        logger.info("done: %s", directory / "sweep.csv")
    if complaints:
        raise IncompleteError("; ".join(complaints))


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(*parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

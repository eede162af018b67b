"""Train and measure a whole grid: ``python -m experiments.sweep --grid layer.delta=0,0.2,0.4 --seeds 4``.

Every model, seed and point of the grid is a member. Members that share shapes are trained as one program, over all
devices; what is found goes into one tidy table, sweep.csv, with a row for each member and stage. Run again on the same
folder it continues where it was stopped.
"""

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.engine.command import Options, check_devices, following, option, parsed_over, working_in
from experiments.engine.hosts import is_first, join_hosts
from experiments.engine.populations import Devices
from experiments.engine.running import complete_sweep
from experiments.engine.sweeping import Sweep
from experiments.members import MEASUREMENTS, describe, members_of
from experiments.models import KNOWN, SWEPT
from experiments.results.sweep_table import write_table
from experiments.settings.grid import SWEEP_PRESETS, UNREAD, Grid, parse_grid, points, read_file, with_settings
from experiments.settings.paths import setting
from experiments.settings.reproduction import Settings
from jax_bioadv import population
from jax_bioadv.command_line import IncompleteError, exit_code, start
from jax_bioadv.sharding import make_mesh
from jax_bioadv.user_folders import user_path


@dataclasses.dataclass(frozen=True)
class Command(Options):
    """Train and measure every model and seed at every point of a grid of settings, as one program where shapes allow.

    Learning rates, p, Δ, R and the scale of a layer, the weights and the exponent of regularizers and the learning
    rates of decoders and networks run side by side in one program; every other setting of the grid (hidden units, k,
    epochs …) makes a group of its own. Values of a setting that is itself a list are joined by colons:
    --grid backprop.learning-rates=1e-3:3e-4,1e-3:1e-4.
    """

    file: Path | None = None
    """A sweep as TOML: preset, seeds, models, [settings] and [grid]. What the command line says comes on top."""
    grid: tuple[str, ...] = ()
    """SETTING=VALUE,VALUE,… for each setting that is varied."""
    measure: str = "spectra,gaussian,fgsm,pgd"
    """What is measured on the trained models, among spectra, jacobian, gaussian, fgsm, pgd; none for nothing."""
    out: Path = Path("runs/sweep")
    """Folder of the sweep."""
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
    command = parsed_over(default, arguments, "python -m experiments.sweep", UNREAD)
    if file is not None and preset is not None and preset != default.preset:
        raise ValueError(f"{file} is a sweep of the preset {default.preset}; leave --preset out")
    grid |= parse_grid(command.grid, command.settings)
    for path, values in grid.items():
        if setting(command.settings, path) not in (setting(default.settings, path), *values):
            raise ValueError(f"{path.replace('_', '-')} is given a value that the grid has not; leave one of the two")
    return command, grid


def _measurements(text: str) -> list[str]:
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in MEASUREMENTS:
            raise ValueError(f"unknown measurement {name!r}; choose among {', '.join(MEASUREMENTS)}, or none")
    return names


def devices_of(command: Command) -> Devices:
    mesh = make_mesh(command.data_devices)
    if command.memory_gib is not None and not 0 < command.memory_gib * 2**30 < float("inf"):
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
    from experiments.report.closing import close_sweep  # with Matplotlib, for which --help need not wait

    measurements = _measurements(command.measure)
    for model in command.settings.model_names:
        if model in KNOWN and model not in SWEPT:
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
    devices = devices_of(command)
    with working_in(command.out, command, command.settings) as images:
        settings = following(command, command.settings, images)
        members = members_of(settings, images, grid)
        publish = partial(write_table, command.out / "sweep.csv", members, measurements, grid)
        tasks = [member.stages(measurements) for member in members]
        sweep = Sweep(tasks, grid, measurements, devices, command.out, publish)
        complete_sweep(sweep, settings)
        complaints = sweep.ledger.complaints()
        if is_first():
            complaints += close_sweep(sweep, settings, images.dataset, command.preset)
        if complaints:
            raise IncompleteError("; ".join(complaints))
    return command.out


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(*parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

"""What becomes of a run whose tasks are done: the files that a person reads, written whatever of them fails."""

import dataclasses
import logging
from typing import Any

import jax

from experiments.engine.ledger import Ledger
from experiments.engine.provenance import environment
from experiments.engine.sweeping import Sweep
from experiments.plan import Plan
from experiments.report import figures as drawing
from experiments.report import write_report
from experiments.report.summary import in_short
from experiments.report.sweep_figure import draw_sweep
from experiments.results import figure_arrays
from experiments.results.collect import collect
from experiments.settings.presets import Preset
from experiments.settings.reproduction import Settings
from jax_bioadv.command_line import stop_if_told
from jax_bioadv.data import Dataset
from jax_bioadv.storage import write_json

logger = logging.getLogger("experiments")


def close_run(plan: Plan, ledger: Ledger, preset: Preset) -> list[str]:
    """Write results.json, the figures and report.html, and say what was found.

    Returns:
        What did not succeed, a sentence each.
    """
    directory, results = ledger.directory, collect(plan, ledger, preset)
    write_json(directory / "results.json", results)  # whatever becomes of the figures
    figure_arrays.write(figure_arrays.pack(plan, ledger), directory)
    undrawn = drawing.draw_all(directory)
    results["notes"] += undrawn.notes
    write_json(directory / "results.json", results)
    logger.info("%s", in_short(results, write_report(directory)))
    failed = [f"{', '.join(undrawn.failed)} could not be drawn; {directory / 'log.txt'} says why"]
    return failed if undrawn.failed else []


def close_sweep(sweep: Sweep, settings: Settings, dataset: Dataset, preset: Preset) -> list[str]:
    """Write sweep.json and the figure beside sweep.csv, and say where these are.

    Returns:
        What did not succeed, a sentence each.
    """
    directory, failed = sweep.directory, []
    write_json(directory / "sweep.json", _description(sweep, settings, dataset, preset))
    try:
        draw_sweep(directory)
    except Exception as error:
        stop_if_told()
        logger.warning("the figure could not be drawn: %s", error, exc_info=error)
        failed.append(f"the figure could not be drawn; {directory / 'log.txt'} says why")
    logger.info("done: %s", directory / "sweep.csv")
    return failed


def _description(sweep: Sweep, settings: Settings, dataset: Dataset, preset: Preset) -> dict[str, Any]:
    return {
        "preset": preset,
        "grid": sweep.grid,
        "settings": dataclasses.asdict(settings),
        "dataset": dataset.name,
        "source": dataset.source,
        "environment": environment(settings.precision),
        "devices": sweep.devices.mesh.size,
        "processes": jax.process_count(),
        "failed": sweep.ledger.failure_notes(),
    }

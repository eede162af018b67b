"""What becomes of a run whose tasks are done: the files that a person reads, written whatever of them fails."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.depth_plan import DepthPlan
from experiments.engine.ledger import Ledger
from experiments.engine.provenance import environment
from experiments.engine.sweeping import Sweep
from experiments.evaluation_plan import EvaluationPlan
from experiments.plan import Plan
from experiments.report import figures as drawing
from experiments.report import write_report
from experiments.report.depth_figures import depth_makers
from experiments.report.evaluation_figures import evaluation_makers
from experiments.report.summary import depth_in_short, evaluation_in_short, in_short
from experiments.report.sweep_figure import draw_sweep
from experiments.results import figure_arrays
from experiments.results.collect import collect
from experiments.results.depth import collect_depth
from experiments.results.evaluation import collect_evaluation
from experiments.results.schema import read_results
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
    return _close(ledger, collect(plan, ledger, preset), figure_arrays.pack(plan, ledger), in_short)


def close_evaluation(plan: EvaluationPlan, ledger: Ledger, preset: Preset, references: Path) -> list[str]:
    """As :func:`close_run`, for one network beside the models of a published run.

    Returns:
        What did not succeed, a sentence each.
    """
    results = collect_evaluation(plan, ledger, preset, references)
    return _close(ledger, results, figure_arrays.pack_evaluation(plan, ledger), evaluation_in_short)


def close_depth(plan: DepthPlan, ledger: Ledger, preset: Preset) -> list[str]:
    """As :func:`close_run`, for the study of depth.

    Returns:
        What did not succeed, a sentence each.
    """
    return _close(ledger, collect_depth(plan, ledger, preset), figure_arrays.pack_depth(plan, ledger), depth_in_short)


def draw(directory: Path) -> drawing.Undrawn:
    """Draw the figures of a published folder, of a run or of an evaluation."""
    results = read_results(directory)
    if "network" in results:
        return drawing.draw(evaluation_makers(directory, results), directory / "figures")
    if "depths" in results:
        return drawing.draw(depth_makers(directory, results), directory / "figures")
    return drawing.draw_all(directory)


def _close(
    ledger: Ledger,
    results: dict[str, Any],
    arrays: dict[str, np.ndarray],
    told: Callable[[dict[str, Any], Path], str],
) -> list[str]:
    """The files, figures and page of a folder, and what it says in short; what could not be drawn."""
    directory = ledger.directory
    write_json(directory / "results.json", results)  # whatever becomes of the figures
    figure_arrays.write(arrays, directory)
    undrawn = draw(directory)
    results["notes"] += undrawn.notes
    write_json(directory / "results.json", results)
    write_report(directory)
    logger.info("%s", told(results, directory / "report.html"))
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

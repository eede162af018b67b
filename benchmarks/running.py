"""One stage after another: first calls, agreement, rounds; the results as plain dictionaries."""

import logging
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from benchmarks import floors
from benchmarks.eager_network import choose_device, finished
from benchmarks.rows import Check, Row, Stage
from benchmarks.targets import verdict
from benchmarks.timing import Contestant, FirstCall, Stopwatch, Timing
from benchmarks.workload import Workload

logger = logging.getLogger(__name__)

# Tolerances are for float32; reduced precision on an accelerator rounds products to 10 bits or so.
REDUCED_PRECISION = 10.0


def torch_calls(rows: int, inner: int, columns: int, copied: int) -> dict[str, Callable[[], Any]]:
    """The same products and copy by PyTorch."""
    device = choose_device()
    left, right = torch.randn(rows, inner, device=device), torch.randn(inner, columns, device=device)
    left64, right64 = left.double(), right.double()
    source, target = (torch.zeros(copied // 4, device=device) for _ in range(2))
    calls: dict[str, Callable[[], Any]] = {
        "product float32": lambda: left @ right,
        "product float64": lambda: left64 @ right64,
        "copy": lambda: target.copy_(source),
    }
    return {name: finished(run, device) for name, run in calls.items()}


def measure_device(workload: Workload, stopwatch: Stopwatch) -> tuple[floors.Speed, dict[str, Any]]:
    """The speeds that floors are made of, and whether the two libraries disturb each other."""
    sizes = workload.sizes
    size = (sizes.batch_size, sizes.inputs, sizes.hidden)
    copied = min(floors.COPY_BYTES, 400 * sizes.inputs * sizes.hidden)
    libraries = {"JAX": floors.jax_calls(*size, copied), "PyTorch": torch_calls(*size, copied)}
    measured = floors.measure(stopwatch, libraries, size, copied)
    report = {
        "product": list(size),
        "copied_bytes": copied,
        "per_second": measured.by_library,
        "best": measured.speed._asdict(),
        "interference": floors.interference(stopwatch, libraries),
    }
    return measured.speed, report


def _first_calls(row: Row, stopwatch: Stopwatch) -> tuple[dict[str, FirstCall], dict[str, str]]:
    """First calls of all contestants; a compiler that fails takes its contestant out of the race."""
    calls, failures = {}, {}
    for name, contestant in row.contestants.items():
        try:
            calls[name] = stopwatch.first_call(contestant)
        except Exception as error:
            if name != "compiled":
                raise
            failures[name] = f"torch.compile failed: {type(error).__name__}: {str(error).splitlines()[0]}"
    return calls, failures


def _timing_entry(contestant: Contestant, timing: Timing) -> dict[str, Any]:
    return {
        "label": contestant.label,
        "timed": contestant.timed,
        "times": [part.times for part in contestant.parts],
        "compile_seconds": timing.compile_seconds,
        "seconds": list(timing.seconds),
        "median": timing.median,
        "quartiles": list(timing.quartiles),
    }


def run_stage(
    name: str, stage: Stage, workload: Workload, stopwatch: Stopwatch, speed: floors.Speed, apply_targets: bool
) -> dict[str, Any]:
    """Run one stage and return its entry for the results; contestants that disagree are not timed."""
    logger.info("%s: first calls", stage.title)
    row = stage.build(workload)
    if not workload.compile:
        row.contestants.pop("compiled", None)
    firsts, failures = _first_calls(row, stopwatch)
    racing = {key: row.contestants[key] for key in firsts}
    exact = workload.precision == "highest" or jax.default_backend() == "cpu"
    loose = 1.0 if exact else REDUCED_PRECISION
    checks = [
        check._replace(tolerance=loose * check.tolerance)
        for check in row.agree({key: call.results for key, call in firsts.items()})
    ]
    floor = speed.floor_seconds(row.work)
    entry: dict[str, Any] = {
        "title": stage.title,
        "note": row.note,
        "agreement": [_check_entry(check) for check in checks],
        "agrees": all(check.passed for check in checks),
        "failures": failures,
        "contestants": {},
        "floor": {**row.work._asdict(), "seconds": floor},
        "target": None,
    }
    if not entry["agrees"]:
        logger.error("%s: the results differ: %s", stage.title, [check for check in checks if not check.passed])
        return entry
    first_seconds = {key: sum(call.seconds) for key, call in firsts.items()}
    del firsts
    timings = stopwatch.race(racing, first_seconds)
    medians = {key: timing.median for key, timing in timings.items()}
    entry["contestants"] = {key: _timing_entry(racing[key], timing) for key, timing in timings.items()}
    entry["floor"]["share_reached"] = floor / medians["ours"]
    entry["target"] = verdict(name, medians) if apply_targets else None
    logger.info("%s: %s", stage.title, ", ".join(f"{key} {medians[key]:.3g} s" for key in medians))
    return entry


def _check_entry(check: Check) -> dict[str, Any]:
    difference = float(check.difference)
    return {
        "compared": check.compared,
        "difference": difference if np.isfinite(difference) else None,
        "tolerance": check.tolerance,
        "passed": check.passed,
    }

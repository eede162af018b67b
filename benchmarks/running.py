"""One stage after another: first calls, agreement, rounds; the results as plain dictionaries."""

import logging
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from benchmarks import floors, torch_compile
from benchmarks.eager_network import choose_device, finished
from benchmarks.floors import Probe
from benchmarks.rows import Check, Row, Stage
from benchmarks.targets import verdict
from benchmarks.timing import Contestant, FirstCall, Stopwatch, Timing
from benchmarks.workload import Workload

logger = logging.getLogger(__name__)

# Tolerances are for float32; reduced precision on an accelerator rounds products to 10 bits or so.
REDUCED_PRECISION = 10.0


def torch_probes(batch: int, inputs: int, hidden: int, copied: int) -> dict[str, Probe]:
    """The same products and copy by PyTorch."""
    device = choose_device()

    def probe(product: floors.Product, dtype: torch.dtype, kind: str) -> Probe:
        left, right = (torch.rand(shape, device=device, dtype=dtype) for shape in (product.left, product.right))
        run = finished(lambda: torch.einsum(product.subscripts, left, right), device)
        return Probe(kind, product.operations, run)

    source, target = (torch.zeros(copied // 4, device=device) for _ in range(2))
    shapes = floors.products(batch, inputs, hidden)
    return {
        **{f"PyTorch, {name}": probe(product, torch.float32, "float32") for name, product in shapes.items()},
        "PyTorch, forward, float64": probe(shapes["forward"], torch.float64, "float64"),
        "PyTorch, copy": Probe("copy", 2.0 * copied, finished(lambda: target.copy_(source), device)),
    }


class Device(NamedTuple):
    """What was measured at the start, and the probes that see how the machine's speed drifts."""

    report: dict[str, Any]
    probes: dict[str, Probe]


def measure_device(workload: Workload, stopwatch: Stopwatch) -> Device:
    """The speeds that floors are made of, and whether the two libraries disturb each other."""
    sizes = workload.sizes
    size = (sizes.batch_size, sizes.inputs, sizes.hidden)
    copied = min(floors.COPY_BYTES, 400 * sizes.inputs * sizes.hidden)
    probes = {**floors.jax_probes(*size, copied), **torch_probes(*size, copied)}
    rates = floors.measure(stopwatch, probes)
    both = {library: probes[f"{library}, forward"].run for library in ("JAX", "PyTorch")}
    report = {
        "product": list(size),
        "copied_bytes": copied,
        "per_second": rates,
        "seen": floors.speed_of(probes, rates)._asdict(),
        "interference": floors.interference(stopwatch, both),
    }
    return Device(report, floors.fastest_probes(probes, rates))


def with_floors(results: dict[str, Any]) -> dict[str, Any]:
    """The results with the best speeds of all the run, and every stage's floor and share by them."""
    stages = {name: entry for name, entry in results["stages"].items() if entry["contestants"]}
    seen = [results["device"]["seen"], *(entry["seen"] for entry in stages.values())]
    speed = floors.best(floors.Speed(**each) for each in seen)
    filled = {}
    for name, entry in stages.items():
        seconds = speed.floor_seconds(floors.Work(**entry["work"]))
        share = seconds / entry["contestants"]["ours"]["median"]
        filled[name] = {**entry, "floor": {"seconds": seconds, "share_reached": share}}
    device = {**results["device"], "best": speed._asdict()}
    return {**results, "device": device, "stages": {**results["stages"], **filled}}


def _first_calls(row: Row, stopwatch: Stopwatch) -> tuple[dict[str, FirstCall], dict[str, str]]:
    """First calls of all contestants; a compiler that fails takes its contestant out of the race."""
    calls, failures = {}, {}
    for name, contestant in row.contestants.items():
        try:
            calls[name] = stopwatch.first_call(contestant)
        except Exception as error:
            if name != "compiled":
                raise
            failures[name] = torch_compile.failure(error)
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
    name: str, stage: Stage, workload: Workload, stopwatch: Stopwatch, device: Device, apply_targets: bool
) -> dict[str, Any]:
    """Run one stage and return its entry for the results; contestants that disagree are not timed."""
    logger.info("%s: first calls", stage.title)
    row = stage.build(workload)
    if workload.compile_mode is None:
        row.contestants.pop("compiled", None)
    firsts, failures = _first_calls(row, stopwatch)
    racing = {key: row.contestants[key] for key in firsts}
    exact = workload.precision == "highest" or jax.default_backend() == "cpu"
    loose = 1.0 if exact else REDUCED_PRECISION
    checks = [
        check._replace(tolerance=loose * check.tolerance)
        for check in row.agree({key: call.results for key, call in firsts.items()})
    ]
    entry: dict[str, Any] = {
        "title": stage.title,
        "note": row.note,
        "agreement": [_check_entry(check) for check in checks],
        "agrees": all(check.passed for check in checks),
        "failures": failures,
        "contestants": {},
        "compile_mode": workload.compile_mode if "compiled" in racing else None,
        "work": row.work._asdict(),
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
    rates = floors.measure(stopwatch, device.probes)
    entry["seen"] = floors.speed_of(device.probes, rates)._asdict()
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

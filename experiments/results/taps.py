"""What results.json says of a network's representations, for every tap: spectra and smoothness, seed by seed."""

from typing import Any

import numpy as np

from experiments.networks_plan import NetworksPlan
from experiments.results.collect import Collector
from experiments.results.evidence import finite, interval
from jax_bioadv.analysis.statistics import bootstrap_interval


def of_taps(plan: NetworksPlan, collector: Collector, model: str) -> dict[str, Any]:
    """The entries of a network's taps by their names."""
    return {tap: _tap(plan, collector, tap, model) for tap in plan.taps_of(model)}


def _tap(plan: NetworksPlan, collector: Collector, tap: str, model: str) -> dict[str, Any]:
    seeds, called = collector.seeds, f"{tap} of {model}"
    entry: dict[str, Any] = {}
    for positions in plan.spectra_of(tap, model):
        found = [collector.outcome(plan.tap_spectrum(tap, model, seed, positions)) for seed in seeds]
        if positions:
            entry["positions"] = collector.spectrum(found, f"the positions of {called}")
            continue
        entry["spectrum"] = collector.spectrum(found, called)
        if (first := next((one for one in found if one is not None), None)) is not None:
            entry["found_by"] = {kind: first.values[kind] for kind in ("images", "noise")}
    smooth = [collector.outcome(plan.tap_smoothness(tap, model, seed)) for seed in seeds]
    entry["jacobian_norm"] = collector.jacobian_norms(smooth)
    arrays = [{} if one is None else one.arrays for one in smooth]
    measures = dict.fromkeys(name for one in arrays for name in one if _measures(name))
    known = {name: [_known(one.get(name)) for one in arrays] for name in measures}
    entry["smoothness"] = {
        name: [finite(float(np.median(one))) if one.size else None for one in each] for name, each in known.items()
    }
    entry["smoothness_interval"] = {
        name: [interval(bootstrap_interval(one, "median")) if one.size else None for one in each]
        for name, each in known.items()
    }
    return entry


def _measures(name: str) -> bool:
    return name != "activation" and not name.endswith(("_error", "_stderr"))


def _known(values: np.ndarray | None) -> np.ndarray:
    return np.empty(0) if values is None else values[np.isfinite(values)]

"""figures.npz: what the figures need beside results.json, small enough to be published with it.

Names are paths: ``critical/ATTACK/MODEL``, ``spectrum/MODEL/KIND``, ``history/MODEL/QUANTITY`` and
``layer/LAYER/QUANTITY``, each of shape (seeds, …) and NaN where a seed is missing or its row ends;
``landscape/MODEL/FIELD`` and ``pruning/…`` of the first seed; ``class_names``, ``image_shape``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from experiments.attacks import ATTACKS
from experiments.depth_plan import DepthPlan
from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task
from experiments.evaluation_plan import EvaluationPlan
from experiments.plan import Plan
from jax_bioadv.analysis.boundaries import Landscape
from jax_bioadv.figures.pruning import TILES_PER_ROW, chosen_rows
from jax_bioadv.learning.pruning import Mixture
from jax_bioadv.storage import read_arrays, write_arrays

Arrays = dict[str, np.ndarray]
FILE = "figures.npz"
INPUTS = ("images", "noise")


def for_drawing(values: np.ndarray) -> np.ndarray:
    """Numbers to 12 binary digits, finer than any figure shows; the digits beyond would not compress."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x800)) & np.uint32(0xFFFFF000)).view(np.float32)


def stacked(rows: Sequence[np.ndarray | None]) -> np.ndarray:
    """One row a seed, NaN where it is missing or ends before the longest."""
    longest = max(0 if row is None else len(row) for row in rows)
    whole = np.full((len(rows), longest), np.nan)
    for place, row in enumerate(rows):
        if row is not None:
            whole[place, : len(row)] = row
    return whole


def pack(plan: Plan, ledger: Ledger) -> Arrays:
    """What the figures of a run need, from its finished tasks."""
    models, seeds, packed = plan.settings.model_names, range(plan.settings.seeds), Arrays()

    def done(task: Task) -> Outcome | None:
        outcome = ledger.find(task)
        return outcome if outcome is not None and outcome.arrays else None

    def keep(path: str, tasks: Iterable[Task], names: Iterable[str] = (), beginning: tuple[str, ...] = ()) -> None:
        outcomes = [done(task) for task in tasks]
        there = dict.fromkeys(name for outcome in outcomes if outcome is not None for name in outcome.arrays)
        for name in there:
            if name in names or name.startswith(beginning):
                rows = [None if one is None else one.arrays.get(name) for one in outcomes]
                packed[f"{path}/{name.removeprefix('history/')}"] = for_drawing(stacked(rows))

    populations = tuple(f"{kind}_first_" for kind in INPUTS)
    course = ("history/converged_share", "history/median_norm")
    keep("spectrum/data", [plan.data_spectra()], INPUTS, populations)
    keep("spectrum/untrained", map(plan.untrained_spectra, seeds), INPUTS, populations)
    keep("layer/noise_start", map(plan.noise_start_layer, seeds), course)
    if "kh" in models:
        keep("layer/kh", map(plan.layer, seeds), course)
    for model in models:
        keep(f"spectrum/{model}", [plan.spectra(model, seed) for seed in seeds], INPUTS, populations)
        keep(f"history/{model}", [plan.model(model, seed) for seed in seeds], ("history/loss", "history/accuracy"))
        for attack in ATTACKS:
            found = [done(plan.attack(attack, model, seed)) for seed in seeds]
            if any(found):
                distances = [None if one is None else one.arrays["critical_l2"] for one in found]
                packed[f"critical/{attack}/{model}"] = for_drawing(stacked(distances))
        packed |= _landscape(model, ledger.find(plan.landscape(model)))
    packed |= _pruning(done(plan.noise_start_layer(0)), done(plan.noise_start_spectra(0)))
    dataset = plan.images.dataset
    return packed | {"class_names": np.array(dataset.class_names), "image_shape": np.array(dataset.image_shape)}


def _landscape(model: str, plane: Outcome | None) -> Arrays:
    if plane is None or not plane.arrays:
        return {}
    maps = {field: for_drawing(plane.arrays[field]) for field in Landscape._fields}
    maps["predicted_class"] = plane.arrays["predicted_class"].astype(np.int16)
    return {f"landscape/{model}/{field}": array for field, array in maps.items()}


def landscapes_of(arrays: Arrays, models: Iterable[str]) -> dict[str, Landscape]:
    """The landscapes of those models that have one."""
    return {
        model: Landscape(*(arrays[f"landscape/{model}/{field}"] for field in Landscape._fields))
        for model in models
        if f"landscape/{model}/coordinates" in arrays
    }


def class_names_of(arrays: Arrays) -> list[str] | None:
    """The classes' names; None in a folder that has none."""
    return [str(name) for name in arrays["class_names"]] if "class_names" in arrays else None


def pack_evaluation(plan: EvaluationPlan, ledger: Ledger) -> Arrays:
    """What the figures of an evaluation need: ``spectrum/TAP/KIND``, ``critical/ATTACK/NETWORK``, the landscape."""
    packed = {"class_names": np.array(plan.images.dataset.class_names)}
    packed |= _landscape(plan.name, ledger.find(plan.landscape(plan.name)))
    for tap in plan.taps:
        found = ledger.find(plan.tap_spectrum(tap, plan.name, 0))
        packed |= {
            f"spectrum/{tap}/{kind}": for_drawing(found.arrays[kind][None]) for kind in INPUTS if found is not None
        }
    for attack in ATTACKS:
        found = ledger.find(plan.attack(attack, plan.name, 0))
        if found is not None and found.arrays:
            packed[f"critical/{attack}/{plan.name}"] = for_drawing(found.arrays["critical_l2"][None])
    return packed


def pack_depth(plan: DepthPlan, ledger: Ledger) -> Arrays:
    """What the figures of the study need: ``spectrum/MODEL-DEPTH/TAP/KIND`` of all seeds, over positions, and
    ``filters/MODEL-DEPTH``, (filters, height, width, channels) of the first stage and seed."""
    packed = Arrays()
    for model in plan.models:
        for tap in (tap for tap in plan.taps_of(model) if tap.endswith(".convolution")):
            tasks = [plan.tap_spectrum(tap, model, seed, positions=True) for seed in range(plan.settings.seeds)]
            found = [None if (one := ledger.find(task)) is None or not one.arrays else one.arrays for task in tasks]
            for kind in INPUTS:
                rows = [None if one is None else one[kind] for one in found]
                packed[f"spectrum/{model}/{tap}/{kind}"] = for_drawing(stacked(rows))
        trained = ledger.find(plan.model(model, 0))
        if trained is not None and trained.arrays:
            kernel = trained.arrays["weights/stages/0/convolution/kernel"]
            packed[f"filters/{model}"] = for_drawing(np.moveaxis(kernel, -1, 0))
    return packed


def _pruning(layer: Outcome | None, measured: Outcome | None) -> Arrays:
    """Of the first seed's layer that started from noise: the rows that are shown, all variances, and the cut."""
    if layer is None or measured is None:
        return {}
    synapses, kept = np.asarray(layer.arrays["synapses"], np.float64), measured.arrays["keep"]
    cut = measured.values["cut_variance"]
    packed = {
        "rows": for_drawing(synapses[chosen_rows(kept, TILES_PER_ROW**2)]),
        "variances": synapses.var(axis=1),
        "keep": kept,
        "cut_variance": np.array(np.nan if cut is None else cut),
    }
    for name in (name for kind in INPUTS for name in (kind, f"{kind}_raw")):
        packed[name] = for_drawing(measured.arrays[name])
    mixture = [f"mixture/{name}" for name in Mixture._fields]
    packed |= {name: measured.arrays[name] for name in mixture if name in measured.arrays}
    return {f"pruning/{name}": array for name, array in packed.items()}


def write(arrays: Arrays, directory: Path) -> None:
    """Write ``figures.npz`` into the folder of a run."""
    write_arrays(directory / FILE, arrays)


def read(directory: Path) -> Arrays:
    """The arrays of a published folder; none where it has no such file."""
    path = directory / FILE
    return read_arrays(path) if path.is_file() else {}

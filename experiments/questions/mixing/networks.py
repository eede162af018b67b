"""The networks of a results file as columns: what each of them measured, by seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.models import KNOWN, label
from experiments.questions.mixing.recipes import RULE
from experiments.report.claims import Results
from experiments.report.numbers import dig, per_seed

SPECTRUM = ("alpha_images", "alpha_noise", "participation_ratio")
SMOOTH = ("jacobian_norm", "loss_curvature", "lipschitz_local")
BOUNDARY = ("boundary_length", "boundary_curvature")
EXPONENTS = ("alpha_images", "alpha_noise")
"""All other measures are positive sizes, of which the logarithm counts."""
WORDS = {
    "test_accuracy": "test accuracy",
    "distance": "median distance",
    "alpha_images": "α on images",
    "alpha_noise": "α on noise",
    "participation_ratio": "participation ratio",
    "jacobian_norm": "mean ‖∂a/∂x‖",
    "loss_curvature": "curvature of the loss",
    "lipschitz_local": "local Lipschitz constant",
    "boundary_length": "boundary length",
    "boundary_curvature": "boundary curvature",
}
FIXED_ROWS = ("kmeans", "kh_start")
"""What the rule is held against: centroids and plain images as rows, with decoders like its own."""
PENALTIES = ("l2.weight", "jacobian.weight", "spectral.weight")


class Paired(NamedTuple):
    """How much farther images must be moved against one network than against another: a logarithm, with its
    interval."""

    log_ratio: float
    low: float
    high: float


class Networks(NamedTuple):
    """Networks that have every number, in the order of results.json.

    Attributes:
        names: of the recipes.
        models: of each.
        changed: the settings of each.
        accuracy: (networks, seeds).
        robustness: the logarithm of the median critical distance, (networks, seeds).
        image_error: of the robustness of each, the standard error that comes from the images, (networks,).
        measures: (networks, seeds) each; sizes as logarithms.
        left_out: names of those that lack a number.
        paired: of some networks the log ratio of their critical distances to those of others, on the same images, with
            its interval; by both names.
    """

    names: list[str]
    models: list[str]
    changed: list[dict[str, Any]]
    accuracy: np.ndarray
    robustness: np.ndarray
    image_error: np.ndarray
    measures: dict[str, np.ndarray]
    left_out: list[str]
    paired: Mapping[str, Mapping[str, Paired]]

    def only(self, chosen: Sequence[int]) -> "Networks":
        """Some of them."""
        at = np.asarray(chosen, int)
        return Networks(
            [self.names[place] for place in at],
            [self.models[place] for place in at],
            [self.changed[place] for place in at],
            self.accuracy[at],
            self.robustness[at],
            self.image_error[at],
            {name: values[at] for name, values in self.measures.items()},
            self.left_out,
            self.paired,
        )

    @property
    def mixes(self) -> list[int]:
        """Those that backpropagation trained as a whole."""
        return [place for place, model in enumerate(self.models) if KNOWN[model].first_layer is None]

    @property
    def groups(self) -> list[str]:
        """The recipe of each network and seed, as :meth:`column` has them."""
        return [name for name in self.names for _ in range(self.accuracy.shape[1])]

    def column(self, name: str) -> np.ndarray:
        """A measure of each network and seed."""
        columns = {"test_accuracy": self.accuracy, "distance": self.robustness, **self.measures}
        return np.asarray(columns[name]).ravel()


def networks_of(results: Results) -> Networks:
    """Of a results file."""
    entries = dig(results, "networks") or {}
    columns = {name: _columns(one) for name, one in entries.items()}
    whole = [name for name, one in columns.items() if all(np.isfinite(values).all() for values in one.values())]
    seeds, paired = len(dig(results, "seeds") or []), dig(results, "paired") or {}

    def stacked(key: str) -> np.ndarray:
        return np.array([columns[name][key] for name in whole]).reshape(len(whole), seeds)

    return Networks(
        whole,
        [entries[name]["model"] for name in whole],
        [entries[name]["changed"] for name in whole],
        stacked("test_accuracy"),
        stacked("distance"),
        np.array([_image_error(entries[name]["distance"]) for name in whole]),
        {name: stacked(name) for name in (*SPECTRUM, *SMOOTH, *BOUNDARY)},
        [name for name in entries if name not in whole],
        {one: {other: Paired(*each) for other, each in of_it.items()} for one, of_it in paired.items()},
    )


def _columns(entry: Any) -> dict[str, np.ndarray]:
    found = {"test_accuracy": _numbers(entry["test_accuracy"])}
    with np.errstate(divide="ignore", invalid="ignore"):
        found["distance"] = np.log(_numbers(entry["distance"]["median"]))
        for name in (*SPECTRUM, *SMOOTH, *BOUNDARY):
            numbers = _numbers(entry[name])
            found[name] = numbers if name in EXPONENTS else np.log(numbers)
    return found


def _numbers(values: Any) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in per_seed(values)], np.float64)


def _image_error(distance: Any) -> float:
    """Of the log of a median: a quarter of its 95 % interval, the mean over seeds; these have the images in common."""
    intervals = [ends for ends in distance["median_interval"] if ends is not None and None not in ends and ends[0] > 0]
    widths = [math.log(high / low) / (2 * 1.96) for low, high in intervals]
    return float(np.mean(widths)) if widths else math.inf


def called(name: str, model: str, changed: Any) -> str:
    """A network in words: ``Krotov–Hopfield, n = 4.5, 250 epochs``."""
    words = [label(model)]
    words += [f"{path.partition('.')[0]} {changed[path]:g}" for path in PENALTIES if changed.get(path)]
    if changed.get("spectral.weight"):
        words.append(f"α = {changed['spectral.exponent']:g}")
    epochs = changed.get("decoder.epochs", changed.get("backprop.epochs"))
    return ", ".join([*words, f"n = {changed['decoder.power']:g}", f"{epochs} epochs"])


def published_one(found: Networks, model: str = RULE) -> int | None:
    """The network on a frozen layer that is nearest to the paper's: the largest power, the longest training."""
    places = [place for place, one in enumerate(found.models) if one == model]
    settings = [found.changed[place] for place in places]
    sizes = [(one["decoder.power"], one["decoder.epochs"]) for one in settings]
    return places[sizes.index(max(sizes))] if places else None

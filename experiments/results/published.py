"""What was published: the numbers of Holzhausen et al., arXiv 2405.00679, as data.

One network per row and no seeds, so none of these numbers has an error bar. ``None`` stands where the text gives none.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SOURCE = "Holzhausen, Merlid, Torvik, Malthe-Sørenssen, Lepperød, arXiv 2405.00679"
HIDDEN_UNITS = 2000
EPOCHS = 1000
DATASET = "cifar10"


class Published(NamedTuple):
    """Test accuracy, exponent of the spectrum on test images, median critical L2 distance under Gaussian noise."""

    test_accuracy: float | None = None
    alpha_images: float | None = None
    median_critical_l2_gaussian: float | None = None


PUBLISHED = {
    "data": Published(alpha_images=1.47),
    "untrained": Published(alpha_images=1.53),
    "kh": Published(0.47, 2.67, 3.1),
    "bp": Published(0.56, 2.92, 1.1),
    "l2": Published(0.52),
    "jacobian": Published(0.56),
    "spectral": Published(0.45),
}

ROBUSTNESS_ORDER = ("kh", "l2", "jacobian", "bp", "spectral")
"""From the most to the least robust, under all three attacks."""

NORM = 3.0
"""The p of the norm that every image is divided by."""

STRAIGHT_ON = {"images": ("kh", "spectral"), "noise": ("kh",)}
"""Models whose spectrum is said to be a straight power law; the others' are said not to be."""

SPECTRAL_TARGET_ALPHA = 1.0
"""The exponent that the spectral regularizer aims at."""

EFFECTIVE_JACOBIAN_WEIGHT = 1e-3 / 3
"""What the published normalisation of three random projections makes of the stated 1e-3."""

_BACKPROP: dict[str, Any] = {
    "backprop.epochs": EPOCHS,
    "backprop.batch_size": 1000,
    "backprop.learning_rates": [1e-3, 5e-4, 2e-4, 1e-4, 1e-5],
    "backprop.boundaries": [31, 91, 121, 161],
}
_LAYER = {
    "epochs": EPOCHS,
    "start": "normal",
    "scale": 1.0,
    "learning_rate": 0.02,
    "batch_size": 1000,
    "p": 3.0,
    "k": 2,
    "delta": 0.4,
    "radius": 1.0,
}
_DECODER = {
    "decoder.epochs": EPOCHS,
    "decoder.power": 4.5,
    "decoder.learning_rate": 1e-3,
    "decoder.batch_size": 1000,
}
TRAINED: dict[str, dict[str, Any]] = {
    "kh": {**{f"layer.{name}": value for name, value in _LAYER.items()}, **_DECODER},
    "bp": _BACKPROP,
    "l2": {**_BACKPROP, "l2.weight": 5e-4},
    "jacobian": {
        **_BACKPROP,
        "jacobian.weight": EFFECTIVE_JACOBIAN_WEIGHT,
        "jacobian.target": "preactivation",
    },
    "spectral": {
        "backprop.epochs": EPOCHS,
        "backprop.batch_size": 1000,
        "spectral.learning_rate": 1e-3,
        "spectral.weight": 1.0,
        "spectral.exponent": SPECTRAL_TARGET_ALPHA,
        "spectral.first": 1,
        "spectral.anchored": False,
        "spectral.refresh_every": 50,
        "spectral.constant_epochs": 90,
        "spectral.decay_epochs": 30.0,
    },
    "noise_start": {
        "noise_start_hidden": HIDDEN_UNITS,
        **{f"noise_start.{name}": value for name, value in _LAYER.items()},
        **_DECODER,
    },
}
"""The settings that make a network one of the published kind, by model; the layer started from noise among them."""


def unlike_published(settings: Mapping[str, Any], dataset: str | None, models: Iterable[str]) -> list[str]:
    """What of a run is not as published, in words, as far as these models hang on it.

    Args:
        settings: of the run, as results.json has them.
        dataset: what it was trained on.
        models: those that matter; a control has no published kind but the size.

    Returns:
        One phrase per difference, none where the run is of the published kind; a setting that is not known differs.
    """
    wanted: dict[str, Any] = {"norm": NORM}
    for model in models:
        wanted |= {} if model == "noise_start" else {"hidden": HIDDEN_UNITS}
        wanted |= TRAINED.get(model, {})
    found = [] if dataset == DATASET else [f"data {dataset or 'unknown'} (published {DATASET})"]
    for path, published in wanted.items():
        ours: Any = settings
        for key in path.split("."):
            ours = ours.get(key) if isinstance(ours, Mapping) else None
        if not _same(ours, published):
            name = path.replace(".", " ").replace("_", " ")
            found.append(f"{name} {_written(ours)} (published {_written(published)})")
    return found


def _same(ours: Any, published: Any) -> bool:
    if isinstance(ours, int | float) and isinstance(published, int | float):
        return abs(ours - published) <= 1e-3 * abs(published)
    return bool((list(ours) if isinstance(ours, tuple) else ours) == published)


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(_written, value))
    return "unknown" if value is None else f"{value:.2g}" if isinstance(value, float) else str(value)

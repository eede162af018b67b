"""Settings that are lengths follow the data: each stays the same multiple of an image's own size.

The presets' numbers are for the data set that each of them names. With another one,

* an ε or a radius in L2 is multiplied by the ratio of the images' lengths, a noise or an ε in L∞ by that of their root
  mean square pixels: medians over training images, of L3 norm 1 for what is in that space and of raw pixels in [0, 1]
  for the threats on raw pixels;
* where there are fewer dimensions, a window of a spectrum ends at the same share of them and holds ten eigenvalues at
  least: pixels for the images themselves, pixels or hidden units, whichever are fewer, for a layer.

Ratios have two digits. A setting that was given another value than the preset's stands as it was given. Weights of
penalties, learning rates and the published protocol of Gaussian noise do not follow.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from experiments.settings.paths import setting, with_settings
from experiments.settings.presets import PRESETS, Preset
from jax_bioadv.data import Dataset

AnySettings = TypeVar("AnySettings")

_IMAGES, _VALUES = 10_000, 2**25  # at most so many images are looked at, and so many pixels


@dataclass(frozen=True)
class Scale:
    """How large images are.

    Attributes:
        unit: median length of images of L3 norm 1.
        raw: median length of raw images.
        inputs: pixels of one.
    """

    unit: float
    raw: float
    inputs: int


HOME = {
    "cifar10": Scale(3.5648365020751953, 28.68061065673828, 3072),
    "digits": Scale(1.6624815464019775, 3.8822240829467773, 64),
}
"""The sizes of the data sets that presets name."""

UNIT_L2 = ("landscape.radius", "threats.unit_l2", "smoothness.radius", "boundaries.radii")
UNIT_PIXEL = (
    *(f"attacks.{attack}_{end}" for attack in ("gaussian", "gradient") for end in ("low", "high")),
    *("adversarial.epsilon", "threats.unit_linf"),
)
RAW_L2, RAW_PIXEL = ("threats.raw_l2",), ("threats.raw_linf",)
DATA_WINDOWS, LAYER_WINDOWS = ("spectra.last_on_data",), ("spectra.last_on_images", "spectra.last_on_noise")


def scale_of(dataset: Dataset) -> Scale:
    """The size of the first training images; of those that are all zero, which have none, nothing is taken."""
    count = max(1, min(_IMAGES, _VALUES // dataset.inputs))
    images = dataset.train_images[:count].reshape(-1, dataset.inputs).astype(np.float32) / 255
    images = images[images.any(axis=1)]
    lengths = np.linalg.norm(images, axis=1)
    unit = lengths / np.linalg.norm(images, 3, axis=1)
    return Scale(float(np.median(unit)), float(np.median(lengths)), dataset.inputs)


def for_data(settings: AnySettings, preset: Preset, dataset: Dataset) -> tuple[AnySettings, dict[str, float]]:
    """The settings of a preset for other images than those it is made for.

    Args:
        settings: of a reproduction or an evaluation.
        preset: that they started from.
        dataset: the images.

    Returns:
        The settings, and the ratios by which they were multiplied, by the names of what follows them; none of either is
        changed for the preset's own data set.
    """
    usual = PRESETS[preset]
    here, home = scale_of(dataset), HOME[usual.dataset]
    hidden = getattr(settings, "hidden", usual.hidden)
    pixels = math.sqrt(home.inputs / here.inputs)
    ratios = {
        "unit-norm L2": (_two_digits(here.unit / home.unit), UNIT_L2),
        "unit-norm L∞ and noise": (_two_digits(here.unit / home.unit * pixels), UNIT_PIXEL),
        "raw L2": (_two_digits(here.raw / home.raw), RAW_L2),
        "raw L∞": (_two_digits(here.raw / home.raw * pixels), RAW_PIXEL),
        "data's window": (min(1, here.inputs / home.inputs), DATA_WINDOWS),
        "layers' windows": (min(1, here.inputs / min(hidden, home.inputs)), LAYER_WINDOWS),
    }
    first = setting(settings, "spectra.first")
    told = {}
    for name, (ratio, paths) in ratios.items():
        follow = [path for path in paths if hasattr(settings, path.partition(".")[0])]
        follow = [path for path in follow if setting(settings, path) == setting(usual, path)]
        if ratio != 1 and follow:
            settings = with_settings(settings, {path: _times(setting(usual, path), ratio, first) for path in follow})
            told[name] = ratio
    return settings, told


def _times(value: Any, ratio: float, first: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_times(one, ratio, first) for one in value)
    if isinstance(value, int):
        return max(first + 9, round(value * ratio))
    return float(f"{value * ratio:.3g}")


def _two_digits(ratio: float) -> float:
    return float(f"{ratio:.2g}")

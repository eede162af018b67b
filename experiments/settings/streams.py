"""The settings of a run on images that do not fit into memory, and its presets."""

import dataclasses
from dataclasses import dataclass

from experiments.settings.groups import BackpropSettings, DecoderSettings, LayerSettings
from experiments.settings.presets import PRESETS, Preset
from experiments.settings.reproduction import Settings
from jax_bioadv.data.imagenet64 import NAME

MODELS = ("kh", "bp", "l2", "jacobian", "kh_start", "kmeans", "random")
"""What can be trained on a stream: the other models look at all images at once."""


@dataclass(frozen=True)
class StreamSettings:
    """How images are read."""

    window: int = 100_000
    """Images are shuffled within windows of so many, which come in random order; 0 shuffles all."""
    chunk: int = 100
    """Batches between two looks at a training, and at most between two checkpoints."""
    test_images: int = 10_000
    """So many of the first validation images are kept in memory, to measure on."""

    def check(self) -> None:
        """ValueError for a value that cannot work."""
        for name, least in (("window", 0), ("chunk", 1), ("test_images", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"stream.{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")


def _of(preset: Preset, epochs: tuple[int, int, int]) -> Settings:
    """A reproduction's settings, for many more images: fewer epochs of layer, decoder and networks."""
    whole = PRESETS[preset]
    layer, decoder, backprop = epochs
    first, *_ = whole.backprop.learning_rates
    return dataclasses.replace(
        whole,
        dataset=NAME,
        models=",".join(MODELS),
        layer=LayerSettings(epochs=layer, start="samples", batch_size=whole.layer.batch_size),
        decoder=dataclasses.replace(whole.decoder, epochs=decoder),
        backprop=BackpropSettings(backprop, whole.backprop.batch_size, (first, first / 10), (backprop * 4 // 5,)),
    )


UNREAD = (
    *("layer.scale", "noise_start", "noise_start_hidden", "spectral", "adversarial", "landscape"),
    *("spectra.last_on_data", "attacks.published_images", "attacks.published_epsilons"),
    *("masking", "bounds", "boundaries"),
)
"""What no task of such a run reads."""
STREAM_PRESETS: dict[Preset, Settings] = {
    "smoke": dataclasses.replace(
        _of("smoke", (2, 2, 2)), decoder=DecoderSettings(epochs=2, learning_rate=1e-2, batch_size=100)
    ),
    "quick": _of("quick", (1, 2, 2)),
    "paper": _of("paper", (10, 20, 30)),
}
"""``paper`` is for an accelerator: 1.28 million images of 12 288 pixels, a layer of 2000 units."""

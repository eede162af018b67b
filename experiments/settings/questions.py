"""What the experiments on the paper's open questions can be told, beyond the settings of a reproduction."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from experiments.models import KNOWN, ROWS
from experiments.settings.groups import DecoderSettings, LayerSettings, SpectraSettings
from experiments.settings.presets import PRESETS, Preset
from experiments.settings.reproduction import MAY_BE_ZERO, Settings

ATTACKED = ("kh", "kh_start", "kmeans", *ROWS)
"""Models that question 1 attacks: powered decoders on frozen rows, so that only the rows differ."""


@dataclass(frozen=True)
class WhySettings:
    """Question 1: why does the rule give power laws?"""

    attacked: str = ",".join(ATTACKED)
    """Models whose decoders are trained and attacked, separated by commas; of all others the first layer is enough."""
    looks: tuple[int, ...] = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    """Epochs after which layers in training are looked at."""
    hidden: int = 500
    """Hidden units of the layers trained with other settings."""
    deltas: tuple[float, ...] = (0.0, 0.8)
    """Other strengths Δ of the push."""
    ks: tuple[int, ...] = (5,)
    """Other ranks k of the unit that is pushed."""
    ps: tuple[float, ...] = (2.0, 4.0)
    """Other exponents p of the norm."""
    radii: tuple[float, ...] = (2.0,)
    """Other norms R of converged rows."""
    widths: tuple[int, ...] = (1000,)
    """Other numbers of hidden units."""


@dataclass(frozen=True)
class QuestionSettings(Settings):
    """A reproduction's settings, and those of each question."""

    why: WhySettings = field(default_factory=WhySettings)
    may_be_zero: ClassVar[set[str]] = MAY_BE_ZERO | {"why.looks", "why.deltas"}

    @property
    def attacked(self) -> tuple[str, ...]:
        """Models that question 1 attacks, of those that there are."""
        chosen = {name.strip() for name in self.why.attacked.split(",")}
        return tuple(name for name in self.model_names if name in chosen)

    def check_values(self) -> None:
        super().check_values()
        unknown = {name.strip() for name in self.why.attacked.split(",")} - set(self.model_names)
        if unknown:
            raise ValueError(f"why.attacked: {min(unknown)!r} is not among --models")
        if list(self.why.looks) != sorted(set(self.why.looks)):
            raise ValueError(f"why.looks must increase, got {self.why.looks}")
        for layer, hidden in self.variants.values():
            try:
                layer.rule.check(hidden)
            except ValueError as error:
                raise ValueError(f"why: {error}") from error

    @property
    def variants(self) -> dict[str, tuple[LayerSettings, int]]:
        """Layers that differ from the first in one setting, with their hidden units, by that setting's name."""
        why, layer = self.why, self.layer
        others = [(f"delta {value:g}", dataclasses.replace(layer, delta=value)) for value in why.deltas]
        others += [(f"k {value}", dataclasses.replace(layer, k=value)) for value in why.ks]
        others += [(f"p {value:g}", dataclasses.replace(layer, p=value)) for value in why.ps]
        others += [(f"radius {value:g}", dataclasses.replace(layer, radius=value)) for value in why.radii]
        same = {f"hidden {width}": (layer, width) for width in why.widths}
        return {"base": (layer, why.hidden), **{name: (one, why.hidden) for name, one in others}, **same}


FIRST_LAYERS = ("kh", "bp", "l2", "kh_start", "kmeans", "random", "pca", "whitened", *ROWS)
"""Whose first layers question 1 looks at where there is no time for all."""


def _of(preset: Preset, **changed: Any) -> QuestionSettings:
    whole = PRESETS[preset]
    shared = {one.name: getattr(whole, one.name) for one in dataclasses.fields(Settings)}
    return QuestionSettings(**{**shared, **changed})


QUESTION_PRESETS: dict[Preset, QuestionSettings] = {
    "smoke": _of(
        "smoke",
        models="kh,bp,kh_start,pca,rows_gaussian,rows_white",
        decoder=DecoderSettings(epochs=10, learning_rate=1e-2, batch_size=100),
        spectra=SpectraSettings(noise_images=500, first=2),
        why=WhySettings(
            attacked="kh,kh_start,rows_gaussian,rows_white",
            looks=(0, 2, 6),
            hidden=24,
            deltas=(0.0,),
            ks=(),
            ps=(),
            radii=(2.0,),
            widths=(48,),
        ),
    ),
    "quick": _of(
        "quick",
        seeds=3,
        models=",".join(FIRST_LAYERS),
        why=WhySettings(looks=(0, 1, 2, 4, 8, 15, 25, 40), hidden=250, widths=(500,)),
    ),
    # Both starts are followed: the layer's from images, here too, and the published one of the layer from noise.
    "paper": _of("paper", seeds=5, models=",".join(KNOWN), layer=LayerSettings(start="samples")),
}
"""The settings of the questions: those of a reproduction's presets, with seeds."""

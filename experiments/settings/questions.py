"""What the experiments on the paper's open questions can be told, beyond the settings of a reproduction."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from experiments.models import KNOWN, MODELS, ROWS
from experiments.settings.groups import (
    BackpropSettings,
    DecoderSettings,
    LayerSettings,
    SpectralSettings,
)
from experiments.settings.measurements import SpectraSettings
from experiments.settings.presets import PRESETS, Preset
from experiments.settings.reproduction import MAY_BE_ZERO, Settings
from experiments.shaped_models import STRENGTHS

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
class DimensionSettings:
    """Question 2: how does the exponent follow the data's intrinsic dimension?"""

    dimensions: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Dimensions of the manifolds; white noise comes besides."""
    directions: tuple[int, ...] = (32, 128, 512)
    """So many leading principal directions are left of images; whole images come besides."""
    smoothness: float = 1.5
    """ν of the manifolds' kernel: their own exponent is 1 + 2ν/d, that of the bound for ν = 1."""
    length: float = 1.0
    """Of the kernel: the shorter, the more the manifolds are curled up."""
    train_images: int = 50_000
    """Points of every set that are learned from."""
    test_images: int = 10_000
    """Points of every set that are measured on."""
    points: int = 2000
    """Of these, so many are given to the estimators of dimension."""
    hidden: int = 2000
    """Hidden units."""
    models: str = "kh,bp,kmeans,kh_start,random"
    """The rule, backpropagation and controls, separated by commas."""

    @property
    def model_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.models.split(","))


@dataclass(frozen=True)
class ShapeSettings:
    """Question 3: does robustness follow the spectrum?"""

    compared: str = "kh,bp,l2,spectral,kmeans,bp_matched"
    """What networks of given spectra are compared with; kh and bp are needed."""
    strengths: tuple[str, ...] = tuple(STRENGTHS)
    """Which weights of the penalties are tried."""
    weak: float = 1.0
    """Weight of the weak penalties."""
    middle: float = 5.0
    """Weight of the middle ones."""
    strong: float = 25.0
    """Weight of the strong ones."""
    hidden: int = 2000
    """Hidden units of all networks."""
    backprop: BackpropSettings = field(default_factory=BackpropSettings)
    """How networks are trained by backpropagation."""
    spectral: SpectralSettings = field(default_factory=SpectralSettings)
    """The published penalty, and the exponent and the pace of all others."""

    @property
    def compared_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.strip() for name in self.compared.split(",")))


@dataclass(frozen=True)
class MixingSettings:
    """Questions 4 and 5: many networks, of penalties mixed at random, beside the rule and controls."""

    hidden: int = 2000
    """Their hidden units."""
    mixes: int = 60
    """Networks whose weight decay, Jacobian penalty, power and epochs are drawn at random."""
    spectral_mixes: int = 24
    """Such networks with a spectral penalty besides."""
    epochs: tuple[int, ...] = (2, 5, 15)
    """Epochs of which one is drawn: fewer stop early."""
    powers: tuple[float, ...] = (1.0, 2.0, 4.5)
    """Exponents n of the hidden activation, of which one is drawn; the rule and controls have each of them."""
    l2: tuple[float, float] = (1e-5, 1e-2)
    """Smallest and largest weight of the decay; half of the networks have none."""
    jacobian: tuple[float, float] = (1e-5, 1e-1)
    """Those of the penalty on the activation's Jacobian; half of the networks have none."""
    spectral: tuple[float, float] = (1e-2, 1e1)
    """Those of the spectral penalty."""
    exponents: tuple[float, ...] = (1.0, 2.0, 3.0)
    """Exponents of the spectral target, of which one is drawn."""
    decoder_epochs: tuple[int, ...] = (25, 250)
    """Epochs of the decoders on frozen layers."""
    frozen: str = "kh,kh_start,kmeans,pca,random"
    """The rule and controls with a frozen first layer, separated by commas."""


@dataclass(frozen=True)
class QuestionSettings(Settings):
    """A reproduction's settings, and those of each question."""

    why: WhySettings = field(default_factory=WhySettings)
    dimension: DimensionSettings = field(default_factory=DimensionSettings)
    shape: ShapeSettings = field(default_factory=ShapeSettings)
    mixing: MixingSettings = field(default_factory=MixingSettings)
    may_be_zero: ClassVar[set[str]] = MAY_BE_ZERO | {
        *("why.looks", "why.deltas", "shape.spectral.weight", "shape.spectral.constant_epochs")
    }

    @property
    def attacked(self) -> tuple[str, ...]:
        """Models that question 1 attacks, of those that there are."""
        chosen = {name.strip() for name in self.why.attacked.split(",")}
        return tuple(name for name in self.model_names if name in chosen)

    @property
    def of_shapes(self) -> "QuestionSettings":
        """As question 3 has them."""
        shape, threats = self.shape, dataclasses.replace(self.threats, names=("unit_l2",))
        shared = {"backprop": shape.backprop, "spectral": shape.spectral, "threats": threats}
        return dataclasses.replace(self, hidden=shape.hidden, **shared)  # type: ignore[arg-type]

    def check_values(self) -> None:
        super().check_values()
        compared = self.shape.compared_names
        if not {"kh", "bp"} <= set(compared) <= set(MODELS):
            raise ValueError(f"shape.compared: kh, bp and others of {', '.join(MODELS)}; got {', '.join(compared)}")
        strengths = self.shape.strengths
        if not strengths or set(strengths) - set(STRENGTHS) or len(set(strengths)) < len(strengths):
            raise ValueError(f"shape.strengths: choose among {', '.join(STRENGTHS)}, each once; got {strengths}")
        unknown = {name.strip() for name in self.why.attacked.split(",")} - set(self.model_names)
        if unknown:
            raise ValueError(f"why.attacked: {min(unknown)!r} is not among --models")
        for name in self.dimension.model_names:
            if name not in KNOWN or KNOWN[name].matches:
                raise ValueError(f"dimension.models: {name!r} cannot be trained there")
        if self.dimension.points > self.dimension.test_images:
            raise ValueError("dimension.points exceeds dimension.test-images")
        frozen = [name.strip() for name in self.mixing.frozen.split(",")]
        for name in frozen:
            if name not in KNOWN or KNOWN[name].first_layer is None:
                raise ValueError(f"mixing.frozen: {name!r} is no model with a frozen first layer")
        if len(set(frozen)) != len(frozen):
            raise ValueError(f"mixing.frozen names a model twice: {self.mixing.frozen!r}")
        for name in ("epochs", "powers", "exponents", "decoder_epochs"):
            if not getattr(self.mixing, name):
                raise ValueError(f"mixing.{name.replace('_', '-')} needs one value at least")
        for name in ("deltas", "ks", "ps", "radii", "widths"):
            values = getattr(self.why, name)
            if len({f"{value:g}" for value in values}) < len(values):
                raise ValueError(f"why.{name} has one twice, in six digits")
        for name in ("l2", "jacobian", "spectral"):
            low, high = getattr(self.mixing, name)
            if low > high:
                raise ValueError(f"mixing.{name}: the smallest weight, {low:g}, exceeds the largest, {high:g}")
        if min(self.mixing.powers) < 1:
            raise ValueError(f"mixing.powers must be at least 1, got {min(self.mixing.powers):g}")
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
        dimension=DimensionSettings(
            dimensions=(1, 4),
            directions=(8,),
            train_images=1000,
            test_images=250,
            points=200,
            hidden=60,
            models="kh,bp,random",
        ),
        shape=ShapeSettings(
            compared="kh,bp,spectral,kmeans,bp_matched",
            strengths=("weak", "strong"),
            hidden=48,
            backprop=BackpropSettings(epochs=6, batch_size=100, learning_rates=(1e-2,), boundaries=()),
            spectral=SpectralSettings(refresh_every=3, learning_rate=1e-2, constant_epochs=6),
        ),
        mixing=MixingSettings(
            hidden=24, mixes=8, spectral_mixes=3, epochs=(2, 6), powers=(1.0, 2.0), decoder_epochs=(10,)
        ),
    ),
    "quick": _of(
        "quick",
        seeds=3,
        models=",".join(FIRST_LAYERS),
        why=WhySettings(looks=(0, 1, 2, 4, 8, 15, 25, 40), hidden=250, widths=(500,)),
        dimension=DimensionSettings(directions=(32, 128), train_images=10_000, test_images=4000, hidden=250),
        shape=ShapeSettings(
            hidden=250,
            backprop=BackpropSettings(epochs=8, learning_rates=(1e-3, 3e-4), boundaries=(6,)),
            spectral=SpectralSettings(learning_rate=2e-3, constant_epochs=5, decay_epochs=1.0),
        ),
        mixing=MixingSettings(hidden=200, mixes=36, spectral_mixes=12, epochs=(1, 3, 10)),
    ),
    # Both starts are followed: the layer's from images, here too, and the published one of the layer from noise.
    "paper": _of("paper", seeds=5, models=",".join((*MODELS, *ROWS)), layer=LayerSettings(start="samples")),
}
"""The settings of the questions: those of a reproduction's presets, with seeds."""

"""The networks of questions 4 and 5: what each is made of.

Penalties are drawn at random rather than taken from a grid, so that as many weights are tried as there are networks,
and no two of their settings go together.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.models import KNOWN
from experiments.settings.questions import MixingSettings, QuestionSettings

RULE = "kh"
SHARE_WITHOUT = 0.5
"""Of the mixes, so many have no weight decay, and as many no Jacobian penalty (of all four kinds as many, then)."""


class Recipe(NamedTuple):
    """A network.

    Attributes:
        name: of its tasks.
        model: which of ``KNOWN`` it is.
        changed: the settings in which it differs, by dotted path.
    """

    name: str
    model: str
    changed: Mapping[str, Any]


def recipes(settings: QuestionSettings) -> list[Recipe]:
    """All of them, the same for the same settings."""
    mixing = settings.mixing
    return [*_mixes(mixing, False), *_mixes(mixing, True), *_frozen(mixing)]


def _mixes(mixing: MixingSettings, spectral: bool) -> list[Recipe]:
    # Each kind has draws of its own, and each network its own among them: a larger number keeps those of a smaller one.
    model, count = ("mix_spectral", mixing.spectral_mixes) if spectral else ("mix", mixing.mixes)
    found = []
    for number in range(count):
        generator = np.random.default_rng([int(spectral), number])
        changed = {
            "l2.weight": _weight(generator, mixing.l2, SHARE_WITHOUT),
            "jacobian.weight": _weight(generator, mixing.jacobian, SHARE_WITHOUT),
            "jacobian.target": "activation",
            "backprop.epochs": _one_of(generator, mixing.epochs),
            "decoder.power": _one_of(generator, mixing.powers),
        }
        if spectral:
            changed["spectral.weight"] = _weight(generator, mixing.spectral, 0.0)
            changed["spectral.exponent"] = _one_of(generator, mixing.exponents)
        found.append(Recipe(f"{model}{number}".replace("_", "-"), model, changed))
    return found


def _weight(generator: np.random.Generator, ends: tuple[float, float], without: float) -> float:
    """Log-uniform, or 0 for some; both are drawn, so that the next number does not hang on which it is."""
    left_out, weight = generator.random() < without, np.exp(generator.uniform(*np.log(ends)))
    return 0.0 if left_out else float(f"{weight:.3g}")


def _one_of(generator: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return values[int(generator.integers(len(values)))]


def _frozen(mixing: MixingSettings) -> list[Recipe]:
    """Each frozen layer with decoders of every power and length; one that has no power, with those of every length."""
    found = []
    for model in (name.strip() for name in mixing.frozen.split(",")):
        for power in mixing.powers if KNOWN[model].powered else (1.0,):
            for epochs in mixing.decoder_epochs:
                changed = {"decoder.power": power, "decoder.epochs": epochs}
                found.append(Recipe(f"{model}-n{power:g}-e{epochs}", model, changed))
    return found

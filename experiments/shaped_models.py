"""The networks of question 3: what they are called, which spectra a penalty gives them, and how figures draw them.

No reproduction trains them. Each penalty comes in three weights, of which the settings say how large they are.
"""

from typing import NamedTuple

from jax_bioadv.styles import SOLID, THIN, Dashes, ModelStyle


class Shape(NamedTuple):
    """Which spectra are shaped: ``on`` which inputs, to power laws or, if they are ``copied``, to those of the rule."""

    label: str
    on: tuple[str, ...]
    copied: bool
    color: str
    marker: str


SHAPES = {
    "law_images": Shape("law on images", ("images",), False, "#E69F00", "v"),
    "law_noise": Shape("law on noise", ("noise",), False, "#009E73", "^"),
    "law_both": Shape("law on both", ("images", "noise"), False, "#D55E00", "s"),
    "rule_spectra": Shape("the rule's spectra", ("images", "noise"), True, "#6A3D9A", "D"),
}
STRENGTHS: dict[str, Dashes] = {"weak": (0.0, (1.0, 1.2)), "middle": (0.0, (4.0, 1.4)), "strong": SOLID}
MATCHED = "bp_as"
"""Before the name of a network: backpropagation that stopped at its accuracy."""
UNSHAPED = "unshaped"
"""The same network and training with a penalty of weight 0."""
ROTATED = "kh_rotated"
"""The rule's layer turned among its units."""
SHAPED = {f"{shape}_{strength}": (shape, strength) for shape in SHAPES for strength in STRENGTHS}
"""The kind and the strength of each network whose spectra are shaped."""


def kind_of(model: str) -> str:
    """What a model is one of, whatever the strength of its penalty."""
    kind, _, strength = model.rpartition("_")
    return kind if strength in STRENGTHS else model


def label_of_kind(model: str) -> str:
    """What all models of its kind are called; of one that is the only one, what it is."""
    kind, _, strength = SHAPED_STYLES[model].label.rpartition(", ") if model in SHAPED_STYLES else ("", "", "")
    return kind if strength in STRENGTHS else ""


def _styles() -> dict[str, ModelStyle]:
    found = {UNSHAPED: ModelStyle("#666666", "o", SOLID, THIN, "no penalty, batch norm")}
    for model, (name, strength) in SHAPED.items():
        shape, dashes = SHAPES[name], STRENGTHS[strength]
        found[model] = ModelStyle(shape.color, shape.marker, dashes, THIN, f"{shape.label}, {strength}")
        as_accurate = f"backprop, as accurate as {found[model].label}"
        found[f"{MATCHED}_{model}"] = ModelStyle("#8C5A2B", "*", dashes, THIN, as_accurate)
    found[ROTATED] = ModelStyle("#56B4E9", "X", (0.0, (2.0, 2.0)), THIN, "Krotov–Hopfield, rotated")
    return found


SHAPED_STYLES = _styles()

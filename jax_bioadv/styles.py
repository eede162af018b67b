"""How models are drawn, and what they, attacks and measures are called; drawing itself is in ``jax_bioadv.figures``.

How models look, and what they and attacks are called, is handed in; colours should stay apart for all common kinds of
colour blindness, as those of Okabe and Ito (2008) do, and markers and dashes repeat what colour says.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

MEASURE_NAMES = {
    "jacobian_frobenius": "‖∂a/∂x‖ (Frobenius)",
    "jacobian_spectral": "‖∂a/∂x‖ (spectral)",
    "relative_jacobian": "relative Jacobian (Frobenius)",
    "relative_jacobian_spectral": "relative Jacobian (spectral)",
    "logit_jacobian_spectral": "Jacobian of the logits",
    "relative_logit_jacobian": "relative Jacobian of the logits",
    "lipschitz_global": "global Lipschitz bound, logits",
    "lipschitz_global_activation": "global Lipschitz bound, activation",
    "lipschitz_local": "local Lipschitz constant, logits",
    "lipschitz_local_activation": "local Lipschitz constant, activation",
    "relative_lipschitz_local": "relative local Lipschitz constant",
    "loss_curvature": "curvature of the loss",
    "loss_hessian_spectral": "largest curvature of the loss",
    "margin_over_gradient": "margin / gradient",
    "margin_curvature": "curvature of the margin",
    "alpha_images": "exponent α on images",
    "alpha_noise": "exponent α on noise",
    "boundary_length_radius_4": "boundary length, radius 4",
    "boundary_length_radius_20": "boundary length, radius 20",
    "boundary_curvature_radius_4": "boundary curvature, radius 4",
    "boundary_curvature_radius_20": "boundary curvature, radius 20",
    "test_accuracy": "test accuracy",
}
Dashes = Literal["-"] | tuple[float, tuple[float, ...]]
SOLID: Dashes = "-"
THIN = 1.3
"""The width of lines that are less to the point, such as those of controls."""
CROWD = 8
"""More models than this need more room: wider panels, legends outside, small print."""


class ModelStyle(NamedTuple):
    """How a model is drawn, everywhere, and what it is called; without a label by its own name."""

    color: str
    marker: str
    dashes: Dashes
    width: float = 2.2
    label: str = ""


Styles = Mapping[str, ModelStyle]
"""How models are drawn; their order is the order of drawing."""
Names = Mapping[str, str]
"""What attacks or threats are called; their order is the order of drawing."""

_FURTHER = (
    ModelStyle("#882255", "d", SOLID),
    ModelStyle("#6A3D9A", "h", (0.0, (6.0, 1.6))),
    ModelStyle("#8C5A2B", "p", (0.0, (3.5, 1.2, 1.0, 1.2))),
    ModelStyle("#B8A800", "<", (0.0, (2.4, 1.2))),
    ModelStyle("#000000", ">", (0.0, (1.1, 1.1))),
)


def _ordered(present: Iterable[str], known: Iterable[str]) -> list[str]:
    names = set(present)
    first = [name for name in known if name in names]
    return first + sorted(names - set(first))


def model_styles(models: Iterable[str], styles: Styles | None = None) -> dict[str, ModelStyle]:
    """A style with a label for each model, in the order of drawing.

    Args:
        models: the names of those that are there.
        styles: of known models, which come first and in this order; others follow by name, in further colours that
            their names choose.
    """
    known, found, taken = styles or {}, {}, set[int]()
    for model in _ordered(models, known):
        style = known.get(model)
        if style is None:
            place = zlib.crc32(model.encode()) % len(_FURTHER)
            while place in taken and len(taken) < len(_FURTHER):
                place = (place + 1) % len(_FURTHER)
            taken.add(place)
            style = _FURTHER[place]
        found[model] = style._replace(label=style.label or model.replace("_", " "))
    return found


def named(present: Iterable[str], names: Names | None = None) -> dict[str, str]:
    """What each of those that are there is called, in the order of drawing.

    Args:
        present: attacks or threats by their keys in the data.
        names: of known ones, which come first and in this order; others follow by key, and are called by it.
    """
    known = names or {}
    return {one: known.get(one, one.replace("_", " ")) for one in _ordered(present, known)}


def measure_name(measure: str) -> str:
    """The name of a measure of smoothness as it stands in a figure or a table."""
    return MEASURE_NAMES.get(measure, measure.replace("_", " "))

"""The threats: attacks of one strength each, in the paper's space or on raw pixels."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jax_bioadv.styles import named


@dataclass(frozen=True)
class Threat:
    """A norm and the space that it is measured in; its ε is the setting of its name, in the group ``threats``.

    Attributes:
        name: as the command line and results.json have it.
        label: as figures and tables show it.
        norm: 2 or infinity.
        raw: whether in raw pixels in [0, 1], rather than in images divided by their own norm.
    """

    name: str
    label: str
    norm: float
    raw: bool


THREATS: Mapping[str, Threat] = {
    threat.name: threat
    for threat in (
        Threat("unit_linf", "L∞, unit-norm images", math.inf, raw=False),
        Threat("unit_l2", "L₂, unit-norm images", 2.0, raw=False),
        Threat("raw_linf", "L∞, raw pixels", math.inf, raw=True),
        Threat("raw_l2", "L₂, raw pixels", 2.0, raw=True),
    )
}
THREAT_LABELS: Mapping[str, str] = {name: threat.label for name, threat in THREATS.items()}


def threat_labels(threats: Iterable[str]) -> dict[str, str]:
    """Threats as figures and tables show them, in the order of the registry; others by their own names, behind."""
    return named(threats, THREAT_LABELS)

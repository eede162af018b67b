"""The threats: attacks of one strength each, in the paper's space or on raw pixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Threat:
    """A norm and the space that it is measured in; its ε is the setting of its name, in the group ``threats``.

    Attributes:
        name: as the command line and results.json have it.
        norm: 2 or infinity.
        raw: whether in raw pixels in [0, 1], rather than in images divided by their own norm.
    """

    name: str
    norm: float
    raw: bool


THREATS: Mapping[str, Threat] = {
    threat.name: threat
    for threat in (
        Threat("unit_linf", math.inf, raw=False),
        Threat("unit_l2", 2.0, raw=False),
        Threat("raw_linf", math.inf, raw=True),
        Threat("raw_l2", 2.0, raw=True),
    )
}

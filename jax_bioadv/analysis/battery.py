"""What can be measured of which network: the one table of what each measurement needs.

A measurement needs the logits alone, a look inside at a tap (:mod:`jax_bioadv.taps`), or closed forms that hold for one
hidden layer alone, :class:`jax_bioadv.models.Network`. Whatever has one hidden layer has taps, and what has taps has
logits::

    for measurement in measurements_of(network):
        print(measurement.name, [function.__name__ for function in measurement.functions])
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from flax import nnx

from jax_bioadv.analysis import (
    boundaries,
    boundary_geometry,
    certified,
    critical,
    generic_smoothness,
    masking,
    robustness,
    smoothness,
    tap_spectra,
)
from jax_bioadv.attacks import Attack, minimum_norm_perturbations
from jax_bioadv.learning import regularizers, tap_regularizers
from jax_bioadv.models import check_one_hidden_layer


class Needs(IntEnum):
    """What a measurement needs of a network; each has all that those before it have."""

    LOGITS = 1
    """Any function of images."""
    TAP = 2
    """Any ``nnx.Module``."""
    ONE_HIDDEN_LAYER = 3
    """A :class:`jax_bioadv.models.Network`."""


class Measurement(NamedTuple):
    """A question that can be put to a network, and the functions that answer it."""

    name: str
    needs: Needs
    functions: tuple[Callable[..., Any], ...]


BATTERY = (
    Measurement("attacks", Needs.LOGITS, (Attack, robustness.epsilon_sweep)),
    Measurement("critical perturbations", Needs.LOGITS, (critical.critical_search, minimum_norm_perturbations)),
    Measurement("gradient masking", Needs.LOGITS, (masking.masking_outcomes,)),
    Measurement("boundary geometry", Needs.LOGITS, (boundary_geometry.generic_boundary_geometry,)),
    Measurement("smoothness of the logits", Needs.LOGITS, (generic_smoothness.generic_smoothness_measures,)),
    Measurement("covariance spectra", Needs.TAP, (tap_spectra.tap_spectrum,)),
    Measurement("smoothness of representations", Needs.TAP, (generic_smoothness.representation_smoothness,)),
    Measurement("landscapes", Needs.TAP, (boundaries.generic_landscape,)),
    Measurement("penalties at taps", Needs.TAP, (tap_regularizers.jacobian_at_tap, tap_regularizers.spectral_at_tap)),
    Measurement("certified bounds", Needs.ONE_HIDDEN_LAYER, (certified.lipschitz_bound, certified.relaxation_bound)),
    Measurement("global Lipschitz constants", Needs.ONE_HIDDEN_LAYER, (smoothness.smoothness_measures,)),
    Measurement("exact landscapes", Needs.ONE_HIDDEN_LAYER, (boundaries.landscape,)),
    Measurement("exact boundary geometry", Needs.ONE_HIDDEN_LAYER, (boundary_geometry.boundary_geometry,)),
    Measurement("exact penalties", Needs.ONE_HIDDEN_LAYER, (regularizers.jacobian, regularizers.spectral)),
)


def given_by(network: Any) -> Needs:
    """What a network, a module or a function, has for measurements."""
    if not isinstance(network, nnx.Module):
        return Needs.LOGITS
    try:
        check_one_hidden_layer(network, "")
    except TypeError:
        return Needs.TAP
    return Needs.ONE_HIDDEN_LAYER


def measurements_of(network: Any) -> tuple[Measurement, ...]:
    """What can be measured of a network, a module or a function."""
    return tuple(each for each in BATTERY if each.needs <= given_by(network))


def check_measurable(name: str, network: Any) -> None:
    """Raise unless a measurement can be made of a network.

    Args:
        name: the measurement's, in :data:`BATTERY`.
        network: a module or a function.

    Raises:
        ValueError: there is no such measurement.
        TypeError: it needs more than there is; the message says what, and what can be measured.
    """
    measurement = next((each for each in BATTERY if each.name == name), None)
    if measurement is None:
        raise ValueError(f"there is no measurement {name!r}; there are {', '.join(each.name for each in BATTERY)}")
    if measurement.needs <= given_by(network):
        return
    needed = {
        Needs.TAP: "a look inside: give the nnx.Module itself, not a function of images",
        Needs.ONE_HIDDEN_LAYER: "one hidden layer, a jax_bioadv.models.Network",
    }[measurement.needs]
    others = ", ".join(each.name for each in measurements_of(network))
    raise TypeError(f"{name} of a {type(network).__name__}: this needs {needed}. What can be measured: {others}")

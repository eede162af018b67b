"""The dimension and the spectrum of data, and of what a network makes of them."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.measuring.alignment import last_of
from experiments.measuring.spectra import fitted
from experiments.networks import trained_network
from experiments.settings.measurements import SpectraSettings
from jax_bioadv.analysis.dimension import (
    maximum_likelihood_dimension,
    participation_ratio,
    two_nearest_neighbours_dimension,
)
from jax_bioadv.analysis.spectra import covariance, covariance_spectrum


def dimensions(work: Work, *, spectra: SpectraSettings, points: int, units: int) -> Outcome:
    """Of the test images, and of the hidden layer of ``needs["model"]`` on them, before and after its nonlinearity.

    Args:
        work: whose images are the data.
        spectra: window of the fits, which ends for data where it does for a layer of so many units.
        points: so many go to the estimators of dimension.
        units: of the layers.
    """
    last = last_of(spectra, units)
    if "model" not in work.needed:
        return _told({"data": np.asarray(work.images.test)}, spectra, points, last)
    network = trained_network(work.images, work.needed["model"])
    keep = work.needed["model"].arrays.get("keep", np.ones(units, bool))
    hidden = np.asarray(jnp.matmul(work.images.test, network.encoder.kernel[...], precision="highest"))[:, keep]
    after = np.maximum(hidden, 0) ** network.power
    outcome = _told({"preactivation": hidden, "activation": after}, spectra, points, last)
    accuracy = work.needed["model"].values["test_accuracy"]
    return Outcome({**outcome.values, "test_accuracy": accuracy}, outcome.arrays)


def _told(features: Mapping[str, np.ndarray], spectra: SpectraSettings, points: int, last: int) -> Outcome:
    values: dict[str, Any] = {}
    arrays = {}
    for name, one in features.items():
        arrays[name] = covariance_spectrum(covariance(one))
        some = one[:points]
        values[name] = {
            "fit": fitted(spectra, arrays[name], last),
            "participation_ratio": participation_ratio(arrays[name]),
            "two_nearest": two_nearest_neighbours_dimension(some),
            "maximum_likelihood": maximum_likelihood_dimension(some),
        }
    return Outcome(values, arrays)

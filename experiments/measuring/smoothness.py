"""Smoothness: Jacobian norms and landscapes as in the paper; certified bounds, other measures, decision boundaries."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.networks import purpose_key, trained_network
from experiments.settings.measurements import BoundarySettings, BoundsSettings, LandscapeSettings, SmoothnessSettings
from jax_bioadv.analysis import boundaries as planes
from jax_bioadv.analysis import boundary_geometry, certified, robustness
from jax_bioadv.analysis import smoothness as measures
from jax_bioadv.jacobian import activation_jacobian_norms, preactivation_jacobian_norm
from jax_bioadv.models import Network, logits_function


def jacobian_norms(work: Work) -> Outcome:
    network = trained_network(work.images, work.needed["model"])
    kernel = network.encoder.kernel[...]
    norms = activation_jacobian_norms(kernel, network.power, work.images.test)
    return Outcome({"preactivation": float(preactivation_jacobian_norm(kernel))}, {"activation": norms})


def landscape(work: Work, *, landscape: LandscapeSettings) -> Outcome:
    """The Jacobian's norm and the decision on one plane, the same for all models."""
    network = trained_network(work.images, work.needed["model"])
    plane = planes.random_plane(purpose_key(0, "plane"), work.images.inputs)
    image = work.images.test[landscape.image]
    found = planes.landscape(network, image, plane, landscape.radius, landscape.resolution)
    return Outcome({}, found._asdict())


def _correct(work: Work, network: Network, limit: int) -> np.ndarray:
    images = work.images
    return robustness.correctly_classified(logits_function(network), images.test, images.test_labels, limit)


def bounds(work: Work, *, seed: int, bounds: BoundsSettings) -> Outcome:
    """Certified radii of the first images that the model classifies correctly, the same that the attacks begin with."""
    network = trained_network(work.images, work.needed["model"])
    return certified_bounds(network, work.images, _correct(work, network, bounds.images))


def certified_bounds(network: Network, images: Images, chosen: np.ndarray) -> Outcome:
    """Certified radii of some of the test images."""
    if not len(chosen):
        return Outcome()
    given = network, np.asarray(images.test)[chosen], np.asarray(images.test_labels)[chosen]
    found = {"lipschitz": certified.lipschitz_bound(*given), "relaxation": certified.relaxation_bound(*given)}
    return Outcome({}, {"images": chosen, **found})


def smoothness(work: Work, *, seed: int, smoothness: SmoothnessSettings) -> Outcome:
    """Other measures than the Jacobian's norm, on the first images that the model classifies correctly."""
    network = trained_network(work.images, work.needed["model"])
    correct = _correct(work, network, smoothness.images)
    if not len(correct):
        return Outcome()
    found = measures.smoothness_measures(
        network,
        work.images.test[correct],
        work.images.test_labels[correct],
        purpose_key(seed, "smoothness"),
        radius=smoothness.radius,
    )
    return Outcome({}, {name: np.asarray(measure) for name, measure in found.items()})


def boundaries(work: Work, *, seed: int, boundaries: BoundarySettings) -> Outcome:
    """Length and curvature on planes that are the same for all models of a seed."""
    network = trained_network(work.images, work.needed["model"])
    images = jnp.asarray(work.images.test[: boundaries.planes])

    def measured(radius: float) -> boundary_geometry.BoundaryGeometry:
        return boundary_geometry.boundary_geometry(
            network, images, purpose_key(seed, "planes"), radius=radius, resolution=boundaries.resolution
        )

    return boundary_outcome(measured, boundaries.radii)


def boundary_outcome(
    geometry: Callable[[float], boundary_geometry.BoundaryGeometry], radii: Sequence[float]
) -> Outcome:
    """What is measured on squares of each size."""
    found: dict[str, dict[str, float | None]] = {}
    arrays: dict[str, np.ndarray] = {}
    for radius in radii:
        measured = geometry(radius)._asdict()
        found[f"radius_{radius:g}"] = {name: _known_mean(values) for name, values in measured.items()}
        arrays |= {f"radius_{radius:g}/{name}": np.asarray(values, np.float64) for name, values in measured.items()}
    return Outcome(found, arrays)


def _known_mean(values: np.ndarray) -> float | None:
    """Mean over the planes that have a number."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if known.size else None

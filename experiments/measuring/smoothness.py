"""The tasks beyond the paper on smoothness: certified bounds, other measures than the Jacobian, decision boundaries."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Task
from experiments.study import Study, purpose_key
from jax_bioadv.analysis import boundary_geometry, certified, robustness, smoothness
from jax_bioadv.models import logits_function


def run_bounds(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Certified radii of the first images that the model classifies correctly, the same that the attacks begin with."""
    network = study.trained_network(model, needed["model"])
    chosen = robustness.correctly_classified(
        logits_function(network), study.test_images, study.test_labels, study.settings.bounds.images
    )
    if not len(chosen):
        return Outcome()
    given = network, np.asarray(study.test_images)[chosen], np.asarray(study.test_labels)[chosen]
    bounds = {"lipschitz": certified.lipschitz_bound(*given), "relaxation": certified.relaxation_bound(*given)}
    return Outcome({}, {"images": chosen, **bounds})


def run_smoothness(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Other measures than the Jacobian's norm, on the first images that the model classifies correctly."""
    network, chosen = study.trained_network(model, needed["model"]), study.settings.smoothness
    correct = robustness.correctly_classified(
        logits_function(network), study.test_images, study.test_labels, chosen.images
    )
    if not len(correct):
        return Outcome()
    measures = smoothness.smoothness_measures(
        network,
        study.test_images[correct],
        study.test_labels[correct],
        purpose_key(seed, "smoothness"),
        radius=chosen.radius,
    )
    return Outcome({}, {name: np.asarray(measure) for name, measure in measures.items()})


def run_boundaries(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The same planes for all models of a seed."""
    network, chosen = study.trained_network(model, needed["model"]), study.settings.boundaries
    images = jnp.asarray(study.test_images[: chosen.planes])
    found: dict[str, dict[str, float | None]] = {}
    arrays: dict[str, np.ndarray] = {}
    for radius in chosen.radii:
        planes = boundary_geometry.boundary_geometry(
            network, images, purpose_key(seed, "planes"), radius=radius, resolution=chosen.resolution
        )._asdict()
        found[f"radius_{radius:g}"] = {name: _known_mean(values) for name, values in planes.items()}
        arrays |= {f"radius_{radius:g}/{name}": np.asarray(values, np.float64) for name, values in planes.items()}
    return Outcome(found, arrays)


def _known_mean(values: np.ndarray) -> float | None:
    """Mean over the planes that have a number."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if known.size else None

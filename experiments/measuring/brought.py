"""The tasks of a network that a user brings: it is checked and kept; what needs logits, a tap, or one hidden layer.

Attacks, threats, shortest perturbations and the diagnosis of masking need logits alone and are those of every model.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.attacks import SWEPT_ATTACKS
from experiments.brought import Loaded
from experiments.engine.tasks import Outcome, Work, progress
from experiments.images import Images
from experiments.measuring.alignment import last_of
from experiments.measuring.attacks import GridAttack, searched_outcome, target_of
from experiments.measuring.smoothness import boundary_outcome, certified_bounds
from experiments.measuring.spectra import fitted
from experiments.networks import opened, purpose_key, weights
from experiments.settings.evaluation import TapSettings
from experiments.settings.measurements import (
    AttackSettings,
    BoundarySettings,
    BoundsSettings,
    SmoothnessSettings,
    SpectraSettings,
)
from jax_bioadv.analysis import boundary_geometry, critical, generic_smoothness, robustness, tap_spectra
from jax_bioadv.analysis.battery import Needs, given_by
from jax_bioadv.analysis.boundaries import generic_landscape, random_plane


def keeping(network: Loaded) -> Callable[..., Outcome]:
    """The run of the first task, on whose outcome all others build: the network that has been loaded is kept."""

    def keep(work: Work, *, made: dict[str, Any], **known: str) -> Outcome:
        images = work.images
        correct = robustness.correctly_classified(network.logits, images.test, images.test_labels)
        values = {"network": made, "test_accuracy": len(correct) / len(images.test)}
        return Outcome({**values, "converged": None, "pruned_units": None}, weights(network.state))

    return keep


def searched(attack: str, work: Work, *, seed: int, attacks: AttackSettings) -> Outcome:
    """Critical perturbations by search, or on the whole grid of ε."""
    record = SWEPT_ATTACKS[attack]
    if attacks.method == "grid":
        return GridAttack(record)(work, seed=seed, attacks=attacks)
    logits, chosen = target_of(work, getattr(attacks, record.images))
    if not len(chosen):
        return Outcome({"n_attacked": 0})
    images, epsilons = work.images, record.epsilons(attacks)
    with progress(work.name, critical.search_evaluations(len(epsilons)), "ε") as advance:
        found = critical.critical_search(
            record.attack(attacks),
            purpose_key(seed, attack),
            logits,
            images.test[chosen],
            images.test_labels[chosen],
            epsilons,
            image_indices=chosen,
            progress=advance,
        )
    return searched_outcome(chosen, found)


def tap_spectrum(work: Work, *, tap: str, positions: bool, spectra: SpectraSettings, taps: TapSettings) -> Outcome:
    """Covariance spectra of a representation on test images and on white noise.

    Args:
        work: with the network.
        tap: its name.
        positions: whether every position of a map is a sample of its channels.
        spectra: windows of the fits, which end at a quarter of the features at the latest.
        taps: how many images, and how much memory.
    """
    network, images = _network(work), work.images
    inputs = {"images": np.asarray(images.test[: taps.images]), "noise": images.noise(spectra.noise_images)}
    values: dict[str, Any] = {"fits": {}}
    arrays: dict[str, np.ndarray] = {}
    for kind, given in inputs.items():
        found = tap_spectra.tap_spectrum(
            network.tap(tap),
            given[: taps.images],
            samples="positions" if positions else "images",
            memory=taps.memory_mib * 2**20,
            rank=max(spectra.last_on_images, spectra.last_on_noise),
        )
        values["fits"][kind] = fitted(spectra, found.eigenvalues, last_of(spectra, found.features, kind))
        values[kind] = {"side": found.side, "samples": found.samples, "features": found.features}
        arrays |= {kind: found.eigenvalues, f"{kind}_errors": found.errors}
    return Outcome(values, arrays)


def tap_smoothness(work: Work, *, seed: int, tap: str, smoothness: SmoothnessSettings, taps: TapSettings) -> Outcome:
    """Jacobian norms and Lipschitz constants of a representation, on the first images that are classified correctly."""
    network, images = _network(work), work.images
    chosen = _correct(network, work, smoothness.images)
    if not len(chosen):
        return Outcome()
    found = generic_smoothness.representation_smoothness(
        network.tap(tap),
        images.test[chosen],
        purpose_key(seed, "smoothness"),
        radius=smoothness.radius,
        projections=_projections(network, tap, images, taps),
    )
    return Outcome({"preactivation": None}, {"activation": found.pop("jacobian_frobenius"), **found})


def logits_smoothness(work: Work, *, seed: int, smoothness: SmoothnessSettings) -> Outcome:
    """Other measures than the Jacobian's norm, of the logits."""
    network = _network(work)
    chosen = _correct(network, work, smoothness.images)
    if not len(chosen):
        return Outcome()
    found = generic_smoothness.generic_smoothness_measures(
        network.logits,
        work.images.test[chosen],
        work.images.test_labels[chosen],
        purpose_key(seed, "smoothness"),
        radius=smoothness.radius,
    )
    return Outcome({}, found)


def boundaries(work: Work, *, seed: int, boundaries: BoundarySettings) -> Outcome:
    """Length and curvature on planes that are the same for all networks of this size of images."""
    network, images = _network(work), jnp.asarray(work.images.test[: boundaries.planes])
    directions = _planes(seed, len(images), work.images)

    def measured(radius: float) -> boundary_geometry.BoundaryGeometry:
        return boundary_geometry.generic_boundary_geometry(
            network.logits, images, directions, radius=radius, resolution=boundaries.resolution
        )

    return boundary_outcome(measured, boundaries.radii)


def landscape(work: Work, *, seed: int, tap: str, boundaries: BoundarySettings, taps: TapSettings) -> Outcome:
    """The norm of a representation's Jacobian, and the decision, on the first of these planes, where it is smallest."""
    network, images = _network(work), work.images
    found = generic_landscape(
        network.logits,
        network.tap(tap),
        jnp.asarray(images.test[0]),
        _planes(seed, min(boundaries.planes, len(images.test)), images)[0],
        min(boundaries.radii),
        boundaries.resolution,
        projections=_projections(network, tap, images, taps),
        key=purpose_key(seed, "landscape"),
    )
    return Outcome({}, found._asdict())


def _planes(seed: int, planes: int, images: Images) -> jax.Array:
    keys = jax.random.split(purpose_key(seed, "planes"), planes)
    return jax.vmap(lambda each: random_plane(each, images.inputs))(keys)


def bounds(work: Work, *, seed: int, bounds: BoundsSettings) -> Outcome:
    """Certified radii, of a network with one hidden layer."""
    network = _network(work)
    return certified_bounds(network.network, work.images, _correct(network, work, bounds.images))


def has_bounds(network: Loaded) -> bool:
    """Whether certified bounds hold for a network, in the space of its images."""
    return given_by(network.network) is Needs.ONE_HIDDEN_LAYER and not network.brought.mean


def _network(work: Work) -> Loaded:
    return opened(work.images, work.needed["model"])


def _projections(network: Loaded, tap: str, images: Images, taps: TapSettings) -> int | None:
    """Random directions for the norm of a representation's Jacobian; None where it has no more than these."""
    outputs = jax.eval_shape(network.tap(tap), jax.ShapeDtypeStruct((1, images.inputs), jnp.float32)).size
    return None if min(outputs, images.inputs) <= taps.projections else taps.projections


def _correct(network: Loaded, work: Work, limit: int) -> np.ndarray:
    return robustness.correctly_classified(network.logits, work.images.test, work.images.test_labels, limit)

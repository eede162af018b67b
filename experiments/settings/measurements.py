"""Settings of measurements, in groups, as those of trainings are in ``groups``."""

from dataclasses import dataclass
from typing import Literal

from experiments.threats import THREATS
from jax_bioadv.data.cifar10_c import CIFAR10_C, EXTRA
from jax_bioadv.data.corruptions import CORRUPTIONS
from jax_bioadv.user_folders import user_path


@dataclass(frozen=True)
class SpectraSettings:
    """Covariance spectra of the hidden pre-activation, on test images and on white noise."""

    noise_images: int = 10_000
    """White-noise inputs, the same for every model: N(0, 1); beside raw pixels of their own mean and variance."""
    first: int = 11
    """First eigenvalue of the fits' windows."""
    last_on_images: int = 500
    """Last eigenvalue of the window on images: a quarter of the published layer, as it is of the quick preset's."""
    last_on_data: int = 500
    """Last eigenvalue of the window for the images themselves."""
    last_on_noise: int = 100
    """Last eigenvalue of the window on noise."""
    populations: tuple[int, ...] = (10, 50, 100, 500, 1000, 1500, 2000)
    """Also the spectra of the first so many hidden units."""


@dataclass(frozen=True)
class AttackSettings:
    """Attacks on the test images that a model classifies correctly."""

    images: int = 10_000
    """At most so many images are attacked."""
    epsilons: int = 400
    """Sizes of the perturbation on a logarithmic grid."""
    method: Literal["grid", "search"] = "search"
    """A bracketing search on the grid, image by image, or every ε on every image, as published: where larger ε flip
    whatever smaller ones do, both find the same."""
    gaussian_low: float = 1e-6
    """Smallest ε of the Gaussian attack."""
    gaussian_high: float = 8.25
    """Largest ε of the Gaussian attack."""
    gradient_low: float = 1e-6
    """Smallest ε of FGSM and PGD."""
    gradient_high: float = 10**-1.5
    """Largest ε of FGSM and PGD."""
    published_images: int = 10_000
    """At most so many images for Gaussian noise by the published protocol: new noise at every ε, so that the first flip
    is a minimum over draws and depends on the grid."""
    published_epsilons: int = 400
    """Its grid, over the published 1e-6 to 8.25."""
    pgd_steps: int = 20
    """Steps of PGD."""


@dataclass(frozen=True)
class LandscapeSettings:
    """Jacobian landscape and decision boundaries on a random plane through a test image."""

    radius: float = 20.0
    """Half the side of the plane, in L2 distance."""
    resolution: int = 100
    """Points along a side."""
    image: int = 0
    """Index of the test image."""


@dataclass(frozen=True)
class ThreatSettings:
    """Attacks at fixed strengths on the first test images, in the paper's space and on raw pixels."""

    names: tuple[str, ...] = tuple(THREATS)
    """Which of the four strengths below."""
    images: int = 1000
    """So many of the first test images, classified correctly or not."""
    control_images: int = 200
    """At most so many of them for each control."""
    unit_linf: float = 0.002
    """ε in L∞, images divided by their own norm."""
    unit_l2: float = 0.1
    """ε in L2, images divided by their own norm."""
    raw_linf: float = 8 / 255
    """ε in L∞, raw pixels in [0, 1], the norm being divided out inside the attacked model."""
    raw_l2: float = 0.5
    """ε in L2, raw pixels."""
    steps: int = 100
    """Gradient steps of APGD with the cross-entropy and with the DLR loss, and of the PGD that is transferred."""
    targets: int = 9
    """Wrong classes that targeted APGD and the minimum-norm attack try, the likeliest or nearest first."""
    target_steps: int = 100
    """Its steps for each of them."""
    restarts: int = 1
    """Restarts of APGD."""
    queries: int = 5000
    """Scores that the Square attack may ask for, for each image."""
    minimum_norm_steps: int = 50
    """Steps of the minimum-norm attack for each of them."""


@dataclass(frozen=True)
class MaskingSettings:
    """The diagnosis of masked gradients."""

    images: int = 500
    """At most so many correctly classified images."""
    steps: int = 40
    """Steps of PGD; twice as many for the check that they suffice."""
    queries: int = 500
    """Scores that the Square attack may ask for."""


@dataclass(frozen=True)
class BoundsSettings:
    """Certified lower bounds on critical L2 perturbations."""

    images: int = 1000
    """At most so many correctly classified images."""


@dataclass(frozen=True)
class SmoothnessSettings:
    """Measures of smoothness beside the Jacobian's Frobenius norm."""

    images: int = 1000
    """At most so many correctly classified images."""
    radius: float = 0.1
    """L2 radius of the ball of the local Lipschitz estimates."""


@dataclass(frozen=True)
class BoundarySettings:
    """Length and curvature of decision boundaries on random planes through test images; evaluations draw the first."""

    planes: int = 100
    """Planes, each through another test image."""
    resolution: int = 128
    """Points along a side of a plane."""
    radii: tuple[float, ...] = (4.0, 20.0)
    """Half the side of a plane, in L2 distance."""


@dataclass(frozen=True)
class CorruptionSettings:
    """Accuracy on corrupted test images."""

    cifar10_c: str = ""
    """Folder of the official CIFAR-10-C, or that holds it as CIFAR-10-C; else corruptions are made here."""
    names: tuple[str, ...] = ()
    """Which corruptions, each at five severities; all that there are, if none is named."""
    images: int = 10_000
    """So many of the first test images, classified correctly or not; the same corrupted ones for all networks."""

    @property
    def known(self) -> tuple[str, ...]:
        return (*CIFAR10_C, *EXTRA) if self.cifar10_c else CORRUPTIONS

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.names or (CIFAR10_C if self.cifar10_c else CORRUPTIONS)

    @property
    def files_read(self) -> dict[str, list[int]]:
        """Of each official file its size and when it was last changed: an outcome is of these."""
        if not self.cifar10_c:
            return {}
        folder = user_path(self.cifar10_c)
        names = [f"{place}{name}.npy" for place in ("", "CIFAR-10-C/") for name in (*self.kinds, "labels")]
        found = {name: (folder / name).stat() for name in names if (folder / name).is_file()}
        return {name: [state.st_size, state.st_mtime_ns] for name, state in found.items()}

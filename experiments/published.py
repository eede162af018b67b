"""What was published: the numbers of Holzhausen et al., arXiv 2405.00679, as data.

One network per row and no seeds, so none of these numbers has an error bar. ``None`` stands where the text gives none.
"""

from typing import NamedTuple

SOURCE = "Holzhausen, Merlid, Torvik, Malthe-Sørenssen, Lepperød, arXiv 2405.00679"
HIDDEN_UNITS = 2000
EPOCHS = 1000
DATASET = "cifar10"


class Published(NamedTuple):
    """Test accuracy, exponent of the spectrum on test images, median critical L2 distance under Gaussian noise."""

    test_accuracy: float | None = None
    alpha_images: float | None = None
    median_critical_l2_gaussian: float | None = None


PUBLISHED = {
    "data": Published(alpha_images=1.47),
    "untrained": Published(alpha_images=1.53),
    "kh": Published(0.47, 2.67, 3.1),
    "bp": Published(0.56, 2.92, 1.1),
    "l2": Published(0.52),
    "jacobian": Published(0.56),
    "spectral": Published(0.45),
}

ROBUSTNESS_ORDER = ("kh", "l2", "jacobian", "bp", "spectral")
"""From the most to the least robust, under all three attacks."""

STRAIGHT_ON = {"images": ("kh", "spectral"), "noise": ("kh",)}
"""Models whose spectrum is said to be a straight power law; the others' are said not to be."""

SPECTRAL_TARGET_ALPHA = 1.0
"""The exponent that the spectral regularizer aims at."""

EFFECTIVE_JACOBIAN_WEIGHT = 1e-3 / 3
"""What the published normalisation of three random projections makes of the stated 1e-3."""

"""Images on a smooth manifold of known dimension, to ask how a representation follows the dimension of its data.

Each pixel is a wave over a latent space, ``x_i(z) = (1 + a_i cos(ω_i · z + φ_i)) / 2``: random Fourier features (Rahimi
& Recht 2007) of a Matérn kernel of smoothness ν, whose frequencies have a multivariate t distribution of 2 ν degrees of
freedom. High ones are rare there, and a few thousand pixels would hold none; they are drawn from one of fewer degrees
of freedom, and the amplitudes a_i ≤ 1 make up for that. The kernel's length is ``length · √d``, so that points of any
dimension are as far apart; z is uniform in a cube of side √12, of variance 1. The eigenvalues of such a kernel fall as
n^−(1 + 2ν/d), for as many of them as the pixels can have; those of a code that can be differentiated fall faster than
n^−(1 + 2/d) (Stringer et al., Nature 2019)::

    points = smooth_manifold(seed=0, count=2000, inputs=3072, dimension=4)
    points.images, points.labels, spectral_exponent(4)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32

_DRAWN_FREEDOM = 1.0  # of the frequencies: Cauchy's, which has the heaviest tails of the usual ones


class ManifoldPoints(NamedTuple):
    """Points on a manifold, and where they lie in the latent space."""

    images: Float32[np.ndarray, "count inputs"]
    """Pixels between 0 and 1."""
    labels: Int32[np.ndarray, " count"]
    """The nearest of as many random centres as there are classes."""
    latent: Float64[np.ndarray, "count dimension"]


def spectral_exponent(dimension: float | int, smoothness: float = 1.5) -> float:
    """The exponent by which the eigenvalues of such images' covariance fall: 1 + 2ν/d."""
    return 1 + 2 * smoothness / dimension


def smooth_manifold(
    seed: int,
    count: int,
    inputs: int,
    dimension: int,
    *,
    classes: int = 10,
    smoothness: float = 1.5,
    length: float = 1.0,
) -> ManifoldPoints:
    """Draw points on a manifold; the manifold and the classes are those of the seed, whatever the count.

    Args:
        seed: of manifold, classes and points.
        count: of points.
        inputs: pixels of an image.
        dimension: d of the latent space.
        classes: of the labels.
        smoothness: ν of the kernel.
        length: of the kernel, in units of the latent space's standard deviation; the shorter, the more the manifold is
            curled up.

    Returns:
        The points.

    Raises:
        ValueError: a size below 1, fewer than two classes, or a smoothness or length that is not positive
            and finite.
    """
    if min(count, inputs, dimension) < 1 or classes < 2 or not all(0 < one < np.inf for one in (smoothness, length)):
        raise ValueError(
            "count, inputs and dimension must be at least 1, classes 2, smoothness and length positive and finite, got "
            f"{count}, {inputs}, {dimension}, {classes}, {smoothness} and {length}"
        )
    of_manifold, of_points = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    waves, amplitudes = _waves(of_manifold, inputs, dimension, 2 * smoothness)
    waves /= length * np.sqrt(dimension)
    phases = of_manifold.uniform(0, 2 * np.pi, inputs)
    half = np.sqrt(3.0)
    centres = of_manifold.uniform(-half, half, (classes, dimension))
    latent = of_points.uniform(-half, half, (count, dimension))
    images = np.empty((count, inputs), np.float32)
    labels = np.empty(count, np.int32)
    for first in range(0, count, 1000):
        rows = slice(first, first + 1000)
        images[rows] = (1 + amplitudes * np.cos(latent[rows] @ waves + phases)) / 2
        labels[rows] = ((latent[rows, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    return ManifoldPoints(images, labels, latent)


def _waves(generator: np.random.Generator, count: int, dimension: int, freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (dimension, count), and amplitudes by which they have a multivariate t distribution."""
    drawn = min(freedom, _DRAWN_FREEDOM)
    waves = generator.standard_normal((dimension, count)) / np.sqrt(generator.chisquare(drawn, count) / drawn)
    squares = (waves**2).sum(axis=0)
    logs = [(degrees + dimension) / 2 * np.log1p(squares / degrees) for degrees in (drawn, freedom)]
    ratio = logs[0] - logs[1]
    return waves, np.exp((ratio - ratio.max()) / 2)

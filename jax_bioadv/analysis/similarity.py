"""Whether two layers say the same: linear CKA of their responses, principal angles between what they look at.

Linear CKA (Kornblith et al., arXiv 1905.00414) compares responses to the same images and knows neither rotations nor a
common scale. Principal angles compare the subspaces of the inputs that two layers' weights span, without any images.
"""

import numpy as np
import scipy
from jaxtyping import Array, Float, Float64


def linear_cka(
    first: Float[Array | np.ndarray, "samples units"], second: Float[Array | np.ndarray, "repeated others"]
) -> float:
    """``‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F)`` of centred responses, in float64.

    Args:
        first: responses X of one layer, a row for each image.
        second: responses Y of the other to the same images.

    Returns:
        1 for layers equal up to rotation and scale, near 0 for unrelated ones (not quite, with few images: unrelated
        layers of n units meet at about n / samples).

    Raises:
        ValueError: different numbers of images, values that are not finite, a layer that never changes.
    """
    if len(first) != len(second):
        raise ValueError(f"both layers must see the same images, got {len(first)} and {len(second)} responses")
    one, other = _centred(first), _centred(second)
    # Of the units or of the samples, whichever products are fewer.
    of_units = one.shape[1] * other.shape[1] <= len(one) ** 2
    common = np.sum((other.T @ one) ** 2) if of_units else np.sum((one @ one.T) * (other @ other.T))
    return float(common / (_gram_norm(one) * _gram_norm(other)))


def principal_angles(
    first: Float[Array | np.ndarray, "units inputs"],
    second: Float[Array | np.ndarray, "others inputs_again"],
    leading: int | None = None,
) -> Float64[np.ndarray, " angles"]:
    """Angles between the subspaces of the inputs that two layers look at.

    Args:
        first: weights of one layer, a row for each unit.
        second: weights of the other, on the same inputs.
        leading: compare the spans of so many leading right singular vectors; None takes the whole row spaces.

    Returns:
        Angles in radians, smallest first, as many as the smaller subspace has dimensions: 0 where a direction is
        common, π/2 where one is at right angles to everything of the other.

    Raises:
        ValueError: different inputs, weights that are not finite or all zero, or more leading directions than there
            are.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"both layers must have the same inputs, got {first.shape[1]} and {second.shape[1]}")
    bases = [_row_basis(np.asarray(weights, np.float64), leading) for weights in (first, second)]
    return scipy.linalg.subspace_angles(*bases)[::-1]


def _centred(responses: Array | np.ndarray) -> np.ndarray:
    host = np.asarray(responses, np.float64)
    if not np.all(np.isfinite(host)):
        raise ValueError("responses hold values that are not finite; check that the network has not diverged")
    if not np.ptp(host, axis=0).any():
        raise ValueError("a layer gives every image the same response, which is similar to nothing")
    return host - host.mean(axis=0)


def _gram_norm(centred: np.ndarray) -> float:
    side = centred.T if centred.shape[1] <= len(centred) else centred
    return float(np.linalg.norm(side @ side.T))


def _row_basis(weights: np.ndarray, leading: int | None) -> np.ndarray:
    if not np.all(np.isfinite(weights)) or not np.any(weights):
        raise ValueError("weights must be finite and not all zero")
    _, singular, directions = scipy.linalg.svd(weights, full_matrices=False)
    rank = int(np.sum(singular > singular[0] * max(weights.shape) * np.finfo(np.float64).eps))
    if leading is not None and not 1 <= leading <= rank:
        raise ValueError(f"the layer has {rank} directions, {leading} cannot be taken")
    return directions[: rank if leading is None else leading].T

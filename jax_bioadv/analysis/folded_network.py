"""The network in evaluation mode as three arrays, in float64 on the host: where certificates and closed forms begin."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jax_bioadv.models import Network, check_one_hidden_layer, folded_decoder


class FoldedNetwork(NamedTuple):
    """``logits = decoder · ReLU(encoder · x)^power + bias``: a network in evaluation mode, in float64 on the host."""

    encoder: Float[np.ndarray, "hidden inputs"]
    decoder: Float[np.ndarray, "classes hidden"]
    bias: Float[np.ndarray, " classes"]
    power: float


def folded(network: Network) -> FoldedNetwork:
    """The network in evaluation mode with batch norm, which follows the activation, made part of its decoder.

    Raises:
        TypeError: another model, of which none of what is derived from this would hold.
    """
    check_one_hidden_layer(network, "There is no bound or closed form for others here; differentiate or attack them.")
    decoder, bias = folded_decoder(network, np.float64)
    encoder = np.asarray(network.encoder.kernel[...], np.float64)
    return FoldedNetwork(np.ascontiguousarray(encoder.T), np.ascontiguousarray(decoder.T), bias, float(network.power))


def gram_factor(gram: Float[np.ndarray, "size size"]) -> Float[np.ndarray, "size size"]:
    """An F for which ‖F q‖² is qᵀ G q, and no less; G may be singular.

    A ridge of 1e-10 of the diagonal makes G definite, so that ‖F q‖² exceeds qᵀ G q by 1e-10 Σ G_μμ q_μ².
    """
    scale = np.sqrt(np.diagonal(gram))
    positive = np.where(scale > 0.0, scale, 1.0)
    normalised = gram / np.outer(positive, positive) + 1e-10 * np.eye(len(gram))
    return np.linalg.cholesky(normalised + np.diag(scale == 0.0)).T * scale

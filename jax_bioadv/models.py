"""The one network that all five trainings share: ``x -> V x -> ReLU^n -> (batch norm) -> dense``.

Holzhausen et al., arXiv 2405.00679. The hybrid ("kh") model is this network with a frozen first layer
``V = W |W|^(p-2)`` made from Krotov–Hopfield synapses W and the power n = 4.5; the backpropagation models have n = 1.

The module keeps its parameters in the layout of ``flax.nnx.Linear``: ``encoder.kernel`` is ``V`` transposed, of shape
(inputs, hidden). Outside this file models are handled as pure functions: :func:`logits_function` gives a callable
pytree whose leaves are the weights, so that jitted code takes them as arguments and is traced once for many models
(:mod:`jax_bioadv.classifiers`).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jax_bioadv.classifiers import as_pytree as as_pytree
from jax_bioadv.classifiers import logits_function as logits_function


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def rectified_power(preactivation: Float[Array, "*shape"], power: float) -> Float[Array, "*shape"]:
    """Hidden activation ``ReLU(h)^n``, with the derivative ``n·ReLU(h)^(n-1)`` and 0 wherever h ≤ 0.

    NaN stays NaN for n > 0. Whole and half powers, as the published 4.5, are products with a square root: far cheaper
    than a general power.
    """
    rectified = jnp.maximum(preactivation, 0.0)
    whole, rest = divmod(power, 1)
    if rest == 0.5:
        result = rectified ** int(whole) * jnp.sqrt(rectified)
    else:
        result = rectified ** (int(whole) if rest == 0 else power)
    return jnp.where(preactivation <= 0, 0.0, result)


@rectified_power.defjvp
def _rectified_power_jvp(power: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (preactivation,), (tangent,) = primals, tangents
    return rectified_power(preactivation, power), rectified_power_slope(preactivation, power) * tangent


def rectified_power_slope(
    preactivation: Float[Array, "*shape"], power: float | Float[Array, ""]
) -> Float[Array, "*shape"]:
    """``n·ReLU(h)^(n-1)``, the derivative of :func:`rectified_power`; 0 wherever h ≤ 0, for n = 1 too.

    NaN stays NaN for n > 0.

    Args:
        preactivation: h.
        power: n; a number makes a program of cheap products for this n, an array one of general powers for any.

    Returns:
        Slopes.
    """
    if isinstance(power, int | float):
        if power != 1:
            return jnp.zeros_like(preactivation) if power == 0 else power * rectified_power(preactivation, power - 1)
        slopes = rectified_power(preactivation, 0.0)
    else:
        idle = preactivation <= 0.0
        # The inner where keeps 0 ** (n - 1) out of the gradient too: it would be NaN there.
        slopes = jnp.where(idle, 0.0, power * jnp.where(idle, 1.0, preactivation) ** (power - 1.0))
    return jnp.where(jnp.isnan(preactivation), preactivation, slopes)  # NaN ** 0 is 1


def _symmetric_uniform(bound: float) -> nnx.Initializer:
    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Network(nnx.Module):
    """One hidden layer without bias, ReLU^n, optional batch norm after the activation, dense decoder with bias.

    Args:
        inputs: number of pixels D of a flattened image.
        hidden: number of hidden units H.
        classes: number of logits.
        power: the exponent n of ReLU(h)^n, at least 1.
        batch_norm: whether the activation is batch-normalised; running statistics keep 0.9 of their old value.
        rngs: ``nnx.Rngs`` with a ``params`` stream.

    The encoder starts from N(0, 2/D), the decoder's kernel and bias from U(±1/sqrt(H)), as published.
    """

    taps = ("preactivation", "activation")

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        power: float = 1.0,
        batch_norm: bool = False,
        rngs: nnx.Rngs,
    ):
        if not power >= 1.0:
            raise ValueError(f"power must be at least 1 for a finite derivative at 0, got {power}")
        decoder_init = _symmetric_uniform(hidden**-0.5)
        self.power = power
        self.encoder = nnx.Linear(
            inputs, hidden, use_bias=False, kernel_init=nnx.initializers.normal((2.0 / inputs) ** 0.5), rngs=rngs
        )
        self.norm = nnx.BatchNorm(hidden, momentum=0.9, rngs=rngs) if batch_norm else None
        self.decoder = nnx.Linear(hidden, classes, kernel_init=decoder_init, bias_init=decoder_init, rngs=rngs)

    def preactivation(self, images: Float[Array, "batch inputs"]) -> Float[Array, "batch hidden"]:
        """``h = V x``."""
        return self.encoder(images)

    def activation(self, images: Float[Array, "batch inputs"]) -> Float[Array, "batch hidden"]:
        """``a = ReLU(h)^n``, before batch norm."""
        return rectified_power(self.encoder(images), self.power)

    def decode(self, preactivation: Float[Array, "batch hidden"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits from the hidden pre-activation; with ``train`` batch norm uses, and updates from, this batch."""
        activation = rectified_power(preactivation, self.power)
        if self.norm is not None:
            activation = self.norm(activation, use_running_average=not train)
        return self.decoder(activation)

    def __call__(self, images: Float[Array, "batch inputs"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits of a batch of flattened images."""
        return self.decode(self.preactivation(images), train)


def check_one_hidden_layer(model: Any, otherwise: str) -> None:
    """Raise TypeError for any model but a :class:`Network` as it is defined here, of which closed forms hold.

    Args:
        model: what a closed form is to be applied to; another encoder, a bias in it, or a subclass that computes
            something else, would make the form silently wrong.
        otherwise: what to use for such a model, for the message.
    """
    computes = ("preactivation", "activation", "decode", "__call__")
    if not isinstance(model, Network):
        found = f"a {type(model).__name__}"
    elif overridden := [name for name in computes if getattr(type(model), name) is not getattr(Network, name)]:
        found = f"{type(model).__name__}, which overrides {', '.join(overridden)}"
    elif type(model.encoder) is not nnx.Linear or model.encoder.bias is not None:
        found = f"one whose encoder is a {type(model.encoder).__name__}, or has a bias"
    elif type(model.decoder) is not nnx.Linear or model.decoder.bias is None:
        found = f"one whose decoder is a {type(model.decoder).__name__}, or has no bias"
    elif type(model.norm) not in (type(None), nnx.BatchNorm):
        found = f"one whose norm is a {type(model.norm).__name__}"
    else:
        return
    raise TypeError(
        "this holds for a jax_bioadv.models.Network of one dense layer and a dense decoder, "
        f"not for {found}. {otherwise}"
    )


def folded_decoder(network: Network, dtype: type | None = None) -> tuple[Any, Any]:
    """Kernel (hidden, classes) and bias of a decoder that does in evaluation mode what batch norm and decoder do.

    Args:
        network: with or without batch norm.
        dtype: to compute in on the host; None computes on the device, in the type of the weights.

    Returns:
        Both, as NumPy arrays of this type or as JAX arrays.
    """

    def array(variable: Any) -> Any:
        return variable[...] if dtype is None else np.asarray(variable[...], dtype)

    kernel, bias, norm = array(network.decoder.kernel), array(network.decoder.bias), network.norm
    if norm is None:
        return kernel, bias
    gain = array(norm.scale) / (jnp if dtype is None else np).sqrt(array(norm.var) + norm.epsilon)
    shift = array(norm.bias) - array(norm.mean) * gain
    return gain[:, None] * kernel, bias + shift @ kernel


def fold_batch_norm(network: Network) -> Network:
    """The network in evaluation mode without batch norm, which follows the activation: its decoder does that too.

    It gives the same logits up to rounding, and shares compilations with networks that never had a batch norm.

    Args:
        network: with or without batch norm; it is left as it is.

    Returns:
        A copy, also where there is nothing to fold.

    Raises:
        TypeError: another model than :class:`Network`.
    """
    check_one_hidden_layer(network, "Other models keep their batch norm: call them in evaluation mode.")
    folded: Any = nnx.clone(network)
    if folded.norm is not None:
        with jax.default_matmul_precision("highest"):
            kernel, bias = folded_decoder(network)
        folded.decoder.kernel[...], folded.decoder.bias[...] = kernel, bias
        folded.norm = nnx.static(None)
    return folded

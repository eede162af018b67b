"""Weights from elsewhere: of Flax networks (.npz, Orbax) and of PyTorch's (.safetensors), checked before they are used.

::

    network = load_weights(MyNetwork(rngs=nnx.Rngs(0)), Path("model.safetensors"), image_shape=(32, 32, 3))
    hybrid = load_published("kh")
"""

from jax_bioadv.weights.files import load_weights as load_weights
from jax_bioadv.weights.files import read_safetensors as read_safetensors
from jax_bioadv.weights.flax_state import save_state as save_state
from jax_bioadv.weights.flax_state import state_of as state_of
from jax_bioadv.weights.flax_state import with_state as with_state
from jax_bioadv.weights.published import load_published as load_published
from jax_bioadv.weights.published import published_networks as published_networks
from jax_bioadv.weights.pytorch import with_state_dict as with_state_dict

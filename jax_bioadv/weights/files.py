"""Weights from a file into a network: Flax's from ``.npz`` or a folder of Orbax, PyTorch's from ``.safetensors``."""

from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_bioadv.extras import extra
from jax_bioadv.storage import StorageError
from jax_bioadv.weights.flax_state import read_npz, read_orbax, with_state
from jax_bioadv.weights.pytorch import EPSILON, NOTHING, ImageShape, with_state_dict

_TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16,
    "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")


def load_weights(
    network: nnx.Module,
    path: Path,
    image_shape: ImageShape,
    *,
    names: Mapping[str, str] = NOTHING,
    flattened: Mapping[str, ImageShape] = NOTHING,
    epsilon: float = EPSILON,
    half_precision: bool = False,
) -> nnx.Module:
    """A copy of a network with the weights of a file.

    Args:
        network: what they are of, with any weights.
        path: a file ``.npz`` or ``.safetensors``, or a folder that Orbax wrote.
        image_shape: height, width and channels of the images that it takes flattened.
        names: for PyTorch's weights alone, as the next two; see
            :func:`jax_bioadv.weights.pytorch.with_state_dict`.
        flattened: likewise.
        epsilon: likewise.
        half_precision: whether numbers of 16 bits are taken, whose network is another than one in 32.

    Returns:
        The copy.

    Raises:
        OSError: the file is missing or not whole.
        ValueError: of another kind, or its weights are not those of the network; it says what to do.
    """
    if path.suffix == ".safetensors":
        tensors = read_safetensors(path)
        return with_state_dict(
            network,
            tensors,
            image_shape,
            names=names,
            flattened=flattened,
            epsilon=epsilon,
            half_precision=half_precision,
        )
    if names or flattened:
        raise ValueError(f"names and flattened are for PyTorch's weights (.safetensors), not for {path.name}")
    if path.suffix in _PICKLES:
        raise ValueError(
            f"{path.name} is a pickle, which may run anything when it is read; write in PyTorch, once, "
            f"safetensors.torch.save_file(model.state_dict(), '{path.stem}.safetensors')"
        )
    if path.suffix != ".npz" and not path.is_dir():
        known = ".npz, .safetensors or a folder of Orbax"
        raise ValueError(f"{path} is no file of weights" + (f": {known} is" if path.exists() else f"; give {known}"))
    state = (read_npz if path.suffix == ".npz" else read_orbax)(path, network)
    return with_state(network, state, half_precision=half_precision)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, in its own types.

    Raises:
        OSError: it is missing, truncated or no such file.
        ValueError: a tensor has other numbers, as quantized ones.
    """
    with extra("weights"):
        import safetensors
    try:
        found = safetensors.deserialize(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(f"cannot read {path}: {error}. Copy or save it again.") from error
    tensors = {}
    for name, one in found:
        if one["dtype"] not in _TYPES:
            raise ValueError(f"{name} in {path.name} has {one['dtype']} numbers; save the network unquantized")
        tensors[name] = np.frombuffer(one["data"], _TYPES[one["dtype"]]).reshape(one["shape"])
    return tensors

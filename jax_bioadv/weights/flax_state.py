"""Weights of Flax networks in files: a NumPy archive (.npz), or a folder of Orbax.

The variables of a network but those of its random numbers, by the path to each: ``layers/0/kernel``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_bioadv.extras import extra
from jax_bioadv.storage import StorageError, read_arrays, write_arrays

_WEIGHTS = nnx.Not(nnx.RngState)
_TRAINED = "weights/"  # before the names of a network's in a file of a run, which holds other arrays too


def state_of(network: nnx.Module) -> dict[str, np.ndarray]:
    """The variables of a network by their paths; those of its random numbers are no weights."""
    return {_name(path): np.asarray(one[...]) for path, one in nnx.to_flat_state(nnx.state(network, _WEIGHTS))}


def with_state(network: nnx.Module, state: Mapping[str, Any], *, half_precision: bool = False) -> nnx.Module:
    """A copy of a network with these weights.

    Args:
        network: what the weights are of; its own are not looked at, and may be those of ``nnx.eval_shape``.
        state: by path, as :func:`state_of` gives it.
        half_precision: whether numbers of 16 bits are taken where the network has 32.

    Returns:
        The copy.

    Raises:
        ValueError: weights are missing, superfluous, of another shape or type or not finite; it says what to do.
    """
    copy = nnx.clone(network)
    own = nnx.state(copy, _WEIGHTS)
    variables = {_name(path): variable for path, variable in nnx.to_flat_state(own)}
    random = {_name(path) for path, _ in nnx.to_flat_state(nnx.state(copy, nnx.RngState))}
    missing, superfluous = sorted(set(variables) - set(state)), sorted(set(state) - set(variables) - random)
    if missing or superfluous:
        said = [f"the network needs, and the weights lack, {', '.join(missing)}"] if missing else []
        said += [f"the weights have, and the network does not, {', '.join(superfluous)}"] if superfluous else []
        raise ValueError(f"{'; '.join(said)}. Build the network as the one that they are of")
    for name, variable in variables.items():
        must, array = variable.get_value(), np.asarray(state[name])
        if array.shape != must.shape:
            raise ValueError(f"{name} must have shape {must.shape} and has {array.shape}; build the network as theirs")
        if jnp.issubdtype(must.dtype, jnp.floating):
            wide = np.promote_types(must.dtype, np.float32)
            array = checked_weights(name, array, half_precision or must.dtype.itemsize < 4, wide)
        elif array.dtype != must.dtype:
            raise ValueError(
                f"{name} must have {must.dtype} numbers and has {array.dtype}; build the network as theirs"
            )
        variable.set_value(jnp.asarray(array, must.dtype))
    nnx.update(copy, own)
    return copy


def checked_weights(name: str, array: np.ndarray, half_precision: bool, dtype: Any) -> np.ndarray:
    """Weights in a type; ValueError if they are no floats, rounded to 16 bits unasked, or not finite in it."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} has {array.dtype} numbers; weights are floats: save the network unquantized")
    if array.dtype.itemsize < 4 and not half_precision:
        raise ValueError(
            f"{name} has {array.dtype} numbers, whose network is another than that in float32: save it in float32, or "
            "ask for half_precision if this is how it is used"
        )
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite numbers; save the weights of a training that went well")
    return array


def save_state(network: nnx.Module, path: Path) -> None:
    """Write the weights of a network: as a NumPy archive if the name ends in ``.npz``, else as a new folder of Orbax.

    Raises:
        OSError: the file or folder cannot be written, or there is such a folder.
    """
    if path.suffix == ".npz":
        write_arrays(path, state_of(network))
        return
    with extra("weights"):
        import orbax.checkpoint
    if path.exists():
        raise FileExistsError(f"{path} is there; name a new folder")
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), nnx.to_pure_dict(nnx.state(network, _WEIGHTS)))


def read_npz(path: Path, network: nnx.Module) -> dict[str, np.ndarray]:
    """Weights of a network from a NumPy archive, or from the file of a model in the folder of a run.

    Raises:
        StorageError: the file is missing or not whole.
    """
    try:
        arrays = read_arrays(path)
    except StorageError as error:  # which would make it anew
        raise StorageError(f"cannot read {path}: {error.__cause__}. Copy or save it again.") from error.__cause__
    if _names(network) <= set(arrays):  # of a module called weights, too
        return arrays
    trained = {name.removeprefix(_TRAINED): one for name, one in arrays.items() if name.startswith(_TRAINED)}
    return trained or arrays


def read_orbax(folder: Path, network: nnx.Module) -> dict[str, np.ndarray]:
    """Weights from a folder that Orbax's ``StandardCheckpointer`` or ``CheckpointManager`` wrote, of its last step.

    Random numbers among them are left out.

    Raises:
        StorageError: it is no such folder, or not whole.
    """
    with extra("weights"):
        import orbax.checkpoint
    steps = sorted((one for one in folder.iterdir() if one.name.isdigit()), key=lambda one: int(one.name))
    folder = steps[-1] / "default" if steps else folder
    try:
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(folder.absolute())
    except Exception as error:  # Orbax has many of its own
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise StorageError(f"cannot read {folder} as a checkpoint of Orbax: {first}. Save it again.") from error
    leaves = _leaves(tree, _names(network))
    numbers = [(path, leaf) for path, leaf in leaves if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return {_name(path): np.asarray(leaf) for path, leaf in numbers}


def _leaves(tree: Mapping[str, Any], own: set[str], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Of a state, of which Orbax keeps each variable as a map of its value, and of a plain one, with its own names."""
    found = []
    for name, below in tree.items():
        path = (*above, name)
        if not isinstance(below, Mapping):
            found.append((path, below))
        elif set(below) != {"value"} or isinstance(below["value"], Mapping) or _name((*path, "value")) in own:
            found += _leaves(below, own, path)
        else:
            found.append((path, below["value"]))
    return found


def _names(network: nnx.Module) -> set[str]:
    return {_name(path) for path, _ in nnx.to_flat_state(nnx.state(network, _WEIGHTS))}


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path))

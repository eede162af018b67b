"""Weights of PyTorch in a Flax network: layouts, dense layers behind a flattened map, batch norm, and what is refused.

PyTorch keeps a convolution's kernel as (out, in, height, width) and a dense one as (out, in), Flax as (height, width,
in, out) and (in, out). Where PyTorch flattens a map, channels come first, here last: rows of a dense layer, and vectors
of a norm, that stand behind it are put into our order (:mod:`jax_bioadv.weights.feature_order`).

A state dict holds no ε and no momentum: ε is compared with what it is said to have been, and a momentum m, which
matters to training alone, is 1 − m in Flax.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from jax_bioadv.weights.feature_order import Path, feature_orders
from jax_bioadv.weights.flax_state import checked_weights, with_state
from jax_bioadv.weights.pytorch_names import matched

EPSILON = 1e-5
"""Of every norm of PyTorch, if nothing else is said."""
ImageShape = tuple[int, int, int]
"""Height, width and channels."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # of DataParallel and torch.compile
_NORMS = (nnx.BatchNorm, nnx.LayerNorm, nnx.GroupNorm)
_CONVERTED = (nnx.Linear, nnx.Conv, *_NORMS)
_NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def with_state_dict(
    network: nnx.Module,
    tensors: Mapping[str, np.ndarray],
    image_shape: ImageShape,
    *,
    names: Mapping[str, str] = NOTHING,
    flattened: Mapping[str, ImageShape] = NOTHING,
    epsilon: float = EPSILON,
    half_precision: bool = False,
) -> nnx.Module:
    """A copy of a network with the weights of a PyTorch state dict.

    Dense layers, convolutions, batch, layer and group norms are converted; a parameter that belongs to no such module
    is taken as it stands, under the same name.

    Args:
        network: its flattened images are (height, width, channels), row by row.
        tensors: the state dict as NumPy arrays.
        image_shape: of an image.
        names: PyTorch's names of modules, and so of what is within them, by their dotted paths; see
            :func:`jax_bioadv.weights.pytorch_names.matched` for those that need none.
        flattened: of the map behind which a dense layer or a norm stands, by its path; found out if not given.
        epsilon: that the norms of PyTorch had.
        half_precision: whether tensors of 16 bits are taken.

    Returns:
        The copy.

    Raises:
        ValueError: tensors are missing, superfluous, of another shape or type or not finite, or something cannot be
            told; it says what to do.
    """
    theirs: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        module, _, own = _WRAPPERS.sub("", name).rpartition(".")
        if own != "num_batches_tracked":
            array = np.asarray(tensor)
            wide = np.promote_types(array.dtype, np.float32)
            theirs.setdefault(module, {})[own] = checked_weights(name, array, half_precision, wide)
    ours, plain = _needed(network, image_shape, flattened, epsilon)
    found = matched(
        {path: {name: one.shape for name, one in each.items()} for path, each in ours.items()},
        {module: {name: tensor.shape for name, tensor in each.items()} for module, each in theirs.items()},
        names,
        plain,
    )
    state: dict[str, np.ndarray] = {}
    for path, module in found.items():
        _check_tensors(path, ours[path], module, theirs[module])
        state |= {one.variable: one.convert(theirs[module][name]) for name, one in ours[path].items()}
    return with_state(network, state)


class _Tensor(NamedTuple):
    """A tensor of PyTorch, by its shape, and the variable of ours that it becomes."""

    variable: str
    shape: tuple[int, ...]
    convert: Callable[[np.ndarray], np.ndarray]


def _check_tensors(path: str, needed: Mapping[str, _Tensor], module: str, there: Mapping[str, np.ndarray]) -> None:
    """Of modules that have one name, or were said to be the same."""
    path, module = path or "the network itself", module or "the whole"
    if set(needed) != set(there):
        raise ValueError(
            f"{path!r} needs {', '.join(sorted(needed))} and {module!r} in the file has {', '.join(sorted(there))}: "
            "build it with or without bias, scale and running statistics as the file's, or name another in names"
        )
    for name, one in needed.items():
        if there[name].shape != one.shape:
            raise ValueError(
                f"{path!r}: {name} must have shape {one.shape} and {module!r} in the file has {there[name].shape}; "
                "build it with the file's sizes, or name another in names"
            )


def _needed(
    network: nnx.Module, image_shape: ImageShape, flattened: Mapping[str, ImageShape], epsilon: float
) -> tuple[dict[str, dict[str, _Tensor]], dict[str, str]]:
    """By the path of a module, the tensors that it needs; and by that of every module its name if built alike."""
    modules = dict(nnx.iter_modules(network))
    plain = {_dotted(path): _dotted(_without_layers(path, modules)) for path in modules}
    if unknown := [path for path in flattened if path not in plain]:
        raise ValueError(f"flattened: the network has no module {unknown[0]!r}; it has {', '.join(plain)}")
    orders = feature_orders(network, image_shape)
    needed: dict[str, dict[str, _Tensor]] = {}
    for path, variable in nnx.to_flat_state(nnx.state(network, nnx.Not(nnx.RngState))):
        *above, own = path
        owner, module = _dotted(above), modules[tuple(above)]
        if isinstance(module, _NORMS) and module.epsilon != epsilon:
            raise ValueError(
                f"{owner!r} has epsilon {module.epsilon:g} and in the file it was {epsilon:g}, if nothing else is said "
                "(a state dict does not hold it): build the network with the file's, or say epsilon"
            )
        if isinstance(module, nnx.Conv) and own == "kernel" and _is_padded_otherwise(module, variable.shape[:-2]):
            raise ValueError(
                f"{owner!r} has padding='SAME' and strides {module.strides}, by which JAX pads other edges than "
                "PyTorch: build it with the file's padding in pixels, such as padding=1"
            )
        if isinstance(module, _CONVERTED):
            order = _order(module, path, flattened.get(owner), orders)
            if isinstance(module, nnx.GroupNorm) and 1 < module.num_groups < variable.size and _moves(order):
                raise ValueError(
                    f"{owner!r} has {module.num_groups} groups of a flattened map, of other features in PyTorch than "
                    "in Flax: put it before the map is flattened, or save its weights as those of Flax (.npz)"
                )
            tensor = _converted(module, path, variable.shape, order)
            needed.setdefault(owner, {})[_NAMES[str(own)]] = tensor
        else:
            needed.setdefault(owner, {})[str(own)] = _as_it_stands(path, variable.shape, orders)
    return needed, plain


def _is_padded_otherwise(convolution: nnx.Conv, size: tuple[int, ...]) -> bool:
    """Whether PyTorch, which pads both edges alike where there are strides, has no such padding."""
    strides = np.broadcast_to(convolution.strides or 1, len(size))
    return str(convolution.padding).upper() == "SAME" and bool(((strides > 1) & (np.array(size) > 1)).any())


def _dotted(path: Any) -> str:
    return ".".join(map(str, path))


def _without_layers(path: Path, modules: Mapping[Path, Any]) -> Path:
    """The path as PyTorch has it, where the items of a ``Sequential`` are its own."""
    kept = [part != "layers" or not isinstance(modules[path[:at]], nnx.Sequential) for at, part in enumerate(path)]
    return tuple(part for part, keep in zip(path, kept, strict=True) if keep)


def _converted(module: nnx.Module, path: Path, shape: tuple[int, ...], order: Any) -> _Tensor:
    variable = "/".join(map(str, path))
    if path[-1] != "kernel":
        if len(shape) != 1:
            raise ValueError(f"{_dotted(path)} has several axes, of which PyTorch's order is another: save it as .npz")
        return _Tensor(variable, shape, lambda vector: vector[order])
    if isinstance(module, nnx.Linear):
        return _Tensor(variable, shape[::-1], lambda weight: weight[:, order].T)
    return _Tensor(variable, (shape[-1], shape[-2], *shape[:-2]), lambda weight: np.moveaxis(weight, (1, 0), (-2, -1)))


def _as_it_stands(path: Path, shape: tuple[int, ...], orders: Mapping[Path, Any]) -> _Tensor:
    """A parameter of no known module: as in PyTorch, but for the order of features that a vector meets."""
    order = orders.get(path, slice(None))
    sides = [side for side in shape if side > 1]
    alike = len(sides) > 2 and len(set(sides)) == 1  # so that no shape tells which of them are the channels
    if order is None or (_moves(order) and alike):
        raise ValueError(
            f"it cannot be told in which order PyTorch has the numbers of {_dotted(path)}: save its weights as those "
            "of Flax (.npz)"
        )
    return _Tensor("/".join(map(str, path)), shape, lambda it: it[order] if it.ndim == 1 else it)


def _moves(order: Any) -> bool:
    return not isinstance(order, slice) and not np.array_equal(order, np.arange(len(order)))


def _order(module: nnx.Module, path: Path, shape: ImageShape | None, orders: Mapping[Path, Any]) -> Any:
    """For each feature that a parameter meets, its place in PyTorch."""
    owner, dense = _dotted(path[:-1]), isinstance(module, nnx.Linear) and path[-1] == "kernel"
    if shape is not None and (dense or isinstance(module, _NORMS)):
        height, width, channels = shape
        return np.arange(height * width * channels).reshape(channels, height * width).T.reshape(-1)
    found = orders.get(path, None if dense else slice(None))
    if found is not None:
        return found
    if isinstance(module, nnx.Conv):
        raise ValueError(
            f"it cannot be told how the map that {owner!r} reads is ordered: let it read (batch, height, width, "
            "channels) that are made of nothing but such maps, or save its weights as those of Flax (.npz)"
        )
    raise ValueError(
        f"it cannot be told in which order features reach {owner!r}: say of which height, width and channels the map "
        f"was that is flattened before it, flattened={{{owner!r}: (…, …, …)}}; (1, 1, features) if none was"
    )

"""Weights through files: what is written comes back, and files that cannot be used say what to do."""

import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.models import logits_function
from jax_bioadv.weights import load_weights, save_state, state_of, with_state

SHAPE = (2, 2, 1)
IMAGES = jnp.arange(8.0).reshape(2, 4)


def network(seed=0, hidden=3):
    rngs = nnx.Rngs(seed)
    return nnx.Sequential(
        nnx.Linear(4, hidden, rngs=rngs), nnx.BatchNorm(hidden, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), nnx.relu
    )


def trained(seed=0):
    """Its running statistics are not those of the beginning."""
    module = network(seed)
    module(IMAGES)
    return module


def write_safetensors(path, tensors, kind="F32"):
    """The format is a length, a header in JSON and the numbers."""
    header, data = {}, b""
    for name, one in tensors.items():
        header[name] = {"dtype": kind, "shape": one.shape, "data_offsets": [len(data), len(data) + one.nbytes]}
        data += one.tobytes()
    words = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(words)) + words + data)


@pytest.mark.parametrize("name", ["weights.npz", "checkpoint"])
def test_flax_state_comes_back(tmp_path, name):
    given = trained()
    save_state(given, tmp_path / name)
    loaded = load_weights(network(seed=1), tmp_path / name, SHAPE)
    np.testing.assert_array_equal(logits_function(loaded)(IMAGES), logits_function(given)(IMAGES))
    assert set(state_of(loaded)) == {
        f"layers/{name}" for name in ("0/kernel", "0/bias", *(f"1/{n}" for n in ("scale", "bias", "mean", "var")))
    }


class Named(nnx.Module):
    """Names that files have a meaning of their own for."""

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.weights, self.value = nnx.Linear(4, 3, rngs=rngs), nnx.Dict(value=nnx.Linear(3, 2, rngs=rngs))
        self.scale = nnx.Dict(value=nnx.Param(jax.random.normal(rngs.params(), (2,))))

    def __call__(self, images):
        return self.scale.value * self.value.value(self.weights(images))


@pytest.mark.parametrize("name", ["weights.npz", "checkpoint"])
def test_modules_may_have_any_name(tmp_path, name):
    save_state(Named(), tmp_path / name)
    loaded = load_weights(Named(seed=1), tmp_path / name, SHAPE)
    np.testing.assert_array_equal(loaded(IMAGES), Named()(IMAGES))


def test_weights_of_sixty_four_bits_keep_them(tmp_path):
    with jax.enable_x64(True):
        given, other = (nnx.Linear(4, 3, param_dtype=jnp.float64, rngs=nnx.Rngs(seed)) for seed in range(2))
        save_state(given, tmp_path / "weights.npz")
        loaded = load_weights(other, tmp_path / "weights.npz", SHAPE)
        np.testing.assert_array_equal(loaded.kernel[...], given.kernel[...], strict=True)
        with pytest.raises(ValueError, match="kernel holds NaN or infinite"):
            with_state(nnx.Linear(1, 1, rngs=nnx.Rngs(0)), {"kernel": np.full((1, 1), 1e39), "bias": np.zeros(1)})


def test_weights_are_those_of_a_network_that_had_none():
    given = trained()
    filled = with_state(nnx.eval_shape(network), state_of(given))
    np.testing.assert_array_equal(logits_function(filled)(IMAGES), logits_function(given)(IMAGES))


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_flax_state_of_sixteen_bits_comes_back(tmp_path, kind):
    given, other = (nnx.Linear(4, 3, param_dtype=jnp.dtype(kind), rngs=nnx.Rngs(seed)) for seed in (0, 1))
    save_state(given, tmp_path / "weights.npz")
    loaded = load_weights(other, tmp_path / "weights.npz", SHAPE)
    np.testing.assert_array_equal(loaded.kernel[...], given.kernel[...], strict=True)


@pytest.mark.parametrize("managed", [False, True])
def test_a_state_as_orbax_keeps_it_with_random_numbers(tmp_path, managed):
    import orbax.checkpoint as orbax

    given = trained()
    if managed:
        with orbax.CheckpointManager(tmp_path / "run") as manager:
            for step in (2, 10):
                manager.save(step, args=orbax.args.StandardSave(nnx.state(trained(seed=step) if step < 10 else given)))
    else:
        with orbax.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "run", nnx.state(given))
    loaded = load_weights(network(seed=1), tmp_path / "run", SHAPE)
    np.testing.assert_array_equal(logits_function(loaded)(IMAGES), logits_function(given)(IMAGES))


def test_the_model_of_a_run_is_taken_from_beside_its_course(tmp_path):
    given = trained()
    arrays = {f"weights/{name}": one for name, one in state_of(given).items()} | {"history/loss": np.ones(3)}
    np.savez(tmp_path / "bp-0.npz", **arrays)
    loaded = load_weights(network(seed=1), tmp_path / "bp-0.npz", SHAPE)
    np.testing.assert_array_equal(loaded.layers[0].kernel[...], given.layers[0].kernel[...])


def changed(**arrays):
    state = {**state_of(network()), **{name.replace("_", "/"): one for name, one in arrays.items()}}
    return {name: one for name, one in state.items() if one is not None}


BAD = {
    "missing": (changed(layers_0_bias=None), "the weights lack, layers/0/bias"),
    "superfluous": (changed(other=np.ones(1)), "the network does not, other"),
    "another shape": (changed(layers_0_bias=np.ones(4)), r"layers/0/bias must have shape \(3,\) and has \(4,\)"),
    "NaN": (changed(layers_1_var=np.full(3, np.nan)), "layers/1/var holds NaN or infinite"),
    "half": (changed(layers_0_bias=np.ones(3, np.float16)), "layers/0/bias has float16 numbers.*half_precision"),
    "whole numbers": (changed(layers_0_bias=np.ones(3, int)), "layers/0/bias has int64 numbers; weights are floats"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_state_that_does_not_fit_is_refused(name):
    state, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        with_state(network(), state)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("model.pth", {}, r"model.pth is a pickle.*save_file\(model.state_dict\(\), 'model.safetensors'\)"),
        ("nothing.h5", {}, "is no file of weights: .npz, .safetensors or a folder of Orbax is"),
        ("gone.npy", {}, "is no file of weights; give .npz"),
        ("short.npz", {}, "cannot read .*short.npz"),
        ("folder", {}, "cannot read .*folder as a checkpoint of Orbax"),
        ("short.npz", {"names": {"a": "b"}}, "names and flattened are for PyTorch's weights"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path, name, options, message):
    for written in ("model.pth", "nothing.h5", "short.npz"):
        (tmp_path / written).write_bytes(b"PK")
    (tmp_path / "folder").mkdir()
    with pytest.raises((ValueError, OSError), match=message):
        load_weights(network(), tmp_path / name, SHAPE, **options)


class TestSafetensors:
    @pytest.fixture(autouse=True)
    def reader(self):
        pytest.importorskip("safetensors")

    @staticmethod
    def tensors(dtype=np.float32):
        values = np.arange(12.0).astype(dtype)
        return {"weight": values.reshape(3, 4), "bias": values[:3]}

    @pytest.mark.parametrize(("kind", "dtype"), [("F32", np.float32), ("F64", np.float64), ("BF16", jnp.bfloat16)])
    def test_its_numbers_are_read(self, tmp_path, kind, dtype):
        write_safetensors(tmp_path / "a.safetensors", self.tensors(dtype), kind)
        plain = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
        loaded = load_weights(plain, tmp_path / "a.safetensors", SHAPE, half_precision=kind == "BF16")
        np.testing.assert_array_equal(loaded.kernel[...], np.arange(12.0).reshape(3, 4).T)

    @pytest.mark.parametrize("kept", [4, 60, -1])
    def test_a_truncated_file_is_refused(self, tmp_path, kept):
        path = tmp_path / "a.safetensors"
        write_safetensors(path, self.tensors())
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(OSError, match=r"cannot read .*a.safetensors.*again"):
            load_weights(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), path, SHAPE)

    def test_quantized_numbers_are_refused(self, tmp_path):
        write_safetensors(tmp_path / "a.safetensors", self.tensors(np.int8), "F8_E4M3")
        with pytest.raises(ValueError, match=r"(weight|bias) in a\.safetensors has F8_E4M3 numbers"):
            load_weights(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), tmp_path / "a.safetensors", SHAPE)

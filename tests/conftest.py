"""Settings that every test runs under; they must stand before JAX starts."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_BIOADV_COMPILED", "off")

import hypothesis
import pytest

from jax_bioadv.storage import Checkpoints

hypothesis.settings.register_profile("jax_bioadv", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("jax_bioadv")


@pytest.fixture
def open_checkpoints(tmp_path):
    """Checkpoints in one folder, as every new process opens them."""
    return lambda: Checkpoints(tmp_path / "run")

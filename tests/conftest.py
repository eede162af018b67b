"""Settings that every test runs under; they must stand before JAX starts."""

import gc
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
    opened = []

    def open_folder():
        opened.append(Checkpoints(tmp_path / "run"))
        return opened[-1]

    yield open_folder
    for checkpoints in opened:
        checkpoints.close()
    gc.collect()  # what Orbax's failed reads left behind complains when it goes: here, not in a later test

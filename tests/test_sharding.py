"""The mesh and its two axes; the population on eight devices (faked on the CPU, in a process of their own)."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jax_bioadv.sharding import make_mesh, over_data


def test_one_device_has_both_axes():
    assert dict(make_mesh().shape) == {"population": 1, "data": 1}


@pytest.mark.parametrize(("data", "devices"), [(2, None), (0, None), (-1, None), (1, [])])
def test_devices_that_cannot_be_split_are_refused(data, devices):
    with pytest.raises(ValueError, match="cannot be split into groups"):
        make_mesh(data, devices)


def test_without_a_mesh_a_minibatch_is_left_alone():
    batch = jax.numpy.arange(4)
    assert over_data(batch) is batch
    with jax.set_mesh(jax.make_mesh((1,), ("other",))):
        assert over_data(batch) is batch


def test_with_a_mesh_its_values_stay():
    with jax.set_mesh(make_mesh()):
        assert jax.jit(over_data)(np.arange(4)).tolist() == [0, 1, 2, 3]


def test_everything_holds_on_eight_devices():
    """All tests of on_eight_devices.py: fake devices must be asked for before JAX starts."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/on_eight_devices.py"]
    ended = subprocess.run(
        command,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    assert "skipped" not in ended.stdout

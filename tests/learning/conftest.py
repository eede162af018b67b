"""Data that several tests of learning share."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.data import unit_norm


@pytest.fixture(scope="session")
def clusters():
    """Unit-norm images around four centres with separate pixels lit, and the centres' unit vectors."""
    generator = np.random.default_rng(0)
    centres = np.kron(np.eye(4), np.ones(6)) + 0.05
    images = centres[np.arange(400) % 4] * generator.uniform(0.7, 1.3, (400, 24))
    return jnp.asarray(unit_norm(images)), centres / np.linalg.norm(centres, axis=1, keepdims=True)

"""What is looked for in lowered programs would be found: host callbacks, float64, and what a platform cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lowering import PLATFORMS, Lowering, custom_calls, has_float64


def _halved_on_the_host(values):
    return jax.pure_callback(
        lambda host: np.asarray(host) / 2, jax.ShapeDtypeStruct(values.shape, values.dtype), values
    )


def test_a_host_callback_is_seen_in_the_text():
    text = jax.jit(_halved_on_the_host).lower(jnp.ones(3)).as_text()
    assert any("callback" in name for name in custom_calls(text))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_host_callback_is_not_exported(platform):
    Lowering(platform)(jax.jit(jnp.sin), jnp.ones(3))
    with pytest.raises((ValueError, NotImplementedError), match=r"callback|platform"):
        Lowering(platform)(jax.jit(_halved_on_the_host), jnp.ones(3))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("shape", [(), (3, 2)])
def test_float64_is_seen_in_the_text(platform, shape):
    lowering = Lowering(platform)
    with jax.enable_x64(True):
        lowering(jax.jit(lambda values: jnp.sum(values.astype(jnp.float64)).astype(jnp.float32)), jnp.ones(shape, "f"))
        lowering(jax.jit(jnp.sum), jnp.ones(shape, "f"))
    assert [has_float64(program) for program in lowering.programs] == [True, False]


def test_what_a_platform_cannot_do_is_refused():
    with pytest.raises(NotImplementedError, match="tpu"):
        Lowering("tpu")(jax.jit(jnp.linalg.eigvals), jnp.eye(3))

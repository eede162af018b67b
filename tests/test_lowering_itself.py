"""What is looked for in lowered programs would be found: host callbacks and what a platform cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lowering import PLATFORMS, Lowering, custom_calls


def _halved_on_the_host(values):
    return jax.pure_callback(
        lambda host: np.asarray(host) / 2, jax.ShapeDtypeStruct(values.shape, values.dtype), values
    )


def test_a_host_callback_is_seen_in_the_text():
    text = jax.jit(_halved_on_the_host).lower(jnp.ones(3)).as_text()
    assert any("callback" in name for name in custom_calls(text))


def on(platform, function, other):
    """A function on one platform, and another where that is not it."""
    return jax.jit(lambda values: jax.lax.platform_dependent(values, default=other, **{platform: function}))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_host_callback_on_one_platform_is_not_exported(platform):
    lowering = Lowering()
    lowering(on(platform, jnp.cos, jnp.sin), jnp.ones(3))
    for function in (jax.jit(_halved_on_the_host), on(platform, _halved_on_the_host, jnp.sin)):
        with pytest.raises((ValueError, NotImplementedError), match=r"callback|platform"):
            lowering(function, jnp.ones(3))


def test_the_calls_of_both_platforms_are_seen_in_the_text():
    lowering = Lowering()
    lowering(jax.jit(jnp.linalg.eigvalsh), jnp.eye(3))
    assert [custom_calls(program) for program in lowering.programs] == [{"Eigh", "cusolver_syevd_ffi"}]


def test_what_a_platform_cannot_do_is_refused():
    with pytest.raises(NotImplementedError, match="tpu"):
        Lowering()(jax.jit(jnp.linalg.eigvals), jnp.eye(3))

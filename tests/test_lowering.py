"""What holds on a GPU or TPU and can be shown without one: every jitted program of the library lowers for both.

The public functions are called as ever, but the jitted functions that they run are lowered for the other platform and
give zeros. Nothing is compiled or computed. Exporting refuses host callbacks by itself; the text of what is exported
shows the custom calls and the types in it.
"""

from functools import partial

import pytest
from lowering import PLATFORMS, Lowering, custom_calls, has_float64, jitted_functions
from lowering_cases import ANALYSES, USES

EIGENSOLVERS = {"tpu": {"Eigh"}, "cuda": {"cusolver_syevd_ffi"}}
ORTHOGONALIZATIONS = {
    "tpu": {"Qr", "ProductOfElementaryHouseholderReflectors"},
    "cuda": {"cusolver_geqrf_ffi", "cusolver_orgqr_ffi"},
}
# What a use may ask of the vendor: a basis is decomposed at the start, then orthogonalized or decomposed anew.
SOLVERS = {
    "spectral": [ORTHOGONALIZATIONS],
    "spectral_decomposed_anew": [EIGENSOLVERS],
    "spectral_population": [EIGENSOLVERS, ORTHOGONALIZATIONS],
}


@pytest.fixture
def lowering(platform, monkeypatch):
    """Takes the place of every jitted function that stands in a module of the library."""
    lowering = Lowering(platform)
    for module, name, function in jitted_functions():
        monkeypatch.setattr(module, name, partial(lowering, function))
    return lowering


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_it_lowers_without_the_hosts_help_and_without_float64(use, platform, lowering):
    USES[use](lowering)
    assert lowering.programs
    for program in lowering.programs:
        assert not has_float64(program)
        assert custom_calls(program) == set().union(*(solvers[platform] for solvers in SOLVERS.get(use, [])))


@pytest.mark.parametrize("platform", PLATFORMS[:1])
def test_no_jitted_function_of_a_module_is_left_out(lowering):
    for use in ("krotov_hopfield_product", "krotov_hopfield_sequential", "sweep_fgsm", "search_fgsm", *ANALYSES):
        USES[use](lowering)
    everything = {function for _, _, function in jitted_functions()}
    assert len(everything) > 10
    assert [f"{each.__module__}.{each.__qualname__}" for each in everything - lowering.functions] == []

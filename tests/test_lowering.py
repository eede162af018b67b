"""What holds on a GPU or TPU and can be shown without one: every jitted program of the library lowers for both.

The public functions are called as ever, but the jitted functions that they run are lowered for both platforms and give
zeros. Nothing is compiled or computed. Exporting refuses host callbacks by itself; the text of what is exported
shows the custom calls in it.
"""

import functools
from functools import partial

import pytest
from lowering import Lowering, custom_calls, jitted_functions
from lowering_cases import ANALYSES, USES

EIGENSOLVERS = {"Eigh", "cusolver_syevd_ffi"}
ORTHOGONALIZATIONS = {
    *("Qr", "ProductOfElementaryHouseholderReflectors"),
    *("cusolver_geqrf_ffi", "cusolver_orgqr_ffi"),
}
# What a use may ask of the vendors: a basis is decomposed at the start, then orthogonalized or decomposed anew.
SOLVERS = {
    "spectral": ORTHOGONALIZATIONS,
    "spectral_decomposed_anew": EIGENSOLVERS,
    "spectral_population": EIGENSOLVERS | ORTHOGONALIZATIONS,
}


@functools.cache
def lowered(use):
    """A use with every jitted function that stands in a module of the library lowered in its place."""
    lowering = Lowering()
    with pytest.MonkeyPatch.context() as patch:
        for module, name, function in jitted_functions():
            patch.setattr(module, name, partial(lowering, function))
        USES[use](lowering)
    return lowering


@pytest.mark.parametrize("use", USES)
def test_it_lowers_without_the_hosts_help(use):
    programs = lowered(use).programs
    assert programs
    for program in programs:
        assert custom_calls(program) == SOLVERS.get(use, set())


def test_no_jitted_function_of_a_module_is_left_out():
    uses = ("krotov_hopfield_product", "krotov_hopfield_sequential", "sweep_fgsm", "search_fgsm", *ANALYSES)
    everything = {function for _, _, function in jitted_functions()}
    assert len(everything) > 10
    left_out = everything.difference(*(lowered(use).functions for use in uses))
    assert [f"{each.__module__}.{each.__qualname__}" for each in left_out] == []

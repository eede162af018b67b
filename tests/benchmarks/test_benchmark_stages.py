"""Every stage: all contestants agree with ours, and what is wrong is found out."""
# ruff: noqa: E402

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_threads import one_torch_thread

from benchmarks import stages_krotov_hopfield, stages_spectral
from benchmarks.stages import STAGES
from benchmarks.stages_training import compare


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.manual_seed(0)
    with one_torch_thread():
        yield


@pytest.fixture(autouse=True, scope="module")
def traced_but_not_compiled():
    """What torch.compile gets is one graph without breaks; making machine code of it is left out, which takes long."""
    compile_it = torch.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda f, *, mode, **options: compile_it(f, backend="aot_eager", **options))
        yield


# At the published sizes rounding decides ties; at these it must not. Random estimates keep their own tolerance.
SHARP = {
    "change": 2e-3,
    "cross-entropy": 1e-5,
    "penalty": 1e-4,
    "share": 0.0,
    "lengths": 1e-5,
    "norms": 1e-5,
    "its gradient": 1e-4,
    "leading": 1e-5,
    "first penalty": 1e-4,
    "confidence": 1e-5,
}
UNNAMED = {"pgd_critical": {"eager"}}
"""Contestants that checks compare with ours under another name."""
RANDOM = {"jacobian_epoch": "penalty of the first batch", "gaussian_sweep": "relative accuracies"}


@pytest.mark.parametrize("name", STAGES)
def test_all_contestants_of_a_stage_agree(name, workload):
    row = STAGES[name].build(workload)
    checks = row.agree(first_results(row))
    compared = {check.compared.rsplit(", ")[-1] for check in checks}
    assert {"eager", "lean", "same", "compiled"} & row.contestants.keys() <= compared | UNNAMED.get(name, set())
    for check in checks:
        sharp = [SHARP[word] for word in SHARP if check.compared.startswith(word)]
        tolerance = check.tolerance if check.compared.startswith(RANDOM.get(name, "-")) or not sharp else sharp[0]
        assert check.difference <= tolerance, check
    assert row.work.operations > 0
    assert row.work.bytes > 0


def first_results(row):
    return {name: tuple(part.run() for part in contestant.parts) for name, contestant in row.contestants.items()}


@pytest.mark.parametrize("name", ["kh_epoch", "bp_epoch", "decoder_epoch"])
def test_a_training_that_is_ahead_by_an_epoch_is_found_out(name, workload):
    row = STAGES[name].build(workload)
    row.contestants["eager"].parts[0].run()
    assert not all(check.passed for check in row.agree(first_results(row)))


@pytest.mark.parametrize(("rows", "factor", "agrees"), [(2, 3.0, True), (3, 3.0, False), (200, 1.002, False)])
def test_synapses_may_differ_in_the_rows_of_a_tie_alone(rows, factor, agrees):
    generator = np.random.default_rng(0)
    start, change = generator.normal(size=(2, 200, 5))
    change[100:150] = 0.0  # of units that never won
    theirs, ours = start + change, start + change
    ours[:rows] = start[:rows] + factor * change[:rows]
    (check,) = stages_krotov_hopfield.agreement(start, {"lean": (torch.tensor(theirs),)}, ours)
    assert check.passed == agrees


@pytest.mark.parametrize(
    ("name", "field"), [("gaussian_sweep", "success"), ("fgsm_sweep", "l2"), ("landscape", "jacobian_norm")]
)
def test_a_wrong_measurement_is_found_out(name, field, workload):
    row = STAGES[name].build(workload)
    results = first_results(row)
    ours = results["ours"][0]
    results["ours"] = (ours._replace(**{field: 1 - getattr(ours, field)}),)
    assert not all(check.passed for check in row.agree(results))


def test_spectral_trainings_stay_together_where_no_direction_lacks_variance(workload):
    sides = stages_spectral.Sides(workload, stages_spectral.RENEW_EVERY, warm_start=True)
    results = first_results(stages_spectral.preset_row(workload, sides))
    for check in compare(sides.ours, sides.theirs, results, penalty=True):
        assert check.difference <= 2e-3, check

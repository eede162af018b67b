"""Every member of a sweep is the run alone, whatever it varies, and also where it diverges."""

import pytest
from sweep_cases import BUDGET, Found, furthest_apart, run_sweep

BITWISE = 0.0
# A few float32 roundings, by the largest element of each array.
ROUNDING = 1e-5

# Models, settings and grid; how far from the run alone. There, radius, learning rates and weights are constants, and
# the compiler folds some of them into the sums around them. A layer takes Δ and R as arguments and is bitwise where it
# does so here as well; eigenvectors amplify the rounding of the spectral penalty.
ALONE = {
    "layers, decoders, attacks": (
        ["--models", "kh", "--measure", "spectra,gaussian,fgsm"],
        ["layer.delta=0.1,0.4", "layer.radius=1.3", "pruning.method=none,mixture"],
        BITWISE,
    ),
    "exponents": (
        ["--models", "kh", "--seeds", "2", "--measure", "none"],
        ["layer.p=2,3.5", "decoder.power=3"],
        ROUNDING,
    ),
    "the control, decoder rates": (
        ["--models", "kh_start", "--seeds", "2", "--measure", "none"],
        ["decoder.learning-rate=1e-2,3e-3"],
        ROUNDING,
    ),
    "groups": (
        ["--models", "kh", "--measure", "none"],
        ["hidden=12,14", "norm=2", "layer.k=3"],
        ROUNDING,
    ),
    "l2 and what has none": (
        ["--models", "bp,l2", "--measure", "none"],
        ["l2.weight=0,1e-2", "backprop.learning-rates=3e-3"],
        ROUNDING,
    ),
    "jacobian": (["--models", "jacobian", "--measure", "jacobian"], ["jacobian.weight=1e-3,5e-2"], ROUNDING),
    "spectral": (
        ["--models", "spectral", "--measure", "none"],
        ["spectral.weight=0.3", "spectral.exponent=1,1.5", "spectral.learning-rate=1e-2"],
        10 * ROUNDING,
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_every_outcome_of_a_member_is_that_of_the_task_alone(case, tmp_path, no_figure):
    options, grid, tolerance = ALONE[case]
    arguments = [*options, "--grid", *grid]
    code, said = run_sweep(tmp_path, *arguments)
    assert (code, said) == (0, "")
    measure = () if "none" in options else options[-1].split(",")
    found = Found(tmp_path, *arguments, measure=measure)
    rows = [(str(one.number), stage) for one in found.members for stage in found.tasks(one)]
    assert [(row["member"], row["stage"]) for row in found.table] == rows
    for member in (found.members[0], found.members[-1]):
        for stage, task in found.tasks(member).items():
            here, alone = found.outcome(task), found.alone(task)
            assert furthest_apart(here, alone) <= tolerance, (stage, member.point)
            if tolerance == BITWISE:
                assert here.values == alone.values, (stage, member.point)


def test_a_member_that_diverges_is_marked_with_all_that_builds_on_it_and_harms_no_other(tmp_path, no_figure):
    options = ["--models", "kh", "--measure", "spectra,gaussian"]
    grid = ["--grid", "layer.learning-rate=0.02,1e30,0.03", "layer.radius=1.0,1.3", "layer.delta=0.4"]
    code, said = run_sweep(tmp_path, *options, *grid)
    assert (code, len(said.splitlines()), said.count("DIVERGED: layer-0: training diverged in epoch 0")) == (0, 2, 2)
    measure = ("spectra", "gaussian")
    found = Found(tmp_path, *options, *grid, measure=measure)
    for row in found.table:
        broken = row["layer.learning_rate"] == "1e+30"
        assert row["diverged"].startswith("layer-0: training diverged in epoch 0") == broken
        assert (not row["diverged"]) == (not broken)
    assert len(found.table) == 6 * 4
    for member in found.members:
        task = found.tasks(member)["layer"]
        here, alone = found.outcome(task), found.alone(task)
        assert here.values == alone.values, "also the words about a divergence"
        assert furthest_apart(here, alone) == 0


def test_everything_may_diverge(tmp_path):
    arguments = ["--models", "bp", "--measure", "fgsm", *BUDGET, "--grid", "backprop.learning-rates=1e30,2e30,3e30"]
    code, said = run_sweep(tmp_path, *arguments)
    assert (code, len(said.splitlines()), said.count("DIVERGED: bp-")) == (0, 3, 3)
    table = Found(tmp_path, *arguments).table
    assert [row["stage"] for row in table] == ["train", "fgsm"] * 3
    assert all("training diverged" in row["diverged"] for row in table)

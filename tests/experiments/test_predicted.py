"""What a small run predicted of a large one: every outcome counted once, of the models that both have."""

import copy
from pathlib import Path

import pytest

from experiments.report import predicted
from experiments.results.schema import read_results

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def runs():
    return [read_results(RESULTS / name) for name in ("quick", "paper-h100")]


def test_the_published_page_is_that_of_the_published_runs(runs):
    assert predicted.page(*runs) + "\n" == (RESULTS / "what-quick-predicted.md").read_text(encoding="utf-8")


def test_a_run_predicts_itself(runs):
    _, run = runs
    assert (
        f"Of {len(run['comparisons'])} outcomes {len(run['comparisons'])} are the same, 0 are turned round, and 0"
        in (predicted.page(run, run))
    )


def test_a_reversed_outcome_is_counted_as_one(runs):
    _, run = runs
    other = copy.deepcopy(run)
    pair = next(one for one in other["comparisons"] if one["better"])
    low, high = pair["log_ratio_interval"]
    pair["log_ratio"], pair["log_ratio_interval"] = -pair["log_ratio"], [-high, -low]
    assert f"outcomes {len(run['comparisons']) - 1} are the same, 1 are turned round, and 0" in predicted.page(
        run, other
    )


def test_a_model_of_one_run_alone_is_left_out(runs):
    _, run = runs
    without = {**run, "models": {name: one for name, one in run["models"].items() if name != "random"}}
    assert "| random layer |" in predicted.page(run, run)
    assert "| random layer |" not in predicted.page(without, run)


@pytest.mark.parametrize("arguments", [[], ["results/quick"]])
def test_two_folders_are_wanted(arguments, capsys):
    assert predicted.main(arguments) == 2
    assert "two finished runs" in capsys.readouterr().err

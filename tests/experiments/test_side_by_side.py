"""Runs side by side: every outcome counted once, of the models that all have."""

import copy
from pathlib import Path

import pytest

from experiments.report import side_by_side
from experiments.results.schema import read_results

RESULTS = Path(__file__).parents[2] / "results"
PAGES = {"sizes": ("quick", "paper-h100"), "data": ("quick", "fashion-mnist", "mnist")}


@pytest.fixture(scope="module")
def run():
    return read_results(RESULTS / "paper-h100")


def reversed_once(run):
    other = copy.deepcopy(run)
    pair = next(one for one in other["comparisons"] if one["better"])
    low, high = pair["log_ratio_interval"]
    pair["log_ratio"], pair["log_ratio_interval"] = -pair["log_ratio"], [-high, -low]
    return other


@pytest.mark.parametrize("name", PAGES)
def test_the_published_pages_are_those_of_the_published_runs(name):
    runs = [read_results(RESULTS / folder) for folder in PAGES[name]]
    assert side_by_side.page(runs) + "\n" == (RESULTS / f"{name}-side-by-side.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [2, 3])
def test_a_run_is_like_itself(run, count):
    outcomes = len(run["comparisons"])
    page = side_by_side.page([run] * count)
    assert f"Of {outcomes} outcomes {outcomes} are the same, 0 are turned round, and 0" in page
    assert page.count("\n| random layer |") == count


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_reversed_outcome_is_counted_as_one(run, place):
    runs = [run, run, run]
    runs[place] = reversed_once(run)
    page = side_by_side.page(runs)
    assert f"outcomes {len(run['comparisons']) - 1} are the same, 1 are turned round, and 0" in page


def test_a_model_that_one_run_lacks_is_left_out(run):
    without = {**run, "models": {name: one for name, one in run["models"].items() if name != "random"}}
    for runs in ([without, run], [run, without]):
        assert "| random layer |" not in side_by_side.page(runs)


def test_a_run_is_called_by_what_differs(run):
    other = {**run, "dataset": {**run["dataset"], "name": "mnist"}}
    smaller = {**run, "preset": "quick"}
    assert side_by_side.names_of([run, smaller]) == ["paper", "quick"]
    assert side_by_side.names_of([run, run]) == ["paper 1", "paper 2"]
    assert side_by_side.names_of([run, other]) == ["cifar10", "mnist"]
    assert side_by_side.names_of([run, smaller, other]) == ["cifar10 paper", "cifar10 quick", "mnist paper"]


@pytest.mark.parametrize("arguments", [[], ["results/quick"]])
def test_two_folders_are_wanted(arguments, capsys):
    assert side_by_side.main(arguments) == 2
    assert "two finished runs" in capsys.readouterr().err

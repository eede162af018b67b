"""The screen that a run ends with: the numbers of results.json, and no claim of which nothing can be told."""

import json
from pathlib import Path

import pytest

from experiments.attacks import ATTACKS
from experiments.models import MODELS
from experiments.report.claims import Verdict, findings
from experiments.report.summary import in_short
from experiments.results.schema import read_results

QUICK = Path(__file__).parents[2] / "results" / "quick"
REPORT = Path("runs/quick/report.html")


@pytest.fixture(scope="module")
def results():
    return read_results(QUICK)


def rows_of(results):
    lines = in_short(results, REPORT).split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 80
    width = max(len(MODELS[model].label) for model in results["models"])
    return {line[:width].strip(): line[width:].split() for line in lines[1:-1]}


def test_every_model_has_its_numbers(results):
    rows = rows_of(results)
    assert set(rows) == {MODELS[model].label for model in results["models"]}
    for name, model in results["models"].items():
        medians = [model["critical_l2"][attack]["median_overall"]["centre"] for attack in ATTACKS]
        alphas = [model["spectrum"][kind]["alpha"] for kind in ("images", "noise")]
        means = [sum(seeds) / len(seeds) for seeds in (model["test_accuracy"], *alphas)]
        expected = [f"{number:#.3g}" for number in (*means, *medians)]
        assert rows[MODELS[name].label] == expected


def test_what_was_not_measured_is_a_dash_and_what_never_flips_is_infinite(results):
    changed = json.loads(json.dumps(results))
    changed["models"]["bp"]["critical_l2"] = {"pgd": {"median": [float("inf")] * 5}}
    changed["models"]["bp"]["test_accuracy"] = [None] * 5
    accuracy, *_, gaussian, fgsm, pgd = rows_of(changed)["backprop"]
    assert (accuracy, gaussian, fgsm, pgd) == ("–", "–", "–", "∞")


def test_claims_of_which_something_can_be_told_are_told_and_the_others_counted(results):
    text, found = in_short(results, REPORT), findings(results)
    told = [title for title, finding in found.items() if finding.verdict is not Verdict.UNDECIDED]
    assert f"\n{len(told)} of {len(found)} claims can be told:\n" in text
    assert 0 < len(told) < len(found)
    for title, finding in found.items():
        assert (f"  {finding.verdict.value}: {title}\n" in text) == (title in told)
    assert text.endswith(f"\nreport: {REPORT}")
    assert len(text.splitlines()) <= 40, "a screen"

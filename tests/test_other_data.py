"""Every sentence with a number in docs/data-sets.md says it of the right run; the page has the runs side by side."""

import math
import re
from functools import cache
from pathlib import Path

import pytest

from experiments.models import label
from experiments.report.claims.comparing import compare, measured, robuster
from experiments.report.numbers import told
from experiments.report.side_by_side import pair_rows
from experiments.results.schema import read_results

ROOT = Path(__file__).parents[1]
FOLDERS = {"CIFAR-10": "quick", "Fashion-MNIST": "fashion-mnist", "MNIST": "mnist"}
PAGE = ROOT / "docs" / "data-sets.md"


@cache
def runs():
    return {name: read_results(ROOT / "results" / folder) for name, folder in FOLDERS.items()}


def listed(numbers):
    first, second, third = (f"{number} ({name})" for name, number in numbers.items())
    return f"{first}, {second} and {third}"


def ratios(attack, first, second):
    found = {name: robuster(run, attack, first, second) for name, run in runs().items()}
    return listed({name: f"{math.exp(one.log_ratio):.2f}" for name, one in found.items()})


def overturned(model):
    return listed({name: told(run["models"][model], "corruptions", "overturned") for name, run in runs().items()})


@cache
def sentences():
    pairs = [outcomes for *_, outcomes, _ in pair_rows(list(runs().values()))]
    same, turned = sum(len(set(one)) == 1 for one in pairs), sum({1, -1} <= set(one) for one in pairs)
    accuracy = {name: told(run["models"]["kh"], "test_accuracy") for name, run in runs().items()}
    wide = read_results(ROOT / "results" / "mnist-2000-units")
    decoder, layer = wide["settings"]["decoder"], wide["settings"]["layer"]
    assert layer["start"] == "normal"
    [reached] = wide["models"]["kh"]["test_accuracy"]
    return [
        f"Of {len(pairs)} outcomes of two models under one attack, {same} are the same on all three sets and {turned} "
        "are turned round",
        f"The hybrid is right on {listed(accuracy)} of the test images",
        f"Under PGD it withstands perturbations {ratios('pgd', 'kh', 'bp')} times as long as backpropagation, "
        f"{ratios('pgd', 'kh', 'l2')} times as long as with L2",
        f"{ratios('pgd', 'kh', 'kmeans')} times as long as centroids of k-means, "
        f"{ratios('pgd', 'kh', 'kh_start')} times as long as images that never learned",
        f"Corruption overturns {overturned('kh')} of the hybrid's right decisions, {overturned('bp')} of "
        f"backpropagation's, {overturned('l2')} of those with L2, {overturned('kmeans')} of k-means'",
        f"{wide['settings']['hidden']} units from noise with n = {decoder['power']}, k = {layer['k']}, minibatches of "
        f"{layer['batch_size']} and {layer['epochs']} epochs, and a decoder of {decoder['epochs']} epochs reach "
        f"{100 * reached:.1f} % on MNIST",
    ]


@pytest.fixture(scope="module")
def text():
    return re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("sentence", sentences(), ids=lambda sentence: sentence[:30])
def test_it_says_what_the_runs_found(sentence, text):
    assert sentence in text


def test_what_it_says_in_words_holds():
    for name, run in runs().items():
        for control in ("kmeans", "kh_start"):
            for attack in ("gaussian", "fgsm", "pgd", "minimum_norm"):
                assert robuster(run, attack, "kh", control).outcome == 0, (name, control, attack)
        losing = {model: measured(entry, "corruptions", "overturned") for model, entry in run["models"].items()}
        found = {model: compare(losing["kh"], one, smaller_is_better=True).outcome for model, one in losing.items()}
        worse_on = -1 if name == "CIFAR-10" else 1
        assert found["bp"] == worse_on, name
        assert found["l2"] == found["jacobian"] == min(worse_on, 0), name
        assert found["kmeans"] == found["kh_start"] == 0, name
        ahead = [robuster(run, attack, "kh", "bp").outcome for attack in ("gaussian", "pgd", "minimum_norm")]
        assert ahead == [1, 1, 1], name
        assert robuster(run, "pgd", "kh", "l2").outcome == (name != "CIFAR-10"), name
        surpassed = robuster(run, "pgd", "kh", "adversarial").outcome == -1
        assert surpassed == (name == "CIFAR-10"), name
    pairs = pair_rows(list(runs().values()))
    turned = {models for _, models, outcomes, _ in pairs if {1, -1} <= set(outcomes)}
    assert turned == {f"{label('kh')}, {label('adversarial')}"}
    assert runs()["MNIST"]["models"]["kh"]["critical_l2"]["fgsm"]["median_overall"]["infinite_seeds"] == 5
    wide = read_results(ROOT / "results" / "mnist-2000-units")["models"]["kh"]
    assert (wide["converged"], wide["decoder_converged"]) == ([True], [False])


def test_it_says_no_number_besides(text):
    for sentence in sentences():
        text = text.replace(sentence, "")
    for name in ("CIFAR-10", "L2", "`[^`]*`", r"\[[^]]*\]\([^)]*\)"):
        text = re.sub(name, "", text)
    assert not re.findall(r"[^.]*\d[^.]*", text.partition("```{include}")[0])


@pytest.mark.parametrize("name", FOLDERS)
def test_every_run_has_five_seeds_of_quick(name):
    run = runs()[name]
    assert (run["preset"], len(run["seeds"])) == ("quick", 5)

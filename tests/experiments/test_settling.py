"""A verdict speaks about the paper only in a run of its kind, that has converged, and once a number."""

import dataclasses

import pytest
from claim_cases import changed, with_medians
from evidence_cases import PAPER, evidence, published_settings

from experiments.report.claims import Verdict, findings
from experiments.report.claims.settling import not_converged, once_a_number, settle
from experiments.report.claims.verdicts import Finding
from experiments.results.published import unlike_published
from experiments.settings.presets import PRESETS

RED = Finding(Verdict.CONTRADICTS, "It is.", (), ("it",), ("kh", "bp"), frozenset(["number"]))
GREEN = Finding(Verdict.AGREES, "It is.", ("it",), (), ("kh", "bp"))


def test_in_a_run_of_the_published_kind_verdicts_stand():
    for finding in (RED, GREEN):
        assert settle(evidence(2), finding) == finding


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("settings", "hidden"), 500),
        (("settings", "backprop", "epochs"), 15),
        (("settings", "layer", "start"), "samples"),
        (("settings", "backprop", "learning_rates"), [1e-3]),
        (("dataset", "name"), "digits"),
        (("settings",), {}),
    ],
)
def test_a_run_of_another_kind_contradicts_nothing_and_holds_at_its_size(path, value):
    results = changed(evidence(2), *path, value)
    red, green = settle(results, RED), settle(results, GREEN)
    assert (red.verdict, green.verdict) == (Verdict.UNDECIDED, Verdict.HERE)
    assert all("not as published" in claim.sentence and "published" in claim.sentence for claim in (red, green))


def test_a_weight_concerns_the_models_that_have_it():
    results = changed(evidence(2), "settings", "jacobian", "weight", 1e-3)
    assert settle(results, RED) == RED
    claim = settle(results, RED._replace(models=("l2", "jacobian")))
    assert claim.verdict is Verdict.UNDECIDED
    assert "jacobian weight 0.001 (published 0.00033)" in claim.sentence


@pytest.mark.parametrize(("key", "model"), [("converged", "bp"), ("decoder_converged", "kh")])
def test_networks_that_have_not_converged_contradict_nothing(key, model):
    results = changed(evidence(2), "models", model, key, [True, False])
    assert not_converged(results, PAPER) == [model]
    assert settle(results, RED).verdict is Verdict.UNDECIDED
    told = settle(results, GREEN)
    assert told.verdict is Verdict.HERE
    assert "not converged" in told.sentence


def test_a_number_turns_one_claim_red():
    new = RED._replace(against=frozenset(["number", "another"]))
    settled = once_a_number({"bp is better": RED, "again": RED, "new": new})
    verdicts = [finding.verdict for finding in settled.values()]
    assert verdicts == [Verdict.CONTRADICTS, Verdict.UNDECIDED, Verdict.CONTRADICTS]
    assert "“bp is better”" in settled["again"].sentence


def test_one_better_rival_under_one_attack_contradicts_one_claim():
    found = findings(with_medians(evidence(5), "bp", "pgd", 9.0)).values()
    assert sum(bool(finding.against) for finding in found) > 1
    # Under PGD the hybrid falls behind backprop; so do L2 and Jacobian, which is a number of its own.
    assert sum(finding.verdict is Verdict.CONTRADICTS for finding in found) == 2


def test_one_law_that_should_not_be_contradicts_one_claim():
    results = changed(evidence(5), "models", "l2", "spectrum", "images", "verdict", ["power law"] * 5)
    assert [finding.verdict for finding in findings(results).values()].count(Verdict.CONTRADICTS) == 1


def test_the_reduced_preset_is_not_of_the_published_kind_and_the_papers_sizes_are():
    quick, paper = (dataclasses.asdict(PRESETS[name]) for name in ("quick", "paper"))
    assert unlike_published(paper, "cifar10", ["kh", "bp", "l2", "noise_start"]) == []
    assert unlike_published(paper, "cifar10", ["jacobian"]) == ["jacobian weight 0.001 (published 0.00033)"]
    assert any("anchored" in difference for difference in unlike_published(paper, "cifar10", ["spectral"]))
    for model in PAPER:
        assert "hidden 500 (published 2000)" in unlike_published(quick, "cifar10", [model])
    assert unlike_published(published_settings(), "cifar10", [*PAPER, "noise_start"]) == []
    assert unlike_published(published_settings() | {"hidden": 500}, "cifar10", ["noise_start"]) == []
    assert unlike_published({}, None, ["kh"])[0].startswith("data unknown")

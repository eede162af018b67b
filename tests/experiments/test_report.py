"""The report: every claim can come out each way, nothing is fetched from outside, nothing missing goes untold."""

import copy
import html
import json
import re

import pytest

from experiments.published import PUBLISHED, ROBUSTNESS_ORDER
from experiments.report import claims, read_results, write_report
from experiments.report.claims import Measured, Verdict, larger
from experiments.report.numbers import centre, number_text, percent_text, signed_text, summary_text
from experiments.report.sections import unconverged

INFINITY = float("inf")
PNG = bytes.fromhex("89504e470d0a1a0a")


def attack_entry(median, seeds=1, spread=0.02, images=True, censored=0.0):
    """Medians of several seeds around one number, with intervals over images of ± 5 %."""
    medians = [median * (1 + spread * (seed - (seeds - 1) / 2)) for seed in range(seeds)]
    intervals = {"median_interval": [[0.95 * value, 1.05 * value] for value in medians]} if images else {}
    return {"median": medians, "censored": [censored] * seeds, **intervals}


def run_as_published(seeds=1, images=True):
    """Results in which all that the paper says comes true."""
    models = {}
    for place, model in enumerate(ROBUSTNESS_ORDER):
        straight = {"images": model in ("kh", "spectral"), "noise": model == "kh"}
        critical = {
            attack: attack_entry(scale * 0.5**place, seeds, images=images)
            for attack, scale in {"gaussian": 4.0, "fgsm": 2.0, "pgd": 1.0}.items()
        }
        models[model] = {
            "test_accuracy": [0.5] * seeds,
            "n_attacked": [100] * seeds,
            "spectrum": {
                kind: {
                    "alpha": [1.2 if model == "spectral" else 2.5] * seeds,
                    "stderr": [0.01] * seeds,
                    "r2": [0.998 if straight[kind] else 0.95] * seeds,
                    "window": [[11, 100]] * seeds,
                }
                for kind in ("images", "noise")
            },
            "critical_l2": critical,
            "critical_linf": critical,
            "relative_accuracy": {},
            "jacobian_norm": {"activation": [2.0**place] * seeds, "preactivation": [2.0**place] * seeds},
            "converged": [True] * seeds,
            "pruned_units": [0] * seeds,
        }
    spectrum = {"images": {"alpha": [1.5] * seeds, "stderr": [0.01] * seeds, "r2": [0.99] * seeds}}
    return {
        "schema": 1,
        "preset": "quick",
        "settings": {"hidden": 500, "spectral": {"exponent": 1.0}},
        "seeds": list(range(seeds)),
        "notes": [],
        "dataset": {"name": "cifar10", "sha256": "ab" * 32, "n_train": 50000, "n_test": 10000},
        "environment": {"jax": "0.10", "device": "cpu", "platform": "cpu", "python": "3.11"},
        "stages": {"attacks": {"seconds": 12.0}},
        "models": models,
        "baselines": {"untrained": {"spectrum": spectrum}},
    }


def changed(results, *path_and_value):
    """A copy of the results with one entry replaced."""
    *path, last, value = path_and_value
    results = copy.deepcopy(results)
    entry = results
    for key in path:
        entry = entry[key]
    entry[last] = value
    return results


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("attack", ["gaussian", "fgsm", "pgd"])
def test_the_papers_order_is_recognised(seeds, attack):
    assert claims.robustness_order(run_as_published(seeds), attack).verdict is Verdict.AGREES


@pytest.mark.parametrize("seeds", [1, 5])
def test_two_models_the_wrong_way_round_contradict_the_order(seeds):
    results = changed(run_as_published(seeds), "models", "bp", "critical_l2", "pgd", attack_entry(9.0, seeds))
    claim = claims.robustness_order(results, "pgd")
    assert claim.verdict is Verdict.CONTRADICTS
    assert "Krotov–Hopfield is less robust than backprop" in claim.sentence
    assert "L2 is less robust than Jacobian" not in claim.sentence


@pytest.mark.parametrize("seeds", [1, 5])
def test_models_that_are_equally_robust_leave_the_order_open(seeds):
    results = run_as_published(seeds)
    same = results["models"]["l2"]["critical_l2"]["pgd"]
    claim = claims.robustness_order(changed(results, "models", "jacobian", "critical_l2", "pgd", same), "pgd")
    assert claim.verdict is Verdict.UNDECIDED
    assert "L2 and Jacobian" in claim.sentence


def test_one_seed_without_intervals_over_images_decides_nothing():
    claim = claims.robustness_order(run_as_published(1, images=False), "pgd")
    assert claim.verdict is Verdict.UNDECIDED
    assert "One seed" in claim.sentence


def test_an_incomplete_order_is_not_agreement():
    results = run_as_published(5)
    del results["models"]["l2"]
    claim = claims.robustness_order(results, "pgd")
    assert claim.verdict is Verdict.UNDECIDED
    assert "Not available: L2" in claim.sentence


def test_a_median_beyond_all_strengths_is_the_largest():
    results = run_as_published(3)
    results["models"]["kh"]["critical_l2"]["pgd"]["median"] = [INFINITY] * 3
    assert claims.robustness_order(results, "pgd").verdict is Verdict.AGREES


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (Measured([2.0], (1.8, 2.2)), Measured([1.0], (0.9, 1.1)), 1),
        (Measured([2.0], (0.8, 3.2)), Measured([1.0], (0.9, 1.1)), 0),
        (Measured([2.0], None), Measured([1.0], (0.9, 1.1)), 0),
        (Measured([2.0, 2.1, 1.9], None), Measured([1.0, 1.1, 0.9], None), 1),
        (Measured([2.0, 0.5, 1.1], None), Measured([1.0, 1.1, 0.9], None), 0),
        (Measured([INFINITY, INFINITY], None), Measured([1.0, 1.1], None), 1),
        (Measured([INFINITY, 1.0], None), Measured([1.0, 1.1], None), 0),
        (Measured([2.0, 2.0], None), Measured([2.0, 2.0], None), 0),
        (Measured([], None), Measured([1.0], (0.9, 1.1)), 0),
    ],
)
def test_comparisons_are_antisymmetric_and_need_evidence(first, second, outcome):
    assert larger(first, second) == outcome
    assert larger(second, first) == -outcome


@pytest.mark.parametrize(
    ("model", "kind", "r2", "verdict"),
    [
        ("kh", "noise", [0.998], Verdict.AGREES),
        ("kh", "noise", [0.97], Verdict.CONTRADICTS),
        ("bp", "noise", [0.998], Verdict.CONTRADICTS),
        ("spectral", "noise", [0.998], Verdict.CONTRADICTS),
        ("spectral", "images", [0.9], Verdict.CONTRADICTS),
        ("l2", "images", [0.998, 0.9], Verdict.UNDECIDED),
        ("kh", "images", [None], Verdict.UNDECIDED),
        ("l2", "noise", [None], Verdict.UNDECIDED),
    ],
)
def test_straightness_is_judged_by_r2(model, kind, r2, verdict):
    results = changed(run_as_published(), "models", model, "spectrum", kind, "r2", r2)
    assert claims.straight_power_laws(results, kind).verdict is verdict


@pytest.mark.parametrize(
    ("norms", "verdict"),
    [
        ((1, 2, 4, 8, 16), Verdict.HOLDS),
        ((16, 8, 4, 2, 1), Verdict.FAILS),
        ((4, 1, 2, 8, 16), Verdict.UNDECIDED),
        ((1, 1, 1, 1, 1), Verdict.UNDECIDED),
        ((1, 2, None, None, 3), Verdict.UNDECIDED),
    ],
)
def test_smoothness_is_compared_with_robustness_by_rank(norms, verdict):
    results = run_as_published()
    for model, norm in zip(ROBUSTNESS_ORDER, norms, strict=True):
        results["models"][model]["jacobian_norm"]["activation"] = [norm]
    assert claims.smoother_is_more_robust(results, "gaussian").verdict is verdict


@pytest.mark.parametrize(
    ("regularized", "plain", "verdict"),
    [
        ([1.0], [2.0], Verdict.HOLDS),
        ([2.0], [1.0], Verdict.FAILS),
        ([1.0], [1.01], Verdict.UNDECIDED),
        ([1.0, 1.1, 0.9], [2.0, 2.1, 1.9], Verdict.HOLDS),
        ([1.0, 2.1, 0.2], [2.0, 1.1, 1.0], Verdict.UNDECIDED),
        ([None], [1.0], Verdict.UNDECIDED),
    ],
)
def test_the_jacobian_penalty_must_lower_the_norm(regularized, plain, verdict):
    results = changed(run_as_published(), "models", "jacobian", "jacobian_norm", "activation", regularized)
    results = changed(results, "models", "bp", "jacobian_norm", "activation", plain)
    assert claims.jacobian_regularizer_smooths(results).verdict is verdict


@pytest.mark.parametrize(
    ("alpha", "target", "verdict"),
    [
        ([1.2], 1.0, Verdict.HOLDS),
        ([1.5], 1.0, Verdict.FAILS),
        ([2.0], 1.0, Verdict.FAILS),
        ([0.5], 1.0, Verdict.UNDECIDED),
        ([2.0], 2.62, Verdict.HOLDS),
        ([None], 1.0, Verdict.UNDECIDED),
    ],
)
def test_the_spectral_regularizer_must_leave_its_start_towards_the_target(alpha, target, verdict):
    results = changed(run_as_published(), "models", "spectral", "spectrum", "images", "alpha", alpha)
    results = changed(results, "settings", "spectral", "exponent", target)
    assert claims.spectral_regularizer_moves(results).verdict is verdict


def test_a_gradient_attack_weaker_than_noise_is_suspicious():
    results = run_as_published()
    assert claims.gradient_attacks_beat_noise(results).verdict is Verdict.HOLDS
    masked = changed(results, "models", "kh", "critical_l2", "pgd", attack_entry(9.0))
    assert claims.gradient_attacks_beat_noise(masked).verdict is Verdict.FAILS
    spared = changed(results, "models", "kh", "critical_l2", "pgd", attack_entry(0.5, censored=0.4))
    assert claims.gradient_attacks_beat_noise(spared).verdict is Verdict.FAILS
    unreached = changed(results, "models", "kh", "critical_l2", "pgd", "median", [INFINITY])
    assert claims.gradient_attacks_beat_noise(unreached).verdict is Verdict.UNDECIDED
    assert claims.gradient_attacks_beat_noise({}).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("median", "verdict"), [(1.0, Verdict.HOLDS), (4.0, Verdict.UNDECIDED), (9.0, Verdict.FAILS)])
def test_learning_is_compared_with_its_control(median, verdict):
    results = run_as_published()
    results["models"]["image_rows"] = {"control": True, "critical_l2": {"gaussian": attack_entry(median)}}
    assert claims.learning_beats_control(results, "image_rows", "gaussian").verdict is verdict
    assert any("image rows" in claim.title for claim in claims.all_claims(results))


def test_nothing_can_be_told_from_nothing():
    assert {claim.verdict for claim in claims.all_claims({})} == {Verdict.UNDECIDED}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (None, "not available"),
        ([None, None], "not available"),
        ([0.4711], "0.471"),
        ([0.47, None], "0.470 (1 of 2 seeds)"),
        # t(0.975, 2) · 0.1 / √3 = 0.248
        ([0.9, 1.0, 1.1], "1.0 ± 0.2"),
        ([INFINITY], "∞"),
        (["Infinity", 1.0], "∞ in 1 of 2 seeds"),
        ([float("nan")], "not available"),
        ([412], "412"),
    ],
)
def test_numbers_over_seeds_count_what_is_missing(values, text):
    assert summary_text(values) == text


def test_the_error_of_one_seed_is_shown_where_it_is_known():
    assert summary_text([2.6666], error=0.004) == "2.667 ± 0.004"


def test_numbers_are_written_for_reading():
    assert [number_text(value) for value in (0.0, 1.23456, 12.3456, 1.5e-7, None)] == [
        "0", "1.23", "12.3", "1.50e-07", "not available",
    ]  # fmt: skip
    assert [percent_text(share) for share in (0.0, 0.004, 0.25)] == ["0 %", "<1 %", "25 %"]
    assert [signed_text(number) for number in (0.1, -0.1, -0.001)] == ["+0.10", "−0.10", "0.00"]


def test_a_mean_is_infinite_once_half_of_the_seeds_are():
    assert centre([INFINITY, 1.0]) == INFINITY
    assert centre([INFINITY, 1.0, 2.0]) == 1.5
    assert centre([]) is None


def written(directory, results, pictures=()):
    (directory / "figures").mkdir(exist_ok=True)
    for name in pictures:
        (directory / "figures" / f"{name}.png").write_bytes(PNG)
    (directory / "results.json").write_text(json.dumps(results))
    return write_report(directory).read_text(encoding="utf-8")


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_page_stands_alone(tmp_path, seeds):
    page = written(tmp_path, run_as_published(seeds), ["figure1", "figureA2"])
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"<script|<link|@import|url\(", page)
    assert {link[1:] for link in links if link[0] == "#"} <= set(re.findall(r'id="([^"]*)"', page))
    assert page.count("<img") == 2
    assert "file figures/figure3.png is missing" in page
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_published_numbers_stand_beside_ours(tmp_path):
    page = written(tmp_path, run_as_published())
    for row in PUBLISHED.values():
        assert all(
            f"<td>{number:g}</td>" in page or f">{number:g}</td>" in page for number in row if number is not None
        )
    assert "+0.03" in page  # kh: 0.50 against 0.47


def test_everything_written_by_others_is_escaped(tmp_path):
    hostile = '<img src="x" onerror="alert(1)">'
    results = run_as_published()
    results |= {"notes": [hostile], "preset": hostile, "settings": {hostile: hostile}}
    results["models"][hostile] = {"test_accuracy": [0.1]}
    results["dataset"]["name"] = hostile
    page = written(tmp_path, results)
    assert hostile not in page
    assert page.count(html.escape(hostile)) >= 5


def test_what_did_not_converge_is_told_by_seed(tmp_path):
    results = changed(run_as_published(2), "models", "l2", "converged", [True, False])
    results = changed(results, "models", "bp", "test_accuracy", [None, 0.5])
    results = changed(results, "seeds", [7, 8])
    assert unconverged(results) == [
        "backprop: test accuracy is not available for seed 7.",
        "L2: seed 8 did not converge.",
    ]
    page = written(tmp_path, results)
    assert "L2: seed 8 did not converge." in page


def test_a_run_with_almost_nothing_still_gives_a_page(tmp_path):
    page = written(tmp_path, {"schema": 1})
    assert "not available" in page
    assert page.count("cannot tell") >= 5


def test_writing_again_gives_the_same_bytes(tmp_path):
    assert written(tmp_path, run_as_published()) == written(tmp_path, run_as_published())


def test_other_schemas_and_unfinished_runs_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="finish the run"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"schema": 2}')
    with pytest.raises(ValueError, match="schema 1"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()

"""Every sentence with a number in docs/findings.md says it of the right model, attack and run; the README's, too."""

import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from experiments.questions.dimension.claims import manifolds
from experiments.questions.mixing.networks import networks_of
from experiments.questions.question import findings as question_findings
from experiments.questions.registry import QUESTIONS
from experiments.questions.shape.adding import reached
from experiments.questions.why.adding import adds
from experiments.report.claims import Verdict
from experiments.report.claims.comparing import MARGIN, robuster
from experiments.report.claims.evidence import bounds_are_consistent
from experiments.report.claims.spectra import exponents_above_the_data, is_power_law
from experiments.report.numbers import told
from experiments.results.published import PUBLISHED
from experiments.results.schema import read_results

ROOT = Path(__file__).parents[1]


def plain(text):
    """On one line, so that it does not matter where lines break."""
    return re.sub(r"\s+", " ", text).replace("**", "")


def findings(text):
    """The bullets below the tables and pictures."""
    return plain("\n- " + text.split("\n- ", 1)[1])


class Run:
    """A published run, and how the pages write its numbers."""

    def __init__(self, name):
        self.results = read_results(ROOT / "results" / name)

    def median(self, model, attack):
        return told(self.results["models"][model], "critical_l2", attack, "median")

    def percent(self, model, threat):
        entry = self.results["models"][model]["robust_accuracy"][threat]
        percent = {key: (100 * np.array(entry[key])).tolist() for key in ("worst_case", "worst_case_interval")}
        return told(percent, "worst_case")

    def alpha(self, model):
        return told(self.results["models"][model], "spectrum", "images", "alpha")

    def ratios(self, rivals, attacks):
        """How many times farther Krotov–Hopfield's critical distances are."""
        pairs = {(one["attack"], one["first"], one["second"]): one["log_ratio"] for one in self.results["comparisons"]}
        return [math.exp(pairs[attack, "kh", rival]) for attack in attacks for rival in rivals]

    def correlation(self, measure):
        """Of a measure of smoothness with the minimum-norm distance."""
        pairs = {(one["measure"], one["attack"]): one for one in self.results["correlations"]}
        found = pairs[measure, "minimum_norm"]
        at_most = "≤ " if found["p_at_floor"] else ""
        return f"{found['spearman']:.2f} (corrected p {at_most}{found['p_corrected']:.2g})".replace("-", "−", 1)


FIXED = ("kmeans", "kh_start")
GRADIENTS = ("fgsm", "pgd", "minimum_norm")


def of_the_published_size(paper):
    notes, epochs = " ".join(paper.results["notes"]), paper.results["settings"]["layer"]["epochs"]
    count, off, wrong = map(int, re.search(r"of (\d+) rows (\d+) are further .* norm, (\d+) sit", notes).groups())
    stopped = re.search(r"bp_matched-0: stopped at the hybrid's accuracy after (\d+) epochs", notes)[1]
    to_bp, to_matched = (paper.ratios([rival], ["minimum_norm"])[0] for rival in ("bp", "bp_matched"))
    medians, shares, norms = (
        [told(paper.results["models"][model], *path) for model in ("kh", "l2", "jacobian", "bp")]
        for path in (("critical_l2", "minimum_norm", "median"), ("test_accuracy",), ("jacobian_norm", "activation"))
    )
    return [
        f"after {epochs} epochs {count - off} of {count} rows are within 0.01 of their norm and {wrong} sit at "
        "the wrong attractor",
        f"minimum-norm {', '.join(medians[:3])} and {medians[3]} for Krotov–Hopfield, L2, Jacobian and backprop",
        f"at accuracies of {', '.join(shares[:3])} and {shares[3]}",
        f"the hybrid's distances are {to_bp:.2f} times those of backprop trained to its end, but {to_matched:.2f} "
        f"times those of backprop that stopped at the hybrid's accuracy, after {stopped} epochs",
        f"mean ‖∂a/∂x‖ is {norms[0]} against {norms[1]} of L2 and {norms[2]} of Jacobian",
    ]


def in_turn(texts):
    """Of one seed after the other."""
    *before, last = texts
    return f"{', '.join(before)} and {last}"


def exponents(values):
    return in_turn(f"{value:.2f}" for value in values)


def of_controls(paper):
    def times(model, attack):
        return re.match(r"×\s(\S+ \[.*?\])", robuster(paper.results, attack, model, "kh").text)[1]

    models, notes = paper.results["models"], " ".join(paper.results["notes"])
    shares = [told(models[model], "test_accuracy") for model in ("kh", *FIXED)]
    off = dict(re.findall(r"layer-(\d) has not converged: of 2000 rows (\d+) are further", notes))
    stopped = re.findall(r"bp_matched-\d: stopped at the hybrid's accuracy after (\d+) epochs", notes)
    weak = paper.ratios(("random", "pca", "whitened"), GRADIENTS[:2])
    matched = {f"{ratio:.2f}" for ratio in paper.ratios(["bp_matched"], GRADIENTS[:2])}
    images, noise = (
        {name: entry["spectrum"][kind]["alpha"] for name, entry in (models | paper.results["baselines"]).items()}
        for kind in ("images", "noise")
    )
    [data], [untrained] = ({f"{one:.2f}" for one in images[name]} for name in ("data", "untrained"))
    published = {name: f"{PUBLISHED[name].alpha_images:.2f}" for name in ("kh", "data", "untrained")}
    return [
        f"withstand {times('kmeans', 'fgsm')} times as much as the hybrid under FGSM",
        f"and {times('kmeans', 'pgd')} times under PGD",
        f"images as rows {times('kh_start', 'fgsm')} and {times('kh_start', 'pgd')} times",
        f"at accuracies of {shares[1]} and {shares[2]} against {shares[0]}",
        f"The hybrid withstands {min(weak):.0f} to {max(weak):.0f} times as much as random rows, principal directions "
        f"and whitened ones under FGSM and PGD, and {' or '.join(sorted(matched))} times as much as backprop that "
        f"stopped at its accuracy, there after {in_turn(stopped)} epochs",
        f"on images the layer's exponent is {exponents(images['kh'])} (published {published['kh']})",
        f"the data's {data} ({published['data']}), the untrained layer's {untrained} ({published['untrained']}); "
        f"k-means has {exponents(images['kmeans'])}, the images {exponents(images['kh_start'])}",
        f"with exponents of {exponents(noise['kh'])}",
        f"{in_turn(off.values())} of its 2000 rows are further than 0.01 from their norm, and the "
        f"{in_turn(map(str, models['kh']['pruned_units']))} that never won are pruned",
    ]


@cache
def sentences():
    """What the published runs let the page say: everything with a number in it."""
    quick, lighter = Run("quick"), Run("jacobian-published-weight")
    once, unanchored, noise = (
        Run(f"{name}") for name in ("spectral-refresh-once", "spectral-unanchored", "noise-start")
    )
    settings = quick.results["settings"]
    versus_bp, versus_spectral = (quick.ratios([rival], GRADIENTS) for rival in ("bp", "spectral"))
    ahead = [100 * (ratio - 1) for ratio in quick.ratios(["l2", "jacobian"], GRADIENTS)]
    assert all(round(ratio) in (6, 7) for ratio in versus_spectral)
    assert settings["adversarial"]["epochs"] == 4
    assert len(quick.results["models"]["kh"]["masking"]) == 8 + 1, "eight checks and the verdict"
    reach = re.search(r"attacks reach ([\d.]+ to [\d.]+) times", bounds_are_consistent(quick.results).sentence)
    untrained = unanchored.results["baselines"]["untrained"]
    rows = re.search(r"of (\d+) rows (\d+) are further .* norm, (\d+) sit", " ".join(noise.results["notes"]))
    count, off, wrong = map(int, rows.groups())
    weights = settings["jacobian"]["weight"], settings["l2"]["weight"]
    return [
        *of_the_published_size(Run("paper-h100")),
        *of_controls(Run("paper-cpu")),
        "critical distances of Krotov–Hopfield under FGSM, PGD and a minimum-norm attack are "
        f"{min(versus_bp):.2f} to {max(versus_bp):.2f} times those of backprop (minimum-norm median "
        f"{quick.median('kh', 'minimum_norm')} against {quick.median('bp', 'minimum_norm')}) and some six times those "
        "of spectral",
        f"It is {min(ahead):.0f} to {max(ahead):.0f} % ahead of L2 and Jacobian, a lead that chance among "
        f"{settings['attacks']['images']} images and our margin of {100 * MARGIN:.0f} % can explain together",
        f"(raw pixels, L∞ 8/255: {quick.percent('kh', 'raw_linf')} %)",
        f"attacks reach {reach[1]} times as far as certified distances",
        f"Neither centroids of k-means (minimum-norm {quick.median('kmeans', 'minimum_norm')}) nor training images as "
        f"synapses, never trained ({quick.median('kh_start', 'minimum_norm')}), are",
        "Backprop stopped at the hybrid's accuracy gets a part of the way "
        f"({quick.median('bp_matched', 'minimum_norm')})",
        "four epochs of adversarial training surpass it under gradient attacks "
        f"(PGD {quick.median('adversarial', 'pgd')} against {quick.median('kh', 'pgd')})",
        f"The hybrid's power under backprop does not help ({quick.median('bp_power', 'minimum_norm')})",
        f"Spectral regularization reaches its target of {settings['spectral']['exponent']:.0f} on images",
        "the rank correlation of ‖∂a/∂x‖, at the median image, with the minimum-norm distance is "
        f"{quick.correlation('jacobian_frobenius')}; of the same norm relative to image and activation it is "
        f"{quick.correlation('relative_jacobian')}, of the curvature of the loss "
        f"{quick.correlation('loss_curvature')}, of the length of decision boundaries at radius 4 "
        f"{quick.correlation('boundary_length_radius_4')}",
        f"at the stated {weights[0]:.0e} twice that of L2".replace("e-03", "e-3"),
        f"Jacobian falls behind L2 (PGD {lighter.median('jacobian', 'pgd')}, L2 {quick.median('l2', 'pgd')}; "
        "`results/jacobian-published-weight`)",
        f"instead of every {settings['spectral']['refresh_every']} batches the exponent stays at "
        f"{once.alpha('spectral')}",
        f"it moves away, from {told(untrained, 'spectrum', 'images', 'alpha')} to {unanchored.alpha('spectral')}",
        f"does not get there at {count} units: after {noise.results['settings']['noise_start']['epochs']} epochs "
        f"{count - off} of {count} rows have the right norm, but {wrong} sit at the wrong attractor",
    ]


NAMES = ("L2", "L₂", "`[^`]*`", "an H100", "none of ours leaves more than .*? accuracy above theirs, .*?,")
"""What holds a digit and is no finding; the check of the attacks has a test of its own."""


@pytest.fixture(scope="module")
def text():
    return findings((ROOT / "docs" / "findings.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("sentence", sentences(), ids=lambda sentence: sentence[:40])
def test_it_says_what_the_published_runs_found(sentence, text):
    assert sentence in text


def test_at_the_published_size_centroids_surpass_the_rule_and_images_do_not():
    paper, on_gpu = Run("paper-cpu").results, Run("paper-h100").results
    assert (paper["seeds"], on_gpu["seeds"]) == ([0, 1, 2], [0])
    kept = ("layer", "attacks", "decoder", "hidden", "norm", "precision")
    assert all(paper["settings"][key] == on_gpu["settings"][key] for key in kept)
    found = {(model, attack): robuster(paper, attack, model, "kh") for model in FIXED for attack in GRADIENTS[:2]}
    told = {pair: one.outcome for pair, one in found.items() if one.outcome}
    assert told == {("kmeans", "fgsm"): 1, ("kmeans", "pgd"): 1}
    assert all(math.exp(found["kh_start", attack].log_ratio) < 1 + 1.5 * MARGIN for attack in GRADIENTS[:2])
    [ahead] = {f"{100 * (math.exp(found['kmeans', attack].log_ratio) - 1):.0f} %" for attack in GRADIENTS[:2]}
    readme = plain((ROOT / "README.md").read_text(encoding="utf-8"))
    assert (
        f"in three seeds at the paper's size centroids surpass it by {ahead} under FGSM and under PGD, which is beyond "
        "our margin."
    ) in readme


def test_the_readme_says_so_in_short():
    readme = plain((ROOT / "README.md").read_text(encoding="utf-8"))
    quick, paper, on_cpu = Run("quick"), Run("paper-h100"), Run("paper-cpu")
    small, large = (run.ratios(["bp"], GRADIENTS) for run in (quick, paper))
    matched = paper.ratios(["bp_matched"], GRADIENTS) + on_cpu.ratios(["bp_matched"], GRADIENTS[:2])
    assert paper.results["seeds"] == [0]
    assert (
        f"perturbations {min(small):.1f} to {max(small):.1f} times as long as plain backpropagation's; at the paper's "
        f"own size, of which there is one seed yet, {min(large):.1f} to {max(large):.1f} times"
    ) in readme
    lead = quick.ratios(["bp_matched"], GRADIENTS)
    assert (
        f"is surpassed by a factor of {min(lead):.2f} to {max(lead):.2f} only (under FGSM not told apart), "
        f"at the paper's size of {min(matched):.2f} to {max(matched):.2f}"
    ) in readme

    told_apart = {attack: robuster(quick.results, attack, "kh", "bp_matched").outcome == 1 for attack in GRADIENTS}
    assert {attack for attack, told in told_apart.items() if not told} == {"fgsm"}
    models = Run("mnist").results["models"]
    assert all(min(models[one]["critical_l2"]["pgd"]["censored"]) > 1 / 3 for one in ("kh", "kmeans"))


def test_what_is_said_of_spectra_at_the_published_size_is_so():
    models = Run("paper-cpu").results["models"]
    on_noise = {name: entry["spectrum"]["noise"]["verdict"] for name, entry in models.items()}
    assert on_noise["kh"] == ["undecided", "power law", "power law"]
    assert on_noise["kmeans"] == ["power law", "power law", "undecided"]
    assert on_noise["kh_start"] == ["power law"] * 3
    assert on_noise["bp_matched"] == ["broken"] * 3
    layer, centroids = (models[name]["spectrum"] for name in ("kh", "kmeans"))
    assert layer["images"]["verdict"] == ["power law", "curved", "curved"]
    assert exponents_above_the_data(Run("paper-cpu").results).verdict is Verdict.SHARED
    matched = [robuster(Run("paper-cpu").results, attack, "kh", "bp_matched") for attack in GRADIENTS[:2]]
    assert {one.outcome for one in matched} == {0}
    assert (
        f"at the paper's size, the layer's exponent is {exponents(layer['images']['alpha'])} in three seeds (published "
        f"{PUBLISHED['kh'].alpha_images:.2f}), and that of k-means {exponents(centroids['images']['alpha'])}."
    ) in plain((ROOT / "README.md").read_text(encoding="utf-8"))


def test_what_the_readme_says_of_power_laws_on_noise_is_so():
    models = Run("quick").results["models"]
    verdicts = {name: set(models[name]["spectrum"]["noise"]["verdict"]) for name in ("kh", "kmeans", "bp")}
    assert verdicts["kh"] == verdicts["kmeans"] == {"power law"}
    assert "power law" not in verdicts["bp"]
    quick, mnist, fashion = (Run(name).results for name in ("quick", "mnist", "fashion-mnist"))
    assert is_power_law(quick, "bp", "noise") is False
    for kind in ("images", "noise"):
        assert is_power_law(fashion, "kh", kind) is None
        assert all(is_power_law(mnist, model, kind) is False for model in ("kh", "kmeans", "kh_start"))
    assert is_power_law(quick, "kh", "noise") is is_power_law(quick, "kmeans", "noise") is None


def test_what_is_said_in_short_of_the_open_questions_is_what_they_found():
    """In words: power laws, what they double, what they do not bring, and what predicts."""
    runs = {number: read_results(ROOT / "results" / f"question-{number}") for number in range(1, 6)}
    found = {
        (number, claim.name): one.verdict
        for number, run in runs.items()
        for claim, one in question_findings(QUESTIONS[number], run).items()
    }
    assert found[1, "add"] is found[1, "vectors"] is Verdict.HOLDS
    for model in ("kh", "kmeans", "kh_start"):
        assert adds(runs[1]["models"][model]["alignment"])
    for dimension, entry in manifolds(runs[2]).items():
        [data], models = entry["data"]["alpha"], entry["models"]
        ratios = {model: np.mean(one["preactivation"]["alpha"]) / data for model, one in models.items()}
        assert all(1.7 < ratios[model] < 2.6 for model in ("kh", "kmeans", "kh_start")), dimension
        assert all(ratios[model] < 1.5 for model in ("bp", "random")), dimension
    assert found[3, "longer-bp"] is Verdict.FAILS
    assert found[3, "helps"] is Verdict.UNDECIDED
    assert all(reached(runs[3], model) for model in ("law_both_middle", "law_both_strong"))
    assert found[4, "smoothness"] is Verdict.HOLDS
    assert found[4, "spectrum-too"] is Verdict.FAILS
    networks = networks_of(runs[4])
    mixes = len(networks.mixes)
    assert (mixes, len(networks.names) - mixes, len(networks.left_out)) == (43, 22, 5)
    assert all(name.startswith("mix") for name in networks.left_out)
    assert found[5, "images"] is found[5, "noise"] is Verdict.HOLDS
    assert found[5, "spectrum-left"] is Verdict.UNDECIDED


def test_it_says_no_number_besides(text):
    for sentence in sentences():
        text = text.replace(sentence, "")
    for name in NAMES:
        text = re.sub(name, "", text)
    assert not re.findall(r"[^.]*\d[^.]*", text)


def test_a_number_of_another_model_would_be_found_out(text):
    """As when a table is made again and a sentence is forgotten, or takes the neighbour's number."""
    quick = Run("quick")
    wrong = text.replace(quick.median("bp_matched", "minimum_norm"), quick.median("bp", "minimum_norm"))
    assert wrong != text
    assert not all(sentence in wrong for sentence in sentences())


def test_the_weights_that_it_compares_are_those_of_the_runs():
    settings = json.loads((ROOT / "results" / "quick" / "results.json").read_text())["settings"]
    # The L2 penalty is w|θ|², whose like on the pre-activation is twice the Jacobian's w.
    assert settings["jacobian"]["weight"] == 2 * settings["l2"]["weight"]

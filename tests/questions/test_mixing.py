"""Questions 4 and 5 from one set of networks: trained once, told twice; one program for all weights."""

import numpy as np
import pytest
from figure_cases import built_but_not_printed
from question_cases import answer

from experiments.engine.ledger import Ledger
from experiments.images import Images
from experiments.questions import command as questions
from experiments.questions.mixing.plan import MixingPlan
from experiments.questions.mixing.results import collect
from experiments.report import figures as drawing
from experiments.results.schema import read_results
from experiments.settings.paths import with_settings
from experiments.settings.questions import QUESTION_PRESETS
from experiments.training import trainer
from jax_bioadv import data

LITTLE = ("--mixing.mixes", "3", "--mixing.spectral-mixes", "1", "--mixing.epochs", "1", "2", "--mixing.powers", "2")
LITTLE += ("--mixing.decoder-epochs", "1", "--mixing.frozen", "kh_start", "--attacks.images", "60")
LITTLE += ("--mixing.hidden", "24")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixing")
    trainer._epoch.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing.figures, "save_figure", built_but_not_printed)
        code, said = answer("45", folder, *LITTLE)
    assert code == 0, said
    return folder, said, trainer._epoch.cache_info().misses


def test_both_questions_are_answered_by_one_set_of_networks(answered):
    folder, said, _ = answered
    assert "question 5, smoke on digits: 31 tasks, 31 already done" in said
    for number in (4, 5):
        assert read_results(folder / str(number))["question"] == number
        page = (folder / str(number) / "report.html").read_text()
        for claim in questions.QUESTIONS[number].claims:
            assert f'id="claim-{claim.name}"' in page
    four, five = (read_results(folder / str(number))["networks"] for number in (4, 5))
    assert four == five
    assert list(four) == ["mix0", "mix1", "mix2", "mix-spectral0", "kh_start-n2-e1"]


def test_a_program_does_for_all_weights_and_epochs(answered):
    """One for the mixes, one for those with a spectral penalty, one for the decoders."""
    assert answered[2] == 3


def test_the_network_on_images_as_rows_is_compared_with_every_mix_on_the_same_images(answered):
    paired = read_results(answered[0] / "4")["paired"]
    assert list(paired) == ["kh_start-n2-e1"]
    # A mix with hardly an image that both classify correctly has no finite interval.
    assert {"mix0", "mix2"} <= set(paired["kh_start-n2-e1"]) <= {"mix0", "mix1", "mix2", "mix-spectral0"}
    for ratio, low, high in paired["kh_start-n2-e1"].values():
        assert low <= ratio <= high


def test_every_measure_is_there(answered):
    for entry in read_results(answered[0] / "4")["networks"].values():
        for name, values in entry.items():
            if isinstance(values, list) and name != "test_accuracy_interval":
                assert np.isfinite(values).all(), name


def test_a_mix_without_weights_is_plain_backpropagation(tmp_path):
    chosen = {"backprop.epochs": 1, "hidden": 24, "mixing.hidden": 24, "l2.weight": 0.0, "jacobian.weight": 0.0}
    settings = with_settings(QUESTION_PRESETS["smoke"], {**chosen, "decoder.power": 1.0})
    images = Images(data.load("digits"), settings.norm)
    of_recipe = MixingPlan(settings, images).of_recipes[0]
    of_recipe.settings = settings
    mix, plain = (Ledger(tmp_path / name).complete(of_recipe.model(name, 0)) for name in ("mix", "bp"))
    for name, values in plain.arrays.items():
        np.testing.assert_allclose(mix.arrays[name], values, rtol=2e-5, atol=1e-6)  # sums of zeros round otherwise


def test_a_name_stands_for_one_task():
    settings = with_settings(QUESTION_PRESETS["quick"], {"hidden": 40, "noise_start_hidden": 40, "mixing.hidden": 40})
    tasks = MixingPlan(settings, Images(data.load("digits"), settings.norm)).all_tasks()
    assert len({task.name for task in tasks}) == len(tasks) == len({task.fingerprint for task in tasks})
    assert sum(task.stage == "layer" for task in tasks) == 4 * settings.seeds + 1  # PCA knows no seed


def test_of_networks_that_were_not_trained_nothing_is_said(tmp_path):
    settings = QUESTION_PRESETS["smoke"]
    results = collect(MixingPlan(settings, Images(data.load("digits"), settings.norm)), Ledger(tmp_path), "smoke")
    assert any("left out of all verdicts" in note for note in results["notes"])
    assert all(one is None for by_set in results["partial_correlations"].values() for one in by_set.values())

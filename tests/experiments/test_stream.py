"""A run on images that stay on the disk: what it learns, that it goes on, and what it refuses."""

from functools import partial

import numpy as np
import pytest
from stopped_trainings import goes_on_bitwise

from experiments import stream
from experiments.engine.ledger import Ledger
from experiments.models import KNOWN
from experiments.report import closing
from experiments.report.figures import Undrawn
from experiments.results.schema import read_results
from experiments.settings.paths import with_settings
from experiments.settings.streams import MODELS, STREAM_PRESETS, StreamSettings
from experiments.stream_plan import StreamPlan
from experiments.streamed_images import StreamedImages, stored_images
from experiments.training import streamed
from jax_bioadv import data
from jax_bioadv.data.preprocessing import unit_norm
from jax_bioadv.data.stored import store

SETTINGS = with_settings(
    STREAM_PRESETS["smoke"], {"models": "kh,bp", "hidden": 16, "spectra.last_on_images": 12, "kmeans.batch_size": 100}
)
CHOSEN = StreamSettings(window=300, chunk=4)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("stored digits")
    for part, images, labels in (
        ("train", digits.train_images, digits.train_labels),
        ("val", digits.test_images, digits.test_labels),
    ):
        halves = len(images) // 2
        pieces = [(images[:halves], labels[:halves]), (images[halves:], labels[halves:])]
        store(pieces, folder / part, digits.class_names, "digits")
    return folder


@pytest.fixture(scope="module")
def images(folder):
    return StreamedImages("digits", *stored_images(str(folder), None), 3.0, 200)


def test_images_are_those_that_were_stored(images, digits):
    assert images.dataset.train_images.shape == digits.train_images.shape
    np.testing.assert_array_equal(images.dataset.train_images[:5], digits.train_images[:5])
    np.testing.assert_array_equal(images.test, unit_norm(digits.test_images[:200], 3.0))
    assert images.digests[0] == digits.sha256 == images.dataset.sha256
    with pytest.raises(TypeError, match="never in memory together"):
        images.train  # noqa: B018


def test_a_covariance_is_that_of_all_images_together(images, digits):
    rows = np.random.default_rng(0).standard_normal((5, 64))
    features = unit_norm(digits.train_images, 3.0).astype(np.float64) @ rows.T
    np.testing.assert_allclose(images.covariance_through(rows), np.cov(features.T), rtol=1e-4, atol=1e-7)


def test_a_run_ends_in_the_results_of_a_reproduction(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(closing, "draw", lambda directory: Undrawn([], []))
    little = ["--models", "kh,bp,kmeans", "--hidden", "16", "--kmeans.batch-size", "200", "--stream.chunk", "4"]
    little += ["--attacks.images", "5", "--threats.images", "10", "--decoder.power", "1"]
    given = ["--preset", "smoke", "--dataset", str(folder), *little]
    assert stream.main([*given, "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    results = read_results(tmp_path)
    assert list(results["models"]) == ["kh", "bp", "kmeans"]
    for model in results["models"].values():
        assert model["test_accuracy"][0] > 0.3
        assert model["spectrum"]["noise"]["alpha"][0] > 0
        assert model["critical_l2"]["minimum_norm"]["median"][0] > 0
    assert results["dataset"]["n_train"] == 1500
    assert (tmp_path / "report.html").is_file()
    assert not list((tmp_path / "checkpoints").glob("*"))


@pytest.mark.parametrize("name", ["layer", "centroids", "decoder", "model"])
def test_a_training_goes_on_bitwise_from_its_last_chunk(name, images, tmp_path, monkeypatch):
    plan = StreamPlan(SETTINGS, CHOSEN, images)
    tasks = {
        "layer": plan.layer,
        "centroids": partial(plan.first_layer, KNOWN["kmeans"]),
        "decoder": partial(plan.model, "kh"),
        "model": partial(plan.model, "bp"),
    }
    goes_on_bitwise(tasks[name](0), streamed, 3, tmp_path, monkeypatch)


def test_images_as_rows_are_where_the_layer_starts(images, tmp_path):
    plan = StreamPlan(with_settings(SETTINGS, {"models": "kh_start"}), CHOSEN, images)
    rows = Ledger(tmp_path).complete(plan.first_layer(KNOWN["kh_start"], 0)).arrays["synapses"]
    everything = unit_norm(images.dataset.train_images, 3.0)
    nearest = np.abs(rows[:, None] - everything[None]).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-6
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("preset", STREAM_PRESETS)
def test_presets_make_plans(preset, images):
    small = {"hidden": 40, "noise_start_hidden": 40, "norm": 3.0}
    tasks = StreamPlan(with_settings(STREAM_PRESETS[preset], small), StreamSettings(), images).all_tasks()
    assert {task.name for task in tasks if task.stage == "train"} == {f"{model}-0" for model in MODELS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "kh,spectral"], "spectral cannot be trained on a stream; choose among kh, bp"),
        (["--layer.start", "normal"], "starts from samples"),
        (["--stream.chunk", "0"], "stream.chunk must be at least 1"),
        (["--dataset", "/nowhere"], "/nowhere is no folder; give one with train and val"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(arguments, message, folder, tmp_path, capsys):
    given = ["--preset", "smoke", "--dataset", str(folder), "--out", str(tmp_path), *arguments]
    given = given if "--dataset" not in arguments else given[:2] + given[4:]
    assert stream.main(given) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("stages/*"))


@pytest.mark.parametrize("option", [["--resize", "8"], ["--drop-blank-images"]])
def test_images_that_are_stored_are_as_they_are(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        stream.main(["--preset", "smoke", *option])
    assert option[0] in capsys.readouterr().err


def test_a_black_image_is_refused_before_any_work_where_it_is_measured_on_and_harmless_elsewhere(
    tmp_path, digits, capsys, monkeypatch
):
    planned = []
    monkeypatch.setattr(stream, "complete", lambda job, *more: planned.append(job.planned(job.images(*job[1:3]))))
    black, few = digits.train_images.copy(), digits.test_images[:20].copy()
    black[5] = few[5] = 0
    for part, images, labels in (
        ("train", black, digits.train_labels),
        ("val", few, digits.test_labels[:20]),
    ):
        store([(images, labels)], tmp_path / part, digits.class_names, "digits")
    given = ["--preset", "smoke", "--dataset", str(tmp_path), "--out", str(tmp_path / "run"), "--stream.test-images"]
    assert stream.main([*given, "20"]) == 2
    assert "val: image 5 is all zero and has no unit norm; in all 1 of the first 20" in capsys.readouterr().err
    assert stream.main([*given, "5"]) == 0
    assert planned[0].settings.attacks == STREAM_PRESETS["smoke"].attacks


def test_two_parts_that_do_not_go_together_are_refused(folder, tmp_path, digits):
    training, _ = stored_images(str(folder), None)
    for images, names in ((digits.test_images[:, :4], digits.class_names), (digits.test_images, "abcdefghij")):
        other = store([(images, digits.test_labels)], tmp_path / names[0], names, "other")
        with pytest.raises(data.DataError, match="differ in the shape of their images, or classes"):
            StreamedImages("digits", training, other, 3.0, 10)

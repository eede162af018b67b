"""The networks of published runs, and how a run is published."""

import errno
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import publish
from experiments.images import Images
from experiments.models import PAPER_MODELS
from experiments.results.schema import read_results
from jax_bioadv import clone, data
from jax_bioadv.storage import StorageError, read_json, write_json
from jax_bioadv.weights import load_published, published, published_networks

RESULTS = clone.clone_folder() / "results"


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_a_published_network_is_of_the_runs_settings(model):
    network, settings = load_published(model), read_results(RESULTS / "quick")["settings"]
    assert network.encoder.kernel.shape == (3072, settings["hidden"])
    assert network.power == (settings["decoder"]["power"] if model == "kh" else 1.0)
    logits = network(jnp.full((2, 3072), 3072 ** (-1 / 3)))
    assert logits.shape == (2, 10)
    assert np.isfinite(np.asarray(logits)).all()


def test_the_hybrids_rows_have_the_norm_that_its_rule_gives_them():
    """Σ|W|³ = 1, of V = W|W| thus Σ|V|^1.5."""
    settings = read_results(RESULTS / "quick")["settings"]["layer"]
    norms = np.sum(np.abs(np.asarray(load_published("kh").encoder.kernel)) ** (settings["p"] / 2), axis=0)
    np.testing.assert_allclose(norms, settings["radius"], rtol=0.05)


def test_what_was_measured_lies_within_the_runs_intervals():
    models, about = read_results(RESULTS / "quick")["models"], read_json(RESULTS / "quick" / "weights" / "weights.json")
    assert published_networks()["quick"] == PAPER_MODELS
    for name, network in about["networks"].items():
        low, high = models[name]["test_accuracy_interval"][about["seed"]]
        assert network["bits"] == 16
        assert low <= network["in_16_bits"]["test_accuracy"] <= high
        assert network["in_32_bits"]["test_accuracy"] == models[name]["test_accuracy"][about["seed"]]


@pytest.mark.parametrize(("model", "run"), [("nobody", "quick"), ("kh", "nothing")])
def test_names_that_are_unknown_are_answered_with_those_that_are_known(model, run):
    with pytest.raises(ValueError, match=rf"no network '{model}' of a run '{run}'.*quick: {', '.join(PAPER_MODELS)}"):
        load_published(model, run)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A clone of which nothing was published yet."""
    monkeypatch.setattr(published, "clone_folder", lambda: tmp_path)
    return tmp_path


def test_a_file_that_is_altered_or_missing_is_refused(home):
    shutil.copytree(RESULTS / "quick" / "weights", home / "results" / "quick" / "weights")
    path = home / "results" / "quick" / "weights" / "bp.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match=r"bp\.npz is not the file that was published"):
        load_published("bp")
    path.unlink()
    with pytest.raises(StorageError, match=r"cannot read .*bp\.npz: No such file"):
        load_published("bp")


def test_a_finished_run_is_published_with_its_networks(copied, home):
    assert publish.main([str(copied), str(home / "results" / "mine")]) == 0
    assert (home / "results" / "mine" / "results.json").read_bytes() == (copied / "results.json").read_bytes()
    assert (home / "results" / "mine" / "figures.npz").is_file()
    results, digits = read_results(copied), data.load("digits")
    images = Images(digits, results["settings"]["norm"])
    for name in PAPER_MODELS:
        decided = np.argmax(np.asarray(load_published(name, "mine")(images.test)), axis=1)
        accuracy = np.mean(decided == np.asarray(images.test_labels))
        assert accuracy == pytest.approx(results["models"][name]["test_accuracy"][0], abs=3 / len(decided))


def test_the_images_and_the_precision_are_those_of_the_run(copied, home, capsys, monkeypatch):
    results = read_results(copied)
    smaller = data.load("digits", resize=4)
    results["dataset"] |= {"sha256": smaller.sha256, "source": smaller.source}
    results["settings"]["precision"] = "high"
    write_json(copied / "results.json", results)
    seen = []

    def written(name, directory, folder, images, results):
        seen.append((images.dataset.image_shape, jax.config.jax_default_matmul_precision))

    monkeypatch.setattr(publish, "_written", written)
    given = [str(copied), str(home / "results" / "mine")]
    assert publish.main(given) == 2
    assert "resized to 4 × 4 pixels: name their folder with --data-dir, and give --resize" in capsys.readouterr().err
    assert publish.main([*given, "--resize", "4", "--drop-blank-images"]) == 0
    assert set(seen) == {((4, 4, 1), "high")}


def test_a_full_disk_leaves_what_was_published_before(copied, home, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (home / "results.json").write_text("before")
    monkeypatch.setattr(publish, "_written", lambda *arguments: {})
    monkeypatch.setattr(publish, "write_json", lambda *arguments: None)
    monkeypatch.setattr(os, "fsync", full)
    assert publish.main([str(copied), str(home)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in home.iterdir() if path.is_file()] == [("results.json", "before")]


def test_weights_that_are_not_those_of_the_results_are_refused(copied, home, capsys):
    results = read_json(copied / "results.json")
    results["models"]["kh"]["test_accuracy"][0] -= 0.1
    write_json(copied / "results.json", results)
    assert publish.main([str(copied), str(home / "results" / "mine")]) == 2
    assert "they are of another network" in capsys.readouterr().err
    assert not published_networks()


def test_a_run_without_distances_is_refused(copied, home, capsys):
    results = read_json(copied / "results.json")
    del results["models"]["l2"]["critical_l2"]["minimum_norm"]
    write_json(copied / "results.json", results)
    assert publish.main([str(copied), str(home)]) == 2
    assert "no minimum-norm distances" in capsys.readouterr().err


def test_a_folder_without_networks_is_refused(home, capsys):
    assert publish.main([str(RESULTS / "quick"), str(home)]) == 2
    assert "holds no networks" in capsys.readouterr().err

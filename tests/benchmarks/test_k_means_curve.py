"""The published layer of centroids is run by one command; what the docs say of it is in its file."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import k_means_curve
from jax_bioadv.data import Dataset
from jax_bioadv.storage import read_json

ROOT = Path(__file__).parents[2]
FILE = ROOT / "benchmarks" / "results" / "k_means_curve.json"


@pytest.fixture
def noise_or_stripes(monkeypatch):
    """Images of two classes that a layer of centroids tells apart."""
    numbers = np.random.default_rng(0)

    def images(count):
        labels = np.arange(count, dtype=np.uint8) % 2
        pictures = numbers.integers(0, 256, (count, 32, 32, 3), np.uint8)
        pictures[labels == 1] = (255 * (np.arange(32) % 4 < 2)).astype(np.uint8)[None, :, None, None]
        return pictures, labels

    given = Dataset("two", *images(200), *images(40), ("noise", "stripes"), "made here")
    monkeypatch.setattr(k_means_curve, "load", lambda name: given)


def test_it_chooses_the_factor_and_tells_the_accuracy(noise_or_stripes, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert k_means_curve.main(["--out", str(out), "--filters", "8", "--factors", "1e-9", "1e2"]) == 0
    found = read_json(out)
    assert found["accuracy"] == 1.0
    assert found["converged"] is True
    assert found["factor"] == 1e2  # the other leaves no weights
    assert [(one["factor"], one["accuracy"]) for one in found["held_out"]] == [(1e-9, 0.5), (1e2, 1.0)]
    assert "100.0% of the test images with 8 centroids; none is published" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", [["--factors", "nan"], ["--steps", "0"], ["--filters", "0"], ["--out", "/dev/null/a"]]
)
def test_what_cannot_work_is_refused_before_the_work(wrong, noise_or_stripes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(k_means_curve, "fill", None)
    assert k_means_curve.main(["--out", str(tmp_path / "out.json"), *wrong]) != 0
    assert "error:" in capsys.readouterr().err


def test_the_committed_point_is_within_two_points_of_the_published_one():
    found = json.loads(FILE.read_text(encoding="utf-8"))
    assert found["filters"] == 1600
    assert abs(found["accuracy"] - found["published"]) <= 0.02
    text = " ".join((ROOT / "docs" / "depth.md").read_text(encoding="utf-8").split())
    assert (
        f"get {100 * found['accuracy']:.1f} % of the test images right, where Coates, Ng & Lee (2011) print "
        f"{100 * found['published']:.1f} %; after the 200 steps that it was given the SVM had not converged"
    ) in text
    assert not found["converged"]

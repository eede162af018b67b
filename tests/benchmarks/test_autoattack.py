"""Our AutoAttack against the published one on small networks of digits: they agree, and an idle one is found out."""

import functools

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyautoattack")

from flax import nnx
from torch_threads import one_torch_thread

from benchmarks import autoattack as comparison
from benchmarks.attack_contestants import Threat, verified
from benchmarks.autoattack_networks import ARCHITECTURES, convolutional, dense, residual, train
from jax_bioadv.data import load
from jax_bioadv.raw_pixels import raw_pixels
from jax_bioadv.storage import read_json

SHAPE, HARD = (8, 8, 1), Threat(np.inf, 0.1, "raw")
SMALL = {
    "dense": functools.partial(dense, hidden=32),
    "convolutional": functools.partial(convolutional, widths=(3, 4)),
    "residual": functools.partial(residual, width=4, blocks=1),
}
BUDGET = comparison.Settings("digits", trained_on=600, epochs=6, images=40, rounds=2, steps=8, queries=10)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with one_torch_thread():
        yield


@functools.cache
def _digits():
    return raw_pixels(load("digits").test_images), load("digits").test_labels.astype(np.int32)


@functools.cache
def _pair():
    pair, digits = SMALL["dense"](SHAPE, 10, nnx.Rngs(0)), load("digits")
    train(pair.network, raw_pixels(digits.train_images), digits.train_labels.astype(np.int32), 0.02, epochs=40)
    return pair.copied()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_copy_gives_our_logits(name):
    pair = SMALL[name](SHAPE, 10, nnx.Rngs(1))
    if name == "residual":  # statistics that are not those of the start
        for number, norm in enumerate(pair.network.norms):
            norm.mean[...] += number
            norm.var[...] *= 2 + number
        pair.network.eval()
    images = _digits()[0][:20]
    verified(pair.copied(), images)
    np.testing.assert_array_equal(pair.flattened(pair.channels_first(images)), images)


def test_a_copy_of_another_network_is_refused():
    pair = SMALL["dense"](SHAPE, 10, nnx.Rngs(0))
    with pytest.raises(ValueError, match="other layers"):
        pair._replace(twin=SMALL["residual"](SHAPE, 10, nnx.Rngs(0)).twin).copied()


def test_training_helps_against_the_attack_that_it_trains_for():
    images, labels = _digits()
    assert np.mean(_pair().our_logits(images).argmax(axis=1) == labels) > 0.7


def test_both_leave_the_same_accuracy():
    images, labels = _digits()
    found = comparison.compare(_pair(), HARD, BUDGET, images[:40], labels[:40])
    assert found["agrees"]
    assert abs(found["difference_points"]) <= 2.5  # an image of 40
    assert 0 < found["ours"]["robust"] < found["clean"]
    assert list(found["ours"]["parts"]) == ["apgd_ce", "apgd_targeted", "minimum_norm", "square"]
    assert list(found["theirs"]["parts"]) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    for side in (found["ours"], found["theirs"]):
        assert side["outside"] == 0
        assert side["parts"]["square"]["robust_accuracy"] == pytest.approx(side["robust"], abs=0.026)
    assert found["times_less"].keys() == found["compiling"].keys() == {"seconds", "processor_seconds"}
    medians = [found[who]["median"]["seconds"] for who in ("theirs", "ours")]
    assert found["times_less"]["seconds"] == medians[0] / medians[1]
    assert found["compiling"]["seconds"] > 0


# --- the command ---


def _grey(pair, images, *rest):
    return images + HARD.epsilon * (0.5 - images), {"apgd": {"robust_accuracy": 0.5, "seconds": 0.1}}


def _idle(pair, images, *rest):
    return images, {"apgd": {"robust_accuracy": 1.0, "seconds": 0.1}}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command on a small network, with stand-ins for both implementations."""

    def run(*options, ours=_grey):
        monkeypatch.setattr(comparison, "CONTESTANTS", {"ours": ours, "theirs": _grey})
        fixed = ("--dataset", "digits", "--images", "100", "--trained-on", "600", "--epochs", "6", "--rounds", "1")
        return comparison.main([*fixed, "--architectures", "dense", "--out", str(tmp_path / "out"), *options])

    monkeypatch.setattr(comparison, "ARCHITECTURES", {"dense": lambda *given: _pair()})
    monkeypatch.setattr(comparison, "train", lambda *given: None)
    monkeypatch.setattr(comparison, "THREATS", dict.fromkeys(comparison.COMPARED, HARD))
    return run


def test_a_second_run_does_what_is_missing_and_other_settings_are_refused(command, tmp_path, monkeypatch, capsys):
    path = tmp_path / "out" / "autoattack.json"
    assert command() == 0
    before = read_json(path)
    assert list(before["networks"]["dense"]) == ["raw_linf", "raw_l2"]
    assert before["environment"]["versions"].keys() >= {"jax", "torch", "pyautoattack"}
    assert before["settings"]["queries"] == 5000
    monkeypatch.setattr(comparison, "compare", lambda *given: pytest.fail("it is done"))
    assert command() == 0
    assert command("--queries", "7") == 2
    assert "other models, settings or versions" in capsys.readouterr().err
    assert read_json(path) == before
    rows = (tmp_path / "out" / "autoattack.md").read_text().splitlines()
    assert sum(row.startswith("| dense | raw") for row in rows) == 4


def test_an_attack_of_ours_that_does_nothing_is_found_out(command, tmp_path):
    assert command(ours=_idle) == 1
    entry = read_json(tmp_path / "out" / "autoattack.json")["networks"]["dense"]["raw_linf"]
    assert not entry["agrees"]
    assert entry["ours"]["robust"] == entry["clean"] > entry["theirs"]["robust"] + 0.005
    assert "| **dense** | **raw_linf, ε = 0.1** |" in (tmp_path / "out" / "autoattack.md").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--images", "100000"], "there are 297 test images"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--architectures", "dense,transformer"], "--architectures are among"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(options, says, command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "train", lambda *given: pytest.fail("it has begun"))
    assert command(*options) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

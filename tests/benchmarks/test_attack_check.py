"""Our attacks against ART's on small models of digits: they agree; a crippled one is found out, as is a wrong twin."""

import functools
import math
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("art")

from sklearn.linear_model import LogisticRegression
from torch_threads import one_torch_thread

from benchmarks import attack_check
from benchmarks.attack_check import THREATS, Budget, Threat, build, compare, judge, verified
from benchmarks.attack_contestants import our_network
from experiments.networks import weights
from jax_bioadv.data import load, unit_norm
from jax_bioadv.raw_pixels import raw_pixels
from jax_bioadv.storage import read_json, write_arrays, write_json
from jax_bioadv.weights import state_of

INPUTS, HIDDEN, SHAPE = 64, 60, (8, 8, 1)
POWERS = {"relu": 1.0, "relu^4.5": 4.5, "batch norm": 1.0}
# Random layers have many local maxima: enough starts that both implementations find the same.
BUDGET = Budget(steps=25, restarts=16, targets=2, queries=5)
# At these about a third of the images are left.
HARD = {"relu^4.5": Threat(math.inf, 0.04, "raw"), "batch norm": Threat(2, 0.15, "unit")}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with one_torch_thread():
        yield


@functools.cache
def _digits():
    return load("digits")


@functools.cache
def _weights(kind):
    """A random layer, statistics of its activation, and the best decoder on it."""
    generator = np.random.default_rng(0)
    encoder = generator.normal(0, math.sqrt(2 / INPUTS), (INPUTS, HIDDEN)).astype(np.float32)
    activation = np.maximum(unit_norm(_digits().train_images) @ encoder, 0) ** POWERS[kind]
    arrays = {"weights/encoder/kernel": encoder}
    if kind == "batch norm":
        mean, variance = activation.mean(axis=0), activation.var(axis=0)
        scale, shift = generator.uniform(0.5, 2, (2, HIDDEN))
        activation = (activation - mean) / np.sqrt(variance + 1e-5) * scale + shift
        arrays |= {
            f"weights/norm/{name}": array
            for name, array in zip(("mean", "var", "scale", "bias"), (mean, variance, scale, shift), strict=True)
        }
    spread = activation.std(axis=0)  # powers of small numbers are smaller still
    spread = np.maximum(spread, 0.01 * spread.max())
    decoder = LogisticRegression(max_iter=3000).fit(activation / spread, _digits().train_labels)
    arrays |= {"weights/decoder/kernel": (decoder.coef_ / spread).T, "weights/decoder/bias": decoder.intercept_}
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def _model(kind, space):
    return build(_weights(kind), POWERS[kind], SHAPE, 3.0 if space == "raw" else None)


def _images(space):
    images = _digits().test_images
    return (raw_pixels(images) if space == "raw" else unit_norm(images)), _digits().test_labels.astype(np.int32)


@pytest.mark.parametrize("kind", POWERS)
def test_weights_go_back_into_our_network_as_they_came_out(kind):
    out = weights(state_of(our_network(_weights(kind), POWERS[kind])))
    assert out.keys() == _weights(kind).keys()
    for name, array in out.items():
        np.testing.assert_array_equal(array, _weights(kind)[name])


@pytest.mark.parametrize("space", ["unit", "raw"])
@pytest.mark.parametrize("kind", POWERS)
def test_the_twin_gives_our_logits(kind, space):
    model, (images, labels) = _model(kind, space), _images(space)
    found = verified(model, images)
    assert found["logit_difference"] <= found["logit_tolerance"]
    assert np.mean(model.our_logits(images).argmax(axis=1) == labels) > 0.8


@pytest.mark.parametrize("name", ["weights/encoder/kernel", "weights/norm/var", "weights/decoder/bias"])
def test_a_twin_of_other_weights_is_refused(name):
    changed = _weights("batch norm") | {name: 1.1 * _weights("batch norm")[name] + 0.01}
    model, other = (build(each, 1.0, SHAPE, None) for each in (_weights("batch norm"), changed))
    with pytest.raises(ValueError, match="differ from ours"):
        verified(model._replace(twin=other.twin), _images("unit")[0])


@pytest.mark.parametrize(
    ("kind", "names"),
    [("relu^4.5", ("apgd_ce", "apgd_dlr", "apgd_targeted", "square")), ("batch norm", ("apgd_dlr", "square"))],
)
def test_no_attack_of_ours_is_weaker(kind, names, monkeypatch):
    threat, every = HARD[kind], attack_check.our_attacks
    monkeypatch.setattr(attack_check, "our_attacks", lambda *settings: {name: every(*settings)[name] for name in names})
    found = compare(_model(kind, threat.space), threat, BUDGET, *_images(threat.space))
    together = found["attacks"]["all together"]
    assert 0.15 < together["ours"] < found["clean"] - 0.15  # neither hopeless nor trivial
    assert list(found["attacks"]) == [*names, "all together"]
    assert found["agrees"], found
    assert abs(together["difference_points"]) <= 1
    for attack in list(found["attacks"].values())[:-1]:
        assert attack["outside"] == {"ours": 0, "theirs": 0}
        assert max(attack["disputed"].values()) <= 1  # at a boundary, by rounding


def test_the_judge_counts_only_what_lies_in_the_ball_and_in_the_bounds_and_fools_both():
    model, (images, labels) = _model("relu", "raw"), _images("raw")
    wrong = np.flatnonzero(model.our_logits(images).argmax(axis=1) != labels)
    right = np.flatnonzero(model.our_logits(images).argmax(axis=1) == labels)
    threat = Threat(math.inf, 0.01, "raw")
    assert judge(model, threat, images[wrong], images[wrong], labels[wrong]).broken.all()
    assert not judge(model, threat, images[right], images[right], labels[right]).broken.any()
    far = judge(model, threat, images[wrong], np.clip(images[wrong] - 0.011, 0, 1), labels[wrong])
    assert not far.broken.any()
    assert far.outside == len(wrong)
    dark = judge(model, threat, images[wrong] - np.float32(1e-6), images[wrong], labels[wrong])
    assert dark.outside == len(wrong)  # digits have black corners
    negated = {name: -array if "decoder" in name else array for name, array in _weights("relu").items()}
    other = build(negated, POWERS["relu"], SHAPE, 3.0)  # takes every image for something else
    for one_sided in (model._replace(twin=other.twin), model._replace(logits=other.logits)):
        verdict = judge(one_sided, threat, images[right], images[right], labels[right])
        assert not verdict.broken.any()
        assert verdict.disputed == len(right)


# --- the command ---


@pytest.fixture
def finished_run(tmp_path):
    folder = tmp_path / "run"
    for name in ("bp", "kh"):
        write_arrays(folder / "models" / f"{name}-0.npz", _weights("relu^4.5" if name == "kh" else "relu"))
    write_arrays(folder / "models" / "l2-0.npz", {"history/loss": np.zeros(3)})
    write_json(
        folder / "results.json",
        {
            "settings": {"dataset": "digits", "norm": 3.0, "decoder": {"power": 4.5}},
            "dataset": {"sha256": _digits().sha256},
        },
    )
    return folder


@pytest.fixture
def command(finished_run, tmp_path):
    def run(*options, models="bp,kh"):
        fixed = ("--run", str(finished_run), "--out", str(tmp_path / "out"), "--images", "20", "--models", models)
        return attack_check.main([*fixed, *options])

    return run


def _compared(points):
    def compare(model, threat, budget, images, labels):
        attack = {"ours": 0.5, "theirs": 0.5 - points / 100, "difference_points": points, "agrees": points <= 1}
        return {
            "epsilon": threat.epsilon,
            "clean": 0.9,
            "attacks": {"apgd_ce": attack, "all together": attack},
            "agrees": points <= 1,
        }

    return compare


@pytest.mark.parametrize(("points", "code"), [(-3.0, 0), (1.0, 0), (1.5, 1)])
def test_the_exit_code_says_whether_ours_are_weaker(points, code, command, tmp_path, monkeypatch):
    monkeypatch.setattr(attack_check, "compare", _compared(points))
    assert command() == code
    results = read_json(tmp_path / "out" / "attack_check.json")
    assert [list(results["models"][name]) for name in ("bp", "kh")] == 2 * [list(THREATS)]
    assert results["environment"]["versions"].keys() >= {"jax", "torch", "adversarial-robustness-toolbox"}
    assert results["settings"]["budget"] == {"steps": 20, "restarts": 1, "targets": 3, "queries": 200}
    assert results["command"].startswith("python -m benchmarks.attack_check --run")
    rows = (tmp_path / "out" / "attack_check.md").read_text().splitlines()
    assert sum(row.startswith("| **bp**" if code else "| bp") for row in rows) == len(THREATS)


def test_a_crippled_attack_of_ours_is_found_out(command, tmp_path, monkeypatch):
    whole = attack_check.our_attacks

    def crippled(threat, budget, image_shape):
        return {"apgd_dlr": whole(threat, Budget(steps=1), image_shape)["apgd_dlr"]}

    monkeypatch.setattr(attack_check, "our_attacks", crippled)
    monkeypatch.setattr(attack_check, "THREATS", {"hard": HARD["relu^4.5"]})
    assert command("--steps", "10", "--images", "297", models="kh") == 1
    entry = read_json(tmp_path / "out" / "attack_check.json")["models"]["kh"]["hard"]
    assert list(entry["attacks"]) == ["apgd_dlr", "all together"]
    assert not entry["attacks"]["all together"]["agrees"]
    assert entry["norm"] == "linf"


def test_a_second_run_does_what_is_missing(command, tmp_path, monkeypatch):
    done = []

    def stopping(model, threat, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(threat)
        return _compared(0.0)(model, threat, *rest)

    monkeypatch.setattr(attack_check, "compare", stopping)
    assert command(models="bp") == 130
    assert len(read_json(tmp_path / "out" / "attack_check.json")["models"]["bp"]) == 2
    done[:] = [None]  # stops after one more
    assert command(models="bp") == 130
    done.clear()
    assert command(models="bp") == 0
    assert done == [THREATS["raw_l2"]]


def test_a_check_of_other_settings_is_not_mixed(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(attack_check, "compare", _compared(0.0))
    assert command() == 0
    before = (tmp_path / "out" / "attack_check.json").read_bytes()
    assert command("--steps", "7") == 2
    assert "other models, settings or versions" in capsys.readouterr().err
    assert (tmp_path / "out" / "attack_check.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--run", "nowhere"], "holds no results.json"),
        (["--models", "bp,spectral"], "spectral-0.npz is missing"),
        (["--models", "l2"], "that training diverged"),
        (["--seed", "3"], "bp-3.npz is missing"),
        (["--images", "100000"], "there are 297 test images"),
        (["--images", "0"], "--images must be at least 1"),
        (["--steps", "0"], "--steps must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(options, says, command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(attack_check, "compare", lambda *arguments: pytest.fail("it has begun"))
    assert command(*options) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_models_of_other_images_are_refused(command, finished_run, capsys):
    results = read_json(finished_run / "results.json")
    write_json(finished_run / "results.json", {**results, "dataset": {"sha256": "0" * 64}})
    assert command() == 2
    assert "not what the run was trained on" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["torch", "art"])
def test_without_a_package_the_command_says_so(missing):
    program = (
        f"import sys, runpy; sys.modules[{missing!r}] = None; "
        "runpy.run_module('benchmarks.attack_check', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith(f"error: {missing} is missing")

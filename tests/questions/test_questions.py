"""The command that answers open questions: one small run of question 1, resumed, drawn again, and refused."""

import contextlib
import io
import shutil
import types

import numpy as np
import pytest
from figure_cases import built_but_not_printed
from pages import check_links
from question_cases import answer

from experiments.engine.tasks import Outcome
from experiments.images import Images
from experiments.questions import command as questions
from experiments.questions import question
from experiments.questions.drawing import mean_log
from experiments.questions.why.plan import WhyPlan
from experiments.questions.why.results import pack
from experiments.report import __main__ as report
from experiments.report import figures as drawing
from experiments.report.figures import Undrawn
from experiments.results.figure_arrays import FILE
from experiments.results.schema import read_results
from jax_bioadv import data
from jax_bioadv.storage import read_json

MODELS = "kh,bp,kh_start,rows_white"
LITTLE = (
    "--models",
    MODELS,
    "--why.attacked",
    "kh_start,rows_white",
    "--attacks.images",
    "20",
    "--decoder.epochs",
    "2",
)
LITTLE += ("--backprop.epochs", "2", "--layer.epochs", "2", "--noise-start.epochs", "2", "--why.looks", "0", "1")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing.figures, "save_figure", built_but_not_printed)
        code, said = answer("1", folder, *LITTLE)
    assert code == 0, said
    return folder / "1", said


def test_a_question_ends_in_results_figures_and_a_page_with_every_verdict(answered):
    folder, said = answered
    results = read_results(folder)
    assert results["question"] == 1
    assert list(results["models"]) == MODELS.split(",")
    page = (folder / "report.html").read_text()
    for claim in questions.QUESTIONS[1].claims:
        assert f'id="claim-{claim.name}"' in page
        assert claim.title in said
    for name in questions.QUESTIONS[1].captions:
        assert (folder / "figures" / f"{name}.png").is_file()
    assert "one seed: about these networks only" in page
    check_links(page)


def test_exponents_are_one_sum_whoever_measures_them(answered):
    results = read_results(answered[0])
    for entry in (*(one["alignment"] for one in results["models"].values()), *results["variants"].values()):
        assert entry["sum"][0] + entry["missing"][0] == pytest.approx(entry["images"][0])
    # A training that is looked at ends where the task of that name does.
    for name, course in (("kh", "kh"), ("bp", "bp")):
        last = results["courses"][course]["exponents"][-1]
        for key in ("images", "layer", "nearby"):
            assert last[key] == pytest.approx(results["models"][name]["alignment"][key], rel=1e-5)
    first = results["courses"]["kh"]["exponents"][0]
    assert first["layer"] == pytest.approx(results["models"]["kh_start"]["alignment"]["layer"], rel=1e-5)
    assert results["courses"]["kh"]["epochs"] == [0, 1, 2]


def test_only_what_is_attacked_has_a_decoder(answered):
    folder, _ = answered
    models = read_results(folder)["models"]
    assert [name for name, one in models.items() if "test_accuracy" in one] == ["kh_start", "rows_white"]
    assert sorted(path.stem for path in (folder / "models").iterdir()) == ["bp-0", "kh_start-0", "rows_white-0"]
    assert {(pair["first"], pair["second"]) for pair in read_json(folder / "results.json")["comparisons"]} == {
        ("kh_start", "rows_white")
    }


def test_the_same_command_goes_on_and_changes_nothing(answered, monkeypatch):
    folder, _ = answered
    monkeypatch.setattr(question, "draw", lambda *_: Undrawn([], []))
    before = [(folder / name).read_bytes() for name in ("results.json", FILE, "report.html")]
    code, said = answer("1", folder.parent, *LITTLE)
    assert code == 0
    [line] = [line for line in said.splitlines() if line.startswith("question 1, smoke on digits: ")]
    assert len({word for word in line.split() if word.isdigit()}) == 1  # all tasks are done
    assert [(folder / name).read_bytes() for name in ("results.json", FILE, "report.html")] == before


def test_the_page_is_written_again_from_what_is_published(answered, tmp_path, monkeypatch):
    folder, _ = answered
    shutil.copytree(folder / "figures", tmp_path / "figures")  # drawn from these two files, as they are again
    for name in ("results.json", FILE):
        shutil.copy(folder / name, tmp_path)
    drawn = []
    monkeypatch.setattr(report, "draw", lambda asked, directory: drawn.append(asked.number) or Undrawn([], []))
    assert report.main([str(tmp_path)]) == 0
    assert drawn == [1]
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_the_arrays_of_the_figures_have_a_row_for_each_seed(answered):
    with np.load(answered[0] / FILE) as arrays:
        assert {arrays[name].shape[0] for name in arrays if name.startswith("spectrum/")} == {1}
        assert arrays["rows/kh_start"].shape == (6, 64)


def test_what_a_later_question_cannot_work_with_is_refused_before_any_work_on_an_earlier_one(tmp_path):
    code, said = answer("12", tmp_path, *LITTLE, "--dimension.train-images", "5000")
    assert code == 2
    assert said.splitlines()[-1] == "error: dimension.train-images: digits has 1500"
    assert not list(tmp_path.glob("*/stages"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("7",), "there is no question 7; choose among 1, 2, 3, 4, 5"),
        (("--why.attacked", "kh,l2"), "why.attacked: 'l2' is not among --models"),
        (("--why.looks", "3", "1"), "why.looks must increase"),
        (("--why.ps", "1"), "why: p must be finite and at least 2"),
        (("--why.widths", "1000000"), "why: 1000000 rows cannot start from"),
        (("--models", "kh,absent"), "unknown model 'absent'"),
        (("--mixing.frozen", "kh,bp"), "mixing.frozen: 'bp' is no model with a frozen first layer"),
        (("--mixing.frozen", "kh,kh"), "mixing.frozen names a model twice"),
        (("--mixing.l2", "1e-2", "1e-3"), "mixing.l2: the smallest weight, 0.01, exceeds the largest, 0.001"),
        (("--mixing.powers", "0.5"), "mixing.powers must be at least 1"),
        (("--mixing.powers",), "mixing.powers needs one value at least"),
        (("--why.deltas", "0.1", "0.10000001"), "why.deltas has one twice"),
    ],
)
def test_what_cannot_work_is_refused_before_any_task(arguments, message, tmp_path):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        numbers = () if arguments[0] == "7" else ("1",)
        code = questions.main(
            [*numbers, "--preset", "smoke", "--out", str(tmp_path), "--why.attacked", "kh", *arguments]
        )
    assert code == 2
    assert message in said.getvalue().splitlines()[-1]
    assert not list(tmp_path.glob("*/stages"))


def test_a_seed_that_is_missing_leaves_the_mean_of_the_others():
    curves = {"spectrum": np.array([[1.0, 4.0, np.nan], [np.nan] * 3, [4.0, 9.0, 3.0]])}
    np.testing.assert_allclose(mean_log(curves, "spectrum"), [2.0, 6.0, np.nan])


def test_rows_of_a_layer_that_diverged_are_left_out():
    chosen = questions.parse(["1", "--preset", "smoke", "--models", "kh,bp", "--why.attacked", "kh"]).settings
    plan = WhyPlan(chosen, Images(data.load("digits"), chosen.norm))
    diverged = types.SimpleNamespace(find=lambda task: Outcome({"diverged": f"{task.name}: a weight grew"}))
    assert set(pack(plan, diverged)) == {"image_shape"}

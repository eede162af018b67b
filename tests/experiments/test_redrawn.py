"""What is drawn at the end of a run, and again from its folder: figures that fail, folders that hold no run."""

import json
import shutil
import subprocess
import sys

import pytest

from experiments.report import __main__ as report
from experiments.report import closing, markdown
from experiments.report.figures import draw_all


def test_a_figure_that_fails_fails_alone_and_is_named(copied, run_smoke, monkeypatch):
    """Whatever it raises, and whether it fails in building or in saving."""

    def fails(*arguments):
        raise RuntimeError("Failed to process string with tex")

    saved = []

    def save(figure, directory, name):
        if name == "figure5":
            raise ValueError("image size is too large")
        saved.append(name)
        (directory / f"{name}.png").touch()

    for name in ("threat_figure", "landscape_figure"):
        monkeypatch.setattr(closing.drawing.figures, name, fails)
    monkeypatch.setattr(closing.drawing.figures, "save_figure", save)
    for name in ("results.json", "report.html", "figures/figure3.png"):
        (copied / name).unlink()
    run = run_smoke(copied)
    assert run.code == 1
    assert run.errors.splitlines()[-1].startswith("error: figure4, figure5, figure6 could not be drawn")
    assert "Traceback" in run.log
    assert "Traceback" not in run.errors
    notes = json.loads((copied / "results.json").read_text())["notes"]
    assert "figure6 could not be drawn: RuntimeError: Failed to process string with tex" in notes
    assert "figure6 could not be drawn" in (copied / "report.html").read_text()
    others = {"figure1", "figure2", "figure3", "figure7", "figure8", "figure9", "figureA1", "figureA2"}
    assert set(saved) == others | {"training_curves"}
    assert (copied / "figures" / "figure3.png").exists()
    for name in ("figure5", "figure6"):
        assert not list((copied / "figures").glob(f"{name}.*")), "an older one would pass for this one"


def test_results_are_written_before_the_figures(copied, run_smoke, monkeypatch):
    """Not even what ends the process while it draws takes them away."""

    written = json.loads((copied / "results.json").read_text())["models"]

    def draws(directory):
        assert json.loads((directory / "results.json").read_text())["models"] == written
        raise KeyboardInterrupt

    (copied / "results.json").unlink()
    monkeypatch.setattr(closing.drawing, "draw_all", draws)
    assert run_smoke(copied).code == 130
    assert (copied / "results.json").exists()


@pytest.mark.parametrize("main", [report.main, markdown.main], ids=["report", "markdown"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing: finish the run first"),
        (b"", "no whole JSON file"),
        (b'{"schema": 1, "models"', "no whole JSON file"),
        (b"\xff\xfe", "no whole JSON file"),
        (b"[1, 2]", "no results file of schema 1"),
        (b'{"schema": 2}', "no results file of schema 1"),
        (b'{"schema": 1, "models": {"kh": 1}}', "lacks what"),
        (b'{"schema": 1, "models": [], "seeds": 3}', "lacks what"),
    ],
)
def test_a_wrong_folder_is_told_in_one_line(main, content, said, tmp_path, refused):
    if content is not None:
        (tmp_path / "results.json").write_bytes(content)
    assert said in refused(main([str(tmp_path)]))


@pytest.mark.parametrize("main", [report.main, markdown.main], ids=["report", "markdown"])
@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_no_folder_at_all_is_told_in_one_line(main, folder, tmp_path, refused):
    (tmp_path / "file").write_text("")
    refused(main([str(tmp_path / folder)]))


@pytest.mark.parametrize("content", ["[]", "{}", '{"grid": 3}', "no JSON"])
def test_a_sweep_that_is_none_is_told_in_one_line(content, tmp_path, refused):
    (tmp_path / "sweep.json").write_text(content)
    (tmp_path / "sweep.csv").write_text("stage,model\ntrain,kh\n")
    assert "name the folder of a sweep" in refused(report.main([str(tmp_path)]))


def test_a_published_folder_is_drawn_again_to_the_same_bytes(smoke, tmp_path, monkeypatch):
    """By another process, from two files; without the arrays what is there stays, and is named."""
    for name in ("results.json", "figures.npz"):
        shutil.copy(smoke.directory / name, tmp_path)
    words = [sys.executable, "-m", "experiments.report", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{tmp_path / 'report.html'}\n"

    def made(folder):
        files = [folder / "report.html", *(folder / "figures").iterdir()]
        return {path.relative_to(folder): path.read_bytes() for path in files}

    assert made(tmp_path) == made(smoke.directory)
    (tmp_path / "figures.npz").unlink()
    save, saved = closing.drawing.figures.save_figure, set()

    def save_one(figure, directory, name):
        saved.add(name)
        if name == "figure7":  # to save all would take as long again
            save(figure, directory, name)

    monkeypatch.setattr(closing.drawing.figures, "save_figure", save_one)
    undrawn = draw_all(tmp_path)
    assert undrawn.failed == []
    assert saved == {"figure5", "figure6", "figure7", "figure8", "figure9", "figureA2"}
    assert {note.split()[0] for note in undrawn.notes} == {
        "figure1", "figure2", "figure3", "figure4", "figureA1", "training_curves",
    }  # fmt: skip
    assert all("was not drawn again: there is no figures.npz" in note for note in undrawn.notes)
    assert made(tmp_path) == made(smoke.directory)

"""Which figures a run has: the paper's models apart from the controls, and no crowd in any."""

import json

import numpy as np
import pytest

from experiments.models import CONTROLS, MODELS, PAPER_MODELS
from experiments.report import figures
from experiments.report.figures import FAMILIES, ORIENTATION, Drawing, family_of, makers

FEW = 7
BY_MODEL = {"figure1", "figure3", "figure4", "figure5", "figure6", "figure7", "figure9", "figureA2", "training_curves"}


def drawn(*models):
    """For each figure of models which of them it is given."""
    drawing = Drawing.__new__(Drawing)
    drawing.results = {"models": dict.fromkeys(models)}
    return {name: make.args[0] for name, make in makers(drawing).items() if hasattr(make, "args")}


def test_the_papers_figures_show_the_papers_models_and_controls_have_their_own():
    found = drawn(*MODELS)
    assert set(found) == BY_MODEL | {f"{name}_{family}" for name in BY_MODEL for family in FAMILIES}
    for name in BY_MODEL:
        assert found[name] == list(PAPER_MODELS)
        shown = [found[f"{name}_{family}"] for family in FAMILIES]
        assert sorted(model for models in shown for model in models if model in CONTROLS) == sorted(CONTROLS)
        assert all(models[:2] == list(ORIENTATION) and len(models) <= FEW for models in shown)


def test_a_dead_layer_has_no_spectrum_and_leaves_those_of_other_seeds():
    drawing = Drawing.__new__(Drawing)
    drawing.results = {"models": {"l2": {}}, "baselines": {}, "seeds": [0, 1]}
    drawing.arrays = {"spectrum/l2/images": np.array([[0.0, 0.0], [2.0, 1.0]])}
    dead, alive = drawing._curves("l2", "images")
    assert dead is None
    assert alive.eigenvalues.tolist() == [2.0, 1.0]


def test_without_controls_there_are_no_figures_of_them():
    assert set(drawn(*PAPER_MODELS)) == BY_MODEL


@pytest.mark.parametrize(("model", "family"), [("kh", None), ("kmeans", "layers"), ("my_own", "networks")])
def test_a_control_belongs_to_the_family_of_its_first_layer(model, family):
    assert family_of(model) == family


def test_figures_of_controls_go_with_the_controls(tmp_path, monkeypatch):
    """Else the page would show those of an earlier run of the folder."""
    (tmp_path / "results.json").write_text(json.dumps({"schema": 1, "seeds": [0], "models": {"kh": {}}}))
    (tmp_path / "figures").mkdir()
    for name in ("figure1_layers.png", "figure1_layers.pdf", "figure1.png"):
        (tmp_path / "figures" / name).touch()
    monkeypatch.setattr(figures, "makers", lambda drawing: {})
    figures.draw_all(tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["figure1.png"]


@pytest.mark.parametrize("name", ["figure1", "figureA2"])
def test_models_that_all_diverged_leave_nothing_to_draw(name):
    drawing = Drawing.__new__(Drawing)
    entry = {
        "test_accuracy": [None],
        "critical_l2": {"pgd": {"median": [None]}},
        "relative_accuracy": {"pgd": {"epsilons": [1.0], "accuracy": [None]}},
    }
    drawing.results, drawing.arrays, drawing.seeds = {"models": {"kh": entry}}, {"class_names": None}, 1
    with pytest.raises(ValueError, match="no "):
        makers(drawing)[name]()

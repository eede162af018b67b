"""Which figures a run has: the paper's models apart from the controls, and no crowd in any."""

import pytest

from experiments.models import CONTROLS, MODELS, PAPER_MODELS
from experiments.report.figures import FAMILIES, ORIENTATION, Drawing, family_of, makers

FEW = 7
BY_MODEL = {"figure1", "figure3", "figure4", "figureA2", "training_curves"}


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


def test_without_controls_there_are_no_figures_of_them():
    assert set(drawn(*PAPER_MODELS)) == BY_MODEL


@pytest.mark.parametrize(("model", "family"), [("kh", None), ("kmeans", "layers"), ("my_own", "networks")])
def test_a_control_belongs_to_the_family_of_its_first_layer(model, family):
    assert family_of(model) == family

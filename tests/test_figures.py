"""Every figure: nothing leaks, what cannot be drawn is refused, and files are whole and the same each time."""

import itertools

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from figure_cases import MODELS, STYLES, drawn, every_figure, histories, plane, robustness_inputs, synapses, texts
from hypothesis import given
from hypothesis import strategies as st

from jax_bioadv import figures


@pytest.mark.parametrize(("models", "seeds", "styles"), [(MODELS, 1, None), (("bp", "control_rows"), 3, STYLES)])
@pytest.mark.parametrize("name", list(every_figure()))
def test_each_figure_renders_without_warning_and_leaves_no_trace(name, models, seeds, styles):
    before = dict(matplotlib.rcParams)
    drawn(every_figure(models, seeds, styles)[name]())
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "build",
    [
        lambda: figures.robustness_figure({}, {}),
        lambda: figures.robustness_figure({"pgd": {}}, {"pgd": {}}),
        lambda: figures.accuracy_robustness_figure({}, {}),
        lambda: figures.accuracy_robustness_figure({"kh": [0.5, 0.5]}, {"pgd": {"kh": [1.0]}}),
        lambda: figures.layer_spectra_figure({}),
        lambda: figures.model_spectra_figure({"images": {}}),
        lambda: figures.landscape_figure({"kh": None}),
        lambda: figures.landscape_figure({"kh": plane(classes=3)}, ["one", "two"]),
        lambda: figures.landscape_figure({"kh": plane(np.nan)}),
        lambda: figures.training_curves_figure({}),
        lambda: figures.pruning_figure(synapses()[0], (8, 8, 3), synapses()[1], {}),
        lambda: figures.pruning_figure(np.ones((20, 64)), (8, 8, 1), synapses()[1], {}),
    ],
)
def test_inputs_that_cannot_be_drawn_are_refused(build):
    with pytest.raises(ValueError, match=r".{20,}"):
        build()


def test_a_model_looks_the_same_in_every_company():
    everything = figures.model_styles([*MODELS, "control"], STYLES)
    for subset in itertools.combinations([*MODELS, "control"], 2):
        assert all(style == everything[model] for model, style in figures.model_styles(subset, STYLES).items())


@given(st.sets(st.text("abcdefgh", min_size=1, max_size=6), max_size=5))
def test_styles_tell_models_apart(unknown):
    styles = figures.model_styles([*MODELS, *unknown], STYLES)
    assert len({style.color for style in styles.values()}) == len(styles)


def test_models_come_in_the_order_of_their_styles_then_by_name():
    models = ["zeta", "spectral", "my_own", "bp", "kh"]
    assert list(figures.model_styles(models, STYLES)) == ["kh", "bp", "spectral", "my_own", "zeta"]
    assert list(figures.model_styles(models)) == sorted(models)


@pytest.mark.parametrize("name", ["robustness", "accuracy", "models", "landscapes", "training"])
def test_a_figure_calls_models_as_their_styles_say(name):
    """In every figure of models, and in that order; without a style by the model's own name."""
    told = texts(every_figure(("bp", "kh", "my_own"), 1, STYLES)[name]())
    places = [min(i for i, text in enumerate(told) if text.startswith(label)) for label in ("the bp", "my own")]
    assert places == sorted(places)
    assert any(text.startswith("the kh") for text in told)
    assert not any(text.startswith("kh") for text in told)


def bytes_written(folder):
    figure = figures.training_curves_figure(histories(["kh"]))
    return [path.read_bytes() for path in figures.save_figure(figure, folder, "curves", dpi=30)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return bytes_written(tmp_path_factory.mktemp("saved"))


def test_pictures_have_a_palette(saved):
    """A third of the room of true colour: the report embeds them."""
    assert saved[0][25] == 3, "the colour type of the header: indexed"


def test_saved_files_are_whole_and_the_same_each_time(tmp_path, saved):
    assert bytes_written(tmp_path) == saved
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.pdf", "curves.png"]


OTHER_LOOK = {"axes.facecolor": "black", "xtick.direction": "in", "font.family": "serif", "savefig.bbox": "tight"}


@pytest.mark.parametrize("theirs", [{"text.usetex": True}, OTHER_LOOK], ids=["LaTeX, which is missing", "another look"])
def test_a_users_own_settings_change_no_file(tmp_path, monkeypatch, saved, theirs):
    """As a matplotlibrc gives them: drawn and saved on the library's defaults all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with matplotlib.rc_context(theirs):
        assert bytes_written(tmp_path) == saved


def test_attacks_come_in_the_order_of_their_names_and_a_strength_without_one_has_the_attacks():
    attacks = ("gaussian", "my_own_attack", "pgd", "square")
    names = {"square": "Square", "pgd": "PGD"}
    inputs = robustness_inputs(("kh",), attacks=attacks)
    labels = texts(figures.robustness_figure(*inputs, attacks=names, strengths={"pgd": "L∞"}))
    expected = ("Square", "L∞", "gaussian", "my own attack")
    assert [label for label in labels if label.startswith("perturbation")] == [
        f"perturbation ε ({e})" for e in expected
    ]

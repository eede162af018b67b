"""The command that evaluates a network of one's own: held against a reproduction's numbers, resumed, and refused."""

import contextlib
import copy
import io
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from brought_cases import one_hidden_layer
from pages import check_links

from experiments import evaluate
from experiments.engine.tasks import Outcome
from experiments.evaluation_plan import EvaluationPlan
from experiments.images import Images, RawImages
from experiments.networks import purpose_key
from experiments.report import __main__ as report
from experiments.report import closing
from experiments.report.evaluation import CAPTIONS, render, same_threats
from experiments.report.figures import Undrawn
from experiments.report.summary import evaluation_in_short
from experiments.results import evaluation, figure_arrays
from experiments.results.evidence import COMPARED, Evidence
from experiments.results.schema import read_results
from jax_bioadv import data
from jax_bioadv.analysis.boundaries import landscape, random_plane
from jax_bioadv.analysis.robustness import median_with_censoring
from jax_bioadv.figures import style
from jax_bioadv.figures.seeds import overall_at
from jax_bioadv.weights import load_weights

# Little of everything that is not compared.
LITTLE = ("--taps.images", "60", "--spectra.noise-images", "60", "--boundaries.planes", "1", "--boundaries.radii", "4")
LITTLE += ("--boundaries.resolution", "4", "--smoothness.images", "3")


def run(folder, *arguments):
    """Exit code, what was logged, and the results."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = evaluate.main(["--preset", "smoke", "--out", str(folder), *LITTLE, *arguments])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def unit(smoke, tmp_path_factory):
    """The backpropagation network of the smoke run, evaluated as if a user had brought it, and the command."""
    folder = tmp_path_factory.mktemp("unit")
    command = ("--network", "brought_cases:one_hidden_layer", "--weights", str(smoke.directory / "models" / "bp-0.npz"))
    command += ("--input", "unit", "--name", "mine", "--references", str(smoke.directory))
    code, said = run(folder, *command)
    assert code == 0, said
    return folder, command, read_results(smoke.directory)


@pytest.fixture(scope="module")
def raw(smoke, tmp_path_factory):
    """A convolutional network of raw pixels beside the same references: some of its tasks, and no figures."""
    folder = tmp_path_factory.mktemp("raw")
    command = ("--network", "brought_cases:Convolutional", "--mean", "0.3", "--std", "0.4")
    every_task = EvaluationPlan.all_tasks

    def some_tasks(plan):
        taken = ("network", "spectra")
        return [task for task in every_task(plan) if task.stage in taken or task.name in ("pgd", "jacobian-dense")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluationPlan, "all_tasks", some_tasks)
        patch.setattr(closing, "draw", lambda directory: Undrawn([], []))
        code, said = run(folder, *command, "--references", str(smoke.directory))
    assert code == 0, said
    return read_results(folder), folder


def test_a_networks_numbers_are_those_of_the_reproduction_that_trained_it(unit):
    folder, _, reproduced = unit
    mine, theirs = read_results(folder)["models"]["mine"], reproduced["models"]["bp"]
    for key in ("test_accuracy", "n_attacked"):
        assert mine[key] == theirs[key]
    for key in ("relative_accuracy", "critical_linf", "critical_l2"):
        assert mine[key] == {attack: theirs[key][attack] for attack in mine[key]}, key
    for key in ("attacks", "clean"):
        ours, others = (one["robust_accuracy"]["raw_l2"][key] for one in (mine, theirs))
        assert ours == (others if key == "clean" else {attack: others[attack] for attack in ours})
    for bound in ("lipschitz", "relaxation"):
        assert mine["certified_l2"][bound] == theirs["certified_l2"][bound]


def test_the_landscape_is_that_of_the_first_plane_of_the_boundaries(unit, smoke):
    folder, *_ = unit
    network = load_weights(one_hidden_layer(), smoke.directory / "models" / "bp-0.npz", (8, 8, 1))
    digits = data.load("digits")
    image = Images(digits, 3.0).test[0]
    [key] = jax.random.split(purpose_key(0, "planes"), 1)
    exact = landscape(network, image, random_plane(key, 64), 4.0, 4)
    arrays = figure_arrays.read(folder)
    found = figure_arrays.landscapes_of(arrays, ["mine"])["mine"]
    np.testing.assert_array_equal(found.predicted_class, exact.predicted_class)
    np.testing.assert_allclose(found.confidence, exact.confidence, rtol=1e-3)
    np.testing.assert_allclose(found.coordinates, np.linspace(-4, 4, 4), rtol=1e-3)
    assert figure_arrays.class_names_of(arrays) == list(digits.class_names)


def test_a_folder_of_before_is_drawn_without_its_landscape(unit, tmp_path, unprinted):
    folder, *_ = unit
    shutil.copy(folder / "results.json", tmp_path)
    arrays = figure_arrays.read(folder)
    kept = {name: one for name, one in arrays.items() if name != "class_names" and not name.startswith("landscape")}
    figure_arrays.write(kept, tmp_path)
    assert report.main([str(tmp_path)]) == 0
    assert not (tmp_path / "figures" / "landscape.png").exists()
    assert (tmp_path / "figures" / "taps.png").is_file()


def test_one_page_has_the_network_beside_the_references(unit):
    folder, _, reproduced = unit
    page = (folder / "report.html").read_text()
    check_links(page)
    glance = page[page.index("At a glance") :]
    glance = glance[: glance.index("</table>")]
    assert glance.count("<tr>") == 2 + len(reproduced["models"])
    assert glance.index("<td>mine</td>") < glance.index("Krotov–Hopfield")
    for name in CAPTIONS:
        assert (folder / "figures" / f"{name}.png").is_file()


def test_the_same_command_goes_on_and_changes_nothing(unit, monkeypatch):
    folder, command, _ = unit
    monkeypatch.setattr(closing, "draw", lambda directory: Undrawn([], []))
    before = [(folder / name).read_bytes() for name in ("results.json", "figures.npz", "report.html")]
    code, said = run(folder, *command)
    assert code == 0
    [line] = [line for line in said.splitlines() if line.startswith("mine on digits: ")]
    tasks, done = (int(word) for word in line.split() if word.isdigit())
    assert tasks == done > 10
    assert [(folder / name).read_bytes() for name in ("results.json", "figures.npz", "report.html")] == before


def test_it_is_drawn_again_from_what_is_published(unit, tmp_path, monkeypatch):
    folder, *_ = unit
    monkeypatch.setattr(style.FigureCanvasPdf, "print_pdf", lambda *arguments, **options: None)  # the page has none
    for name in ("results.json", figure_arrays.FILE):
        shutil.copy(folder / name, tmp_path)
    assert report.main([str(tmp_path)]) == 0
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_numbers_of_two_spaces_share_no_column(raw):
    results, folder = raw
    [model] = results["models"].values()
    assert overall_at(results["references"]["models"]["kh"], "test_accuracy").over == "images"
    assert results["network"]["space"] == "raw"
    assert list(model["robust_accuracy"]) == ["raw_l2"]
    beside = same_threats(results)["models"]
    assert all({one["space"] for one in entry["robust_accuracy"].values()} <= {"raw"} for entry in beside.values())
    page = (folder / "report.html").read_text()
    beside = page[page.index('id="beside"') : page.index('id="inside"')]
    assert "Measures of smoothness" not in beside
    assert "Median critical distance, L∞" not in beside
    norms = RawImages(data.load("digits"), 3.0).test_norms
    with np.load(folder / "arrays" / "pgd.npz") as arrays:
        each = arrays["critical_l2"] / norms[arrays["images"]]
    assert model["critical_l2_in_norms"]["pgd"]["median"] == [median_with_censoring(each)]


def test_in_norms_too_an_image_is_as_near_as_any_attack_found_it():
    """Where the minimum-norm attack fails on the first two of three."""
    lengths = {"minimum_norm": [np.inf, np.inf, 1.0]}
    outcomes = {
        name: Outcome({}, {"images": np.arange(3), "critical_l2": np.array(lengths.get(name, [0.8, 0.9, 1.2]))})
        for name in COMPARED
    }
    plan = SimpleNamespace(
        name="mine", settings=SimpleNamespace(seeds=1), images=SimpleNamespace(test_norms=np.full(3, 2))
    )
    plan.minimum_norm, plan.attack = (lambda *of: "minimum_norm"), (lambda attack, *of: attack)
    found = evaluation._in_norms(plan, SimpleNamespace(evidence=Evidence(plan, outcomes.get)))["minimum_norm"]
    assert (found["median"], found["censored"]) == ([0.45], [0.0])


def test_maps_have_spectra_of_their_positions_too(raw):
    taps = next(iter(raw[0]["models"].values()))["taps"]
    assert list(taps) == ["convolution", "dense"]
    assert ["positions" in tap for tap in taps.values()] == [True, False]
    assert taps["convolution"]["found_by"]["images"] == {"side": "samples", "samples": 60, "features": 64}
    # A spectrum falls off towards the number of its features: of ten no window is long enough.
    assert taps["convolution"]["spectrum"]["images"]["window"][0][1] <= 64 // 4
    assert taps["dense"]["spectrum"]["images"]["alpha"] == [None]


def test_references_that_were_attacked_otherwise_are_not_beside_it(raw):
    results, folder = copy.deepcopy(raw[0]), raw[1]
    references, [name] = results["references"], results["models"]

    def attacked_at(epsilon):
        references["threats"]["raw_l2"] = epsilon
        for entry in references["models"].values():
            entry["robust_accuracy"]["raw_l2"]["epsilon"] = epsilon
        shown = {model for model, one in same_threats(results)["models"].items() if "raw_l2" in one["robust_accuracy"]}
        row = next(line for line in evaluation_in_short(results, folder).splitlines() if line.startswith("backprop "))
        return shown, "–" in row, "--threats.raw-l2 2.0004 sets this network beside" in render(results, folder)

    assert attacked_at(1.0) == ({name, *references["models"]}, False, False)
    assert attacked_at(2.0004) == ({name}, True, True)
    assert "Of the references: Budgets" not in render(results, folder)
    references["threats"]["steps"] = 99
    assert "Of the references: Budgets for each image: 99 steps" in render(results, folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--network: name the module and function that make your network"),
        (("--network", "brought_cases:nine_classes"), "digits, which has 10 classes"),
        (("--network", "brought_cases:Convolutional", "--taps", "convolutoin"), "has no 'convolutoin'; there are"),
        (("--network", "brought_cases:plain_function", "--taps", "dense"), "has no inside to tap"),
        (("--network", "brought_cases:Convolutional", "--weights", "absent.npz"), "absent.npz'. Copy"),
        (("--network", "brought_cases:Convolutional", "--names", "a"), "--names: give pairs such as a.b=c"),
        (("--network", "brought_cases:Convolutional", "--flattened", "dense=8"), "--flattened: give height, width and"),
        (("--network", "brought_cases:Convolutional", "--references", "no/run"), "--references: no/run holds no"),
        (("--network", "brought_cases:Convolutional", "--name", "kh"), "--name: kh is a reference model's"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_any_task(arguments, message, tmp_path):
    code, said = run(tmp_path, *arguments)
    assert code == 2
    assert message in said.splitlines()[-1]
    assert not (tmp_path / "stages").exists()

"""The members of a sweep, their tasks, the table of what was found on them and its figure."""

import csv
import json

import numpy as np
import pytest
from figure_cases import drawn

from experiments.engine.tasks import Outcome
from experiments.images import Images
from experiments.members import members_of, show
from experiments.report.sweep_figure import draw_sweep, figure_of
from experiments.results.sweep_table import METRICS, write_table
from experiments.settings.grid import parse_grid
from experiments.settings.paths import with_settings
from experiments.settings.presets import PRESETS

SMALL = with_settings(PRESETS["smoke"], {"models": "kh,bp", "seeds": 2, "hidden": 12})


@pytest.fixture
def images(digits):
    return Images(digits, SMALL.norm)


def test_members_are_every_model_and_seed_at_every_point(images):
    members = members_of(SMALL, images, parse_grid(["layer.delta=0,0.4"], SMALL))
    assert [one.number for one in members] == list(range(8))
    found = [(one.point["layer.delta"], one.model, one.seed) for one in members]
    assert found == [(delta, model, seed) for delta in (0.0, 0.4) for model in ("kh", "bp") for seed in (0, 1)]
    assert all(one.plan.settings.layer.delta == one.point["layer.delta"] for one in members)
    assert [one.model for one in members_of(SMALL, images, {})] == ["kh", "kh", "bp", "bp"]


@pytest.mark.parametrize("text", ["layer.delta=0,0.4", "norm=1,2", "spectra.noise-images=20,30", "norm=2,3"])
def test_images_and_noise_are_not_copied_from_point_to_point(text, images):
    """What only the norm or the number of noise images decides is made once for each of them."""
    plans = [one.plan for one in members_of(SMALL, images, parse_grid([text, "decoder.power=1,2,3"], SMALL))]
    for name in ("train", "test"):
        copies = {id(getattr(one.images, name)) for one in plans}
        assert len(copies) == len({one.settings.norm for one in plans}), name
    counts = [one.settings.spectra.noise_images for one in plans]
    noise = {id(one.images.noise(count)) for one, count in zip(plans, counts, strict=True)}
    assert len(noise) == len(set(counts))
    assert len({id(one.images.train_labels) for one in plans}) == 1


def test_members_share_the_tasks_that_do_not_read_what_tells_them_apart(images):
    def tasks(text, stage, model):
        members = members_of(SMALL, images, parse_grid([text], SMALL))
        return len({one.stages(("spectra", "fgsm"))[stage].fingerprint for one in members if one.model == model})

    assert tasks("decoder.power=1,2,3", "layer", "kh") == 2, "one for each seed"
    assert tasks("decoder.power=1,2,3", "train", "kh") == 6
    assert tasks("decoder.power=1,2,3", "fgsm", "bp") == 2
    assert tasks("layer.delta=0,0.4", "fgsm", "kh") == 4
    assert tasks("norm=2,3", "train", "bp") == 4
    assert tasks("attacks.images=5,6", "train", "kh") == 2
    assert tasks("attacks.images=5,6", "fgsm", "kh") == 4


# The table and its figure.

HISTORY = {"history/loss": np.array([2.0, 1.0])}
FOUND = {
    "layer": Outcome({"converged": True, "unconverged_rows": 1, "wrong_attractor_rows": 0}),
    "train": Outcome({"test_accuracy": 0.9, "converged": True, "decoder_converged": False, "pruned_units": 3}, HISTORY),
    "spectra": Outcome({"fits": {"images": {"alpha": 1.0, "r2": 0.9}, "noise": {"impossible": "few"}}}),
    "jacobian": Outcome({"preactivation": 2.0}, {"activation": np.array([1.0, 3.0])}),
    "gaussian": Outcome({"n_attacked": 3}, {"critical_l2": np.array([1.0, np.inf, np.inf])}),
    "fgsm": Outcome({"n_attacked": 3, "not_monotone": 1}, {"critical_l2": np.array([1.0, 2.0, np.inf])}),
    "pgd": Outcome({"n_attacked": 0}),
}
MEASURED = ("spectra", "jacobian", "gaussian", "fgsm", "pgd")


def table_of(settings, images, texts, folder, diverged=()):
    """A finished sweep's folder, with the same findings for all members but those that diverged."""
    grid = parse_grid(texts, settings)
    members = members_of(settings, images, grid)
    stage_of = {}
    for one in members:
        stage_of |= {task.name: stage for stage, task in one.stages(MEASURED).items()}

    def find(task):
        number = numbers[task.fingerprint][0]
        return Outcome({"diverged": 'loss is nan, "sadly"'}) if number in diverged else FOUND[stage_of[task.name]]

    numbers = {}
    for one in members:
        for task in one.stages(MEASURED).values():
            numbers.setdefault(task.fingerprint, []).append(one.number)
    write_table(folder / "sweep.csv", members, MEASURED, grid, find)
    (folder / "sweep.json").write_text(json.dumps({"grid": grid}))
    with (folder / "sweep.csv").open(newline="") as stream:
        return list(csv.DictReader(stream)), members, grid


def test_the_table_has_every_member_and_stage_once_and_every_cell_can_be_read(images, tmp_path):
    table, members, grid = table_of(
        SMALL, images, ["layer.delta=0,0.4", "backprop.learning-rates=1e-2,1e-3"], tmp_path, {2}
    )
    stages = [(str(one.number), stage) for one in members for stage in one.stages(MEASURED)]
    assert [(row["member"], row["stage"]) for row in table] == stages
    for row in table:
        member = members[int(row["member"])]
        assert (row["model"], int(row["seed"])) == (member.model, member.seed)
        assert {path: row[path] for path in grid} == {path: show(value) for path, value in member.point.items()}
        assert list(row) == ["member", "model", "seed", *grid, "stage", "diverged", *METRICS]
        cells = {name: row[name] for name in METRICS if row[name]}
        assert bool(row["diverged"]) != bool(cells)
        assert all(cell in ("True", "False") or float(cell) >= 0 for cell in cells.values())
    read = {row["stage"]: row for row in table if row["member"] == "0"}
    assert (read["gaussian"]["median_critical_l2"], read["gaussian"]["censored"]) == ("inf", repr(2 / 3))
    assert (read["fgsm"]["median_critical_l2"], read["fgsm"]["not_monotone"]) == ("2.0", "1")
    assert (read["pgd"]["n_attacked"], read["pgd"]["median_critical_l2"]) == ("0", "")
    assert (read["spectra"]["alpha_images"], read["spectra"]["alpha_noise"]) == ("1.0", "")
    assert (read["train"]["loss"], read["jacobian"]["activation_norm"]) == ("1.0", "2.0")


GRIDS = {
    "empty": [],
    "one": ["layer.delta=0,0.4"],
    "two": ["layer.delta=0,0.4", "layer.p=2,3"],
    "three": ["layer.delta=0,0.4", "hidden=12,16", "decoder.power=1,2"],
    "lists": ["backprop.learning-rates=1e-2,1e-3"],
    "words": ["layer.start=normal,samples", "spectral.anchored=true,false"],
}


@pytest.mark.parametrize("models", ["kh,bp", "kh"])
@pytest.mark.parametrize("grid", GRIDS)
def test_any_grid_is_drawn(grid, models, images, tmp_path):
    several = with_settings(SMALL, {"models": models})
    table, _, values = table_of(several, images, GRIDS[grid], tmp_path, {0})
    figure = figure_of(table, values)
    accuracy = drawn(figure).axes[0]
    assert len(accuracy.containers) == len(models.split(",")) * int(
        np.prod([len(one) for one in list(values.values())[1:]])
    )
    assert len(accuracy.get_xticks()) == len(next(iter(values.values()), [0]))
    assert {panel.get_ylabel() for panel in figure.axes} >= {"test accuracy", "median critical L2, FGSM"}
    if grid == "one" and models == "kh":
        pictures = draw_sweep(tmp_path)
        assert [path.name for path in pictures] == ["sweep.png", "sweep.pdf"]
        assert all(path.stat().st_size for path in pictures)


def test_where_nothing_was_measured_nothing_is_drawn(tmp_path):
    write_table(tmp_path / "sweep.csv", [], (), {}, find=None)
    (tmp_path / "sweep.json").write_text(json.dumps({"grid": {}}))
    assert draw_sweep(tmp_path) == []

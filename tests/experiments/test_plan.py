"""The plan of an experiment: a setting reaches the tasks that depend on it and no other, and none is forgotten."""

import dataclasses
from pathlib import Path

import pytest

from experiments.groups import THREATS
from experiments.plan import STAGES, Plan
from experiments.settings import ATTACKS, CONTROLS, MODELS, PRESETS, PUBLISHED_NOISE
from experiments.study import Study


def fingerprints(settings, dataset) -> dict[str, str]:
    plan = Plan(Study("smoke", settings, dataset, Path("unused")))
    tasks = plan.all_tasks()
    assert len({task.name for task in tasks}) == len(tasks), "two tasks would share their files"
    assert {task.stage for task in tasks} == set(STAGES)
    return {task.name: task.fingerprint for task in tasks}


STRENGTHS = PRESETS["smoke"].threats.names
EVIDENCE = ("minimum_norm", "masking", "bounds", "smoothness", "boundaries")
TRANSFER = {f"transfer-{threat}-0" for threat in STRENGTHS}


def measured(*models: str) -> set[str]:
    """A model's training and all that is measured on it."""
    found = set()
    for model in models:
        kinds = ("spectra", "jacobian", *ATTACKS, PUBLISHED_NOISE, *STRENGTHS, *EVIDENCE)
        found |= {f"{model}-0", f"landscape-{model}", *(f"{kind}-{model}-0" for kind in kinds)}
    return found


def attacking(*attacks: str) -> set[str]:
    return {f"{attack}-{model}-0" for attack in attacks for model in MODELS}


LANDSCAPES = {f"landscape-{model}" for model in MODELS}
NOISE_START_DECODERS = {"noise-start-whole-0", "noise-start-pruned-0"}
NOISE_START = {"noise-start-layer-0", "spectra-noise-start-0"} | NOISE_START_DECODERS
BASELINE_SPECTRA = {"spectra-data", "spectra-untrained-0", "spectra-noise-start-0"}
SPECTRA = BASELINE_SPECTRA | {f"spectra-{model}-0" for model in MODELS}
EVERYTHING = measured(*MODELS) | BASELINE_SPECTRA | NOISE_START | TRANSFER | {"layer-0"}
# What follows from any change of a model: transfer to all others, and masking where it is the one to transfer from.
FROM_BP = TRANSFER | attacking("masking")
FROM_KH = TRANSFER | {"masking-bp-0"}
BACKPROP = ("bp", "l2", "jacobian", "spectral")


@pytest.mark.parametrize(
    ("path", "value", "affected"),
    [
        ("attacks.epsilons", 9, attacking(*ATTACKS)),
        ("attacks.gradient_low", 0.002, attacking("fgsm", "pgd")),
        ("attacks.gaussian_low", 0.02, attacking("gaussian")),
        ("attacks.pgd_steps", 9, attacking("pgd")),
        ("attacks.published_epsilons", 9, attacking(PUBLISHED_NOISE)),
        ("landscape.radius", 3.0, LANDSCAPES),
        ("spectra.last_on_images", 40, SPECTRA),
        ("spectra.last_on_data", 40, {"spectra-data"}),
        ("spectra.noise_images", 40, SPECTRA),
        ("decoder.epochs", 31, measured("kh") | FROM_KH | NOISE_START_DECODERS),
        ("decoder.power", 4.0, measured("kh") | FROM_KH | NOISE_START_DECODERS),
        ("layer.epochs", 7, measured("kh") | {"layer-0"} | FROM_KH),
        ("noise_start.epochs", 7, NOISE_START),
        ("noise_start_hidden", 40, NOISE_START),
        ("pruning.method", "threshold", measured("kh") | FROM_KH | {"spectra-noise-start-0", "noise-start-pruned-0"}),
        ("backprop.epochs", 7, measured(*BACKPROP) | FROM_BP),
        ("backprop.learning_rates", (1e-3,), measured("bp", "l2", "jacobian") | FROM_BP),
        ("l2.weight", 1.0, measured("l2") | TRANSFER),
        ("jacobian.target", "activation", measured("jacobian") | TRANSFER),
        ("spectral.weight", 2.0, measured("spectral") | TRANSFER),
        ("hidden", 40, EVERYTHING - NOISE_START - {"spectra-data"}),
        ("norm", 2.0, EVERYTHING),
        ("precision", "high", EVERYTHING),
        ("seeds", 2, set()),
        ("models", "bp,kh", TRANSFER),
        ("attacks.images", 39, attacking(*ATTACKS, "minimum_norm")),
        ("threats.images", 39, attacking(*STRENGTHS) | TRANSFER),
        ("threats.raw_l2", 0.9, attacking("raw_l2") | {"transfer-raw_l2-0"}),
        ("threats.unit_linf", 0.06, attacking("masking")),
        ("threats.queries", 11, attacking(*STRENGTHS)),
        ("threats.minimum_norm_steps", 5, attacking(*STRENGTHS, "minimum_norm")),
        ("masking.steps", 5, attacking("masking")),
        ("bounds.images", 19, attacking("bounds")),
        ("smoothness.radius", 0.2, attacking("smoothness")),
        ("boundaries.planes", 4, attacking("boundaries")),
    ],
)
def test_a_setting_of_the_experiment_reaches_the_tasks_that_depend_on_it(path, value, affected, digits, changed):
    before = fingerprints(PRESETS["smoke"], digits)
    after = fingerprints(changed(path, value), digits)
    assert set(before) == EVERYTHING
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == affected


@pytest.mark.parametrize("part", ["train_images", "train_labels", "test_images", "test_labels"])
def test_other_data_run_everything_again(part, digits):
    other = dataclasses.replace(digits, **{part: getattr(digits, part)[::-1].copy()})
    before, after = fingerprints(PRESETS["smoke"], digits), fingerprints(PRESETS["smoke"], other)
    assert all(before[name] != after[name] for name in EVERYTHING)


@pytest.mark.parametrize(("models", "count"), [("kh", 1), ("bp,l2", 2)])
def test_only_the_chosen_models_are_planned(models, count, digits, changed):
    names = set(fingerprints(changed("models", models), digits))
    assert names & measured(*MODELS) == measured(*models.split(","))
    assert ("layer-0" in names) == ("kh" in models)


def test_the_layer_of_figure_a1_is_not_trained_twice(digits, changed):
    settings = changed("noise_start", PRESETS["smoke"].layer)
    names = set(fingerprints(settings, digits))
    assert "layer-0" in names
    assert "noise-start-layer-0" not in names


GROUPS = [name for name, value in vars(PRESETS["smoke"]).items() if dataclasses.is_dataclass(value)]
GROUPS.remove("noise_start")  # its tasks name it a layer, as which it is read


def read_settings(settings, digits):
    """Every (group, setting) that some task's fingerprint covers, a task's dictionaries followed to any depth."""
    found = set()

    def walk(content):
        for group, value in content.items():
            if isinstance(value, dict):
                found.update((group, name) for name in value)
                walk(value)

    for task in Plan(Study("smoke", settings, digits, Path("unused"))).all_tasks():
        for one in (task, *task.needs.values()):
            walk(one.settings)
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_no_setting_of_a_group_is_forgotten(group, digits):
    fields = {(group, field.name) for field in dataclasses.fields(getattr(PRESETS["smoke"], group))}
    # Which strengths there are decides which tasks there are, and no task's outcome.
    settings = dataclasses.replace(
        PRESETS["smoke"],
        models=",".join(MODELS + CONTROLS),
        threats=dataclasses.replace(PRESETS["smoke"].threats, names=THREATS),
    )
    assert fields - {("threats", "names")} <= read_settings(settings, digits)

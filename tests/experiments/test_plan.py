"""The plan of an experiment: a setting reaches the tasks that depend on it and no other, and none is forgotten."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments import engine
from experiments.attacks import ATTACKS, PUBLISHED_NOISE
from experiments.images import Images
from experiments.models import CONTROLS, MODELS, PAPER_MODELS
from experiments.plan import STAGES, Plan
from experiments.settings.presets import PRESETS
from experiments.threats import THREATS


def fingerprints(settings, dataset) -> dict[str, str]:
    tasks = Plan(settings, Images(dataset, settings.norm)).all_tasks()
    assert len({task.name for task in tasks}) == len(tasks), "two tasks would share their files"
    assert {task.stage for task in tasks} == set(STAGES)
    return {task.name: task.fingerprint for task in tasks}


STRENGTHS = PRESETS["smoke"].threats.names
EVIDENCE = ("minimum_norm", "masking", "bounds", "smoothness", "boundaries", "corruptions")
TRANSFER = {f"transfer-{threat}-0" for threat in STRENGTHS}


def measured(*models: str) -> set[str]:
    """A model's training and all that is measured on it."""
    found = set()
    for model in models:
        kinds = ("spectra", "jacobian", *ATTACKS, PUBLISHED_NOISE, *STRENGTHS, *EVIDENCE)
        found |= {f"{model}-0", f"landscape-{model}", *(f"{kind}-{model}-0" for kind in kinds)}
    return found


def attacking(*attacks: str) -> set[str]:
    return {f"{attack}-{model}-0" for attack in attacks for model in PAPER_MODELS}


LANDSCAPES = {f"landscape-{model}" for model in PAPER_MODELS}
NOISE_START_DECODERS = {"noise-start-whole-0", "noise-start-pruned-0"}
NOISE_START = {"noise-start-layer-0", "spectra-noise-start-0"} | NOISE_START_DECODERS
BASELINE_SPECTRA = {"spectra-data", "spectra-untrained-0", "spectra-noise-start-0"}
SPECTRA = BASELINE_SPECTRA | {f"spectra-{model}-0" for model in PAPER_MODELS}
EVERYTHING = measured(*PAPER_MODELS) | BASELINE_SPECTRA | NOISE_START | TRANSFER | {"layer-0"}
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
        ("corruptions.images", 39, attacking("corruptions")),
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
    assert names & measured(*PAPER_MODELS) == measured(*models.split(","))
    assert ("layer-0" in names) == ("kh" in models)


def test_the_layer_of_figure_a1_is_not_trained_twice(digits, changed):
    settings = changed("noise_start", PRESETS["smoke"].layer)
    names = set(fingerprints(settings, digits))
    assert "layer-0" in names
    assert "noise-start-layer-0" not in names


# Every task of all models and strengths; read by name, such as "kh" or "spectra-data", or by kind for all models.
ALL_MODELS = PAPER_MODELS + CONTROLS
ALL = dataclasses.replace(
    PRESETS["smoke"],
    models=",".join(ALL_MODELS),
    threats=dataclasses.replace(PRESETS["smoke"].threats, names=tuple(THREATS)),
    pruning=dataclasses.replace(PRESETS["smoke"].pruning, method="threshold"),
    backprop=dataclasses.replace(PRESETS["smoke"].backprop, learning_rates=(1e-2, 1e-3), boundaries=(2,)),
)
STEPWISE = {"bp", "l2", "jacobian", "bp_power", "bp_first_decay", "bp_matched"}
CUT = {"kh", "kh_start", "noise-start-pruned", "spectra-noise-start"}
DECODED = {"kh", "kh_start", "kmeans", "noise-start-pruned", "noise-start-whole"}
OF_NOISE_START = {"noise-start-pruned", "noise-start-whole", "spectra-noise-start"}
OF_LAYERS = {"spectra", "spectra-untrained"}
READERS = {
    "layer.epochs start learning_rate batch_size k delta": {"layer"},
    "layer.scale": set(),  # of a start from noise alone
    "layer.p": {"layer", "layer-start", "layer-kmeans", "kh", "kh_start", "spectra-kh"},
    "layer.radius": {"layer", "layer-start", "layer-kmeans", "kh", "kh_start"},
    "noise_start.epochs start scale learning_rate batch_size k delta": {"noise-start-layer"},
    "noise_start.p radius": {"noise-start-layer", *OF_NOISE_START},
    "pruning.method threshold": CUT,
    "decoder.power": DECODED | {"bp_power"},
    "decoder.epochs learning_rate batch_size": DECODED | {"random", "pca", "whitened"},
    "backprop.epochs": STEPWISE | {"spectral"},
    "backprop.batch_size": STEPWISE | {"spectral", "adversarial"},
    "backprop.learning_rates boundaries": STEPWISE | {"adversarial"},
    "l2.weight": {"l2", "bp_first_decay"},
    "jacobian.weight target": {"jacobian"},
    "spectral.weight exponent first anchored refresh_every warm_start": {"spectral"},
    "spectral.learning_rate constant_epochs decay_epochs": {"spectral"},
    "spectra.noise_images first last_on_images last_on_noise": OF_LAYERS | {"spectra-data", "spectra-noise-start"},
    "spectra.last_on_data": {"spectra-data"},
    "spectra.populations": OF_LAYERS,
    "attacks.images": {*ATTACKS, "minimum_norm"},
    "attacks.epsilons method": {*ATTACKS},
    "attacks.gaussian_low gaussian_high": {"gaussian"},
    "attacks.gradient_low gradient_high": {"fgsm", "pgd"},
    "attacks.pgd_steps": {"pgd"},
    "attacks.published_images published_epsilons": {PUBLISHED_NOISE},
    "landscape.radius resolution image": {"landscape"},
    "kmeans.passes batch_size": {"layer-kmeans"},
    "adversarial.epochs epsilon steps": {"adversarial"},
    "threats.images": {*(f"{threat} of the paper" for threat in THREATS), *(f"transfer-{one}" for one in THREATS)},
    "threats.control_images": {f"{threat} of controls" for threat in THREATS},
    "threats.steps": {*THREATS, *(f"transfer-{threat}" for threat in THREATS)},
    "threats.unit_linf": {"unit_linf", "transfer-unit_linf", "masking"},
    "threats.unit_l2": {"unit_l2", "transfer-unit_l2"},
    "threats.raw_linf": {"raw_linf", "transfer-raw_linf"},
    "threats.raw_l2": {"raw_l2", "transfer-raw_l2"},
    "threats.targets minimum_norm_steps": {*THREATS, "minimum_norm"},
    "threats.target_steps restarts queries": {*THREATS},
    "masking.images steps queries": {"masking"},
    "bounds.images": {"bounds"},
    "smoothness.images radius": {"smoothness"},
    "boundaries.planes resolution radii": {"boundaries"},
    "corruptions.names images": {"corruptions"},
}
READ = {
    f"{group}.{name}": readers
    for paths, readers in READERS.items()
    for group, names in [paths.split(".")]
    for name in names.split()
}
OF_A_MODEL = {*ATTACKS, PUBLISHED_NOISE, *THREATS, *EVIDENCE, "spectra", "landscape"}


def named(reader: str) -> set[str]:
    reader, _, whose = reader.partition(" of ")
    if reader not in OF_A_MODEL:
        return {f"{reader}-0", reader}
    models = {"the paper": PAPER_MODELS, "controls": CONTROLS}.get(
        whose, PAPER_MODELS if reader == PUBLISHED_NOISE else ALL_MODELS
    )
    return {f"{reader}-{model}{'' if reader == 'landscape' else '-0'}" for model in models}


OTHER_WORDS = {
    "samples": "normal",
    "normal": "samples",
    "grid": "search",
    "threshold": "none",
    "preactivation": "activation",
    "gaussian_noise": "fog",
    "contrast": "jpeg",
}


def another(value):
    if isinstance(value, tuple):
        return tuple(map(another, value))
    if isinstance(value, str | bool):
        return OTHER_WORDS[value] if isinstance(value, str) else not value
    return value + 1 if isinstance(value, int) else 1.5 * value


def tasks_of(settings, dataset):
    """All tasks by name, those among them that are only needed by others."""
    left, found = Plan(settings, Images(dataset, settings.norm)).all_tasks(), {}
    while left:
        task = left.pop()
        if task.name not in found:
            found[task.name] = task
            left += task.needs.values()
    return found


@pytest.fixture(scope="module")
def all_tasks(digits):
    return tasks_of(ALL, digits)


def test_no_setting_of_a_group_is_forgotten():
    groups = {name: value for name, value in vars(ALL).items() if dataclasses.is_dataclass(value)}
    every = {f"{group}.{field.name}" for group, value in groups.items() for field in dataclasses.fields(value)}
    # Which strengths there are decides which tasks there are, and no task's outcome; CIFAR-10-C is of CIFAR-10 alone.
    assert set(READ) == every - {"threats.names", "corruptions.cifar10_c"}


@pytest.mark.parametrize("path", READ)
def test_a_setting_of_a_group_reaches_those_that_read_it_and_what_builds_on_them(path, all_tasks, digits):
    group, name = path.split(".")
    chosen = getattr(ALL, group)
    changed_group = dataclasses.replace(chosen, **{name: another(getattr(chosen, name))})
    after = tasks_of(dataclasses.replace(ALL, **{group: changed_group}), digits)
    reads = set().union(*map(named, READ[path])) & all_tasks.keys()

    def builds_on(task):
        return task.name in reads or any(map(builds_on, task.needs.values()))

    assert {name for name, task in all_tasks.items() if task.settings != after[name].settings} == reads
    assert {name for name, task in all_tasks.items() if task.fingerprint != after[name].fingerprint} == {
        name for name, task in all_tasks.items() if builds_on(task)
    }


def test_the_control_of_untrained_rows_starts_from_images_whatever_the_layer_starts_from(digits, changed, tmp_path):
    settings = dataclasses.replace(changed("layer.start", "normal"), models="kh_start")
    plan = Plan(settings, Images(digits, settings.norm))
    rows = plan.first_layer(MODELS["kh_start"], 0).compute({}, tmp_path).arrays["synapses"]
    images = np.asarray(plan.images.train)
    assert (rows[:, None] == images[None]).all(axis=2).any(axis=1).all()


def test_the_engine_knows_nothing_of_what_it_runs():
    """It imports settings and images; the plan, the tasks and what becomes of them import it."""
    imported = set()
    for module in Path(engine.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                assert not node.level, "all imports are absolute"
                names = [f"{node.module}.{name}" for name in names]
            imported |= {name.split(".")[1] for name in names if name.startswith("experiments.")}
    assert imported == {"engine", "images", "settings"}

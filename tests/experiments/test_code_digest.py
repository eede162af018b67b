"""The digest of the code: it changes with what may change an outcome, and with nothing else."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from experiments.engine import sources
from experiments.engine.sources import ROOT, code_digest
from experiments.measuring import attacks as measuring
from experiments.measuring import spectra
from experiments.training import training

FILES = {
    "experiments/__init__.py": '"""Doc."""',
    "experiments/run.py": """
import logging
from jax_bioadv import rules
from jax_bioadv.nets import Net, unused
from experiments.engine.tasks import store
from experiments.settings.groups import Group

logger = logging.getLogger("x")
STEPS = 3

def run(group: Group, rules_of=None):
    net = Net(STEPS)
    logger.info("started")
    if not net:
        raise ValueError("no net")
    store(net)
    return net.forward(rules.double(2)), getattr(net, "chosen")

def other():
    return unused(5)
""",
    "experiments/engine/tasks.py": "def store(net):\n    return 1",
    "experiments/settings/groups.py": """
class Group:
    size: int = 3
    def chosen(self):
        return self.size + 1
""",
    "jax_bioadv/__init__.py": "",
    "jax_bioadv/rules.py": "FACTOR = 2.0\n\ndef double(x):\n    return FACTOR * x\n\ndef triple(x):\n    return 3 * x",
    "jax_bioadv/nets.py": """
class Net:
    size: int = 1
    def __init__(self, steps):
        self.steps = steps
    def forward(self, x: int) -> int:
        '''Doc.'''
        return x + self.steps
    def backward(self, x):
        return x - self.steps

def unused(x):
    return x + 8
""",
    "jax_bioadv/far.py": "FAR = 1",
}


@pytest.fixture
def project(tmp_path):
    """Digests ``run`` of a small project after a text in one of its files was replaced."""

    def digest(file: str | None = None, old: str = "", new: str = "") -> str:
        shutil.rmtree(tmp_path, ignore_errors=True)
        for name, text in FILES.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert name != file or old in text
            path.write_text((text.replace(old, new) if old else new) if name == file else text)
        sources._digest.cache_clear()
        return sources._digest(frozenset({("experiments.run", "run")}), tmp_path)

    return digest


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("experiments/run.py", "STEPS = 3", "STEPS = 4"),
        ("experiments/run.py", "if not net", "if net"),
        ("experiments/run.py", "ValueError(", "TypeError("),
        ("experiments/run.py", "rules.double", "rules.triple"),
        ("jax_bioadv/rules.py", "2.0", "2.5"),
        ("jax_bioadv/rules.py", "FACTOR * x", "FACTOR + x"),
        ("jax_bioadv/nets.py", "x + self.steps", "x - self.steps"),
        ("jax_bioadv/nets.py", "self.steps = steps", "self.steps = steps + 1"),
        ("jax_bioadv/nets.py", "size: int = 1", "size: int = 2"),
        ("experiments/settings/groups.py", "self.size + 1", "self.size + 2"),
        ("jax_bioadv/__init__.py", "", "print(1)"),
    ],
)
def test_a_change_of_what_runs_changes_the_digest(file, old, new, project):
    assert project(file, old, new) != project()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("experiments/run.py", "STEPS = 3", "# how many\nSTEPS   =  (3)"),
        ("experiments/run.py", '"started"', '"begun"'),
        ("experiments/run.py", '"no net"', '"there is no net"'),
        ("experiments/run.py", "unused(5)", "unused(6)"),
        ("jax_bioadv/nets.py", "'''Doc.'''", "'''Another.'''"),
        ("jax_bioadv/nets.py", "x: int) -> int", "x: float) -> float"),
        ("jax_bioadv/nets.py", "x - self.steps", "x * self.steps"),
        ("jax_bioadv/nets.py", "x + 8", "x + 9"),
        ("jax_bioadv/rules.py", "3 * x", "4 * x"),
        ("jax_bioadv/far.py", "1", "2"),
        ("experiments/engine/tasks.py", "1", "2"),
        ("experiments/settings/groups.py", "= 3", "= 4"),
        ("experiments/__init__.py", "Doc", "Another"),
    ],
)
def test_words_layout_settings_and_what_does_not_run_leave_the_digest(file, old, new, project):
    assert project(file, old, new) == project()


def test_the_digest_is_the_same_for_every_version_of_python(project):
    """A number to be found again by whichever runs this; it changes with the digest's own rules alone."""
    assert project() == "47f4991a8aed"


def reached(function) -> set[str]:
    found = sources._Reached(ROOT)
    found.follow(function.__module__, (function.__name__,))
    return set(found.units)


@pytest.mark.parametrize(
    ("function", "used", "unused"),
    [
        (training.run_layer, "jax_bioadv.learning.krotov_hopfield.epoch", "jax_bioadv.learning.supervised.make_epoch"),
        (training.run_backprop, "jax_bioadv.learning.supervised.make_epoch", "jax_bioadv.attacks."),
        (training.run_adversarial, "jax_bioadv.attacks.projected_gradient_descent.pgd", "jax_bioadv.attacks.square."),
        (measuring.run_attack, "jax_bioadv.attacks.lp_ball.", "jax_bioadv.learning.supervised."),
        (spectra.run_spectra, "jax_bioadv.analysis.power_law.", "jax_bioadv.attacks."),
    ],
)
def test_a_task_depends_on_what_it_uses_and_not_on_what_others_use(function, used, unused):
    names = reached(function)
    assert any(name.startswith(used) for name in names)
    assert not any(name.startswith(unused) for name in names)
    assert not any(
        name.startswith(("experiments.report", "jax_bioadv.figures", "jax_bioadv.storage")) for name in names
    )


def test_partial_applications_are_looked_through_and_further_functions_count():
    assert code_digest(partial(partial(training.run_layer, 1), 2)) == code_digest(training.run_layer)
    assert code_digest(training.run_layer, spectra.run_spectra) != code_digest(training.run_layer)


def test_what_is_left_out_exists():
    for name in (*sources.WITHOUT_INFLUENCE, *sources.HOLD_SETTINGS):
        parts = name.split(".")
        modules = [Path(*parts[:count]).with_suffix(".py") for count in range(1, len(parts) + 1)]
        [module] = [ROOT / one for one in modules if (ROOT / one).is_file()]
        assert len(parts) == 2 or f"def {parts[-1]}(" in module.read_text()

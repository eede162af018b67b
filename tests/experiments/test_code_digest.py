"""The digest of the code: it changes with what may change an outcome, and with nothing else."""

import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from experiments.attacks import SWEPT_ATTACKS
from experiments.engine import sources
from experiments.engine.sources import ROOT, code_digest
from experiments.measuring import spectra
from experiments.measuring.attacks import GridAttack, SearchedAttack
from experiments.measuring.threats import fixed_strength
from experiments.models import MODELS
from experiments.threats import THREATS
from experiments.training import layers

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
        ("jax_bioadv/__init__.py", "", "if TYPE_CHECKING:\n    import jax_bioadv.far as far"),
    ],
)
def test_words_layout_settings_and_what_does_not_run_leave_the_digest(file, old, new, project):
    assert project(file, old, new) == project()


DERIVED = """
from elsewhere import custom

@custom.jvp
def double(x):
    return 2 * x

@double.defjvp
def _slope(x):
    return 2 + 0 * x

@double.rule(alone=True)
def _rule(x):
    return 2 + 1 * x
"""


@pytest.mark.parametrize("part", ["0 * x", "1 * x"])
def test_what_a_function_was_given_by_a_decorator_is_a_part_of_it(part, project):
    """As a derivative by ``defjvp``, which nobody calls by its name."""
    rules = "jax_bioadv/rules.py"
    assert project(rules, "", DERIVED) != project(rules, "", DERIVED.replace(part, "5 * x"))


def test_the_digest_is_the_same_for_every_version_of_python(project):
    """A number to be found again by whichever runs this; it changes with the digest's own rules alone."""
    assert project() == "47f4991a8aedb08dd8d0745196619f68210e6e69877401128d23dc6b759d7389"


def reached(function) -> set[str]:
    found = sources._Reached(ROOT)
    for part in filter(callable, sources._parts(function)):
        found.follow(part.__module__, (part.__qualname__,))
    return set(found.units)


@pytest.mark.parametrize(
    ("function", "used", "unused"),
    [
        (layers.LAYER, "jax_bioadv.learning.krotov_hopfield.epoch", "jax_bioadv.learning.supervised.make_epoch"),
        (MODELS["bp"].run, "jax_bioadv.learning.supervised.make_epoch", "jax_bioadv.attacks."),
        (MODELS["adversarial"].run, "jax_bioadv.attacks.projected_gradient_descent.pgd", "jax_bioadv.attacks.square."),
        (SearchedAttack(SWEPT_ATTACKS["pgd"]), "jax_bioadv.attacks.lp_ball.", "jax_bioadv.learning.supervised."),
        (spectra.layer_spectra, "jax_bioadv.analysis.power_law.", "jax_bioadv.attacks."),
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
    function = spectra.layer_spectra
    assert code_digest(partial(partial(function, "name"), None)) == code_digest(function)
    assert code_digest(function, layers.centroids) != code_digest(function)
    assert code_digest(partial(function, layers.centroids)) == code_digest(function, layers.centroids)
    assert code_digest(partial(function, ("name", (layers.centroids,)))) == code_digest(function, layers.centroids)


def test_numbers_flags_and_words_that_are_bound_count():
    function = layers.principal_directions
    bound = [{}, {"whiten": True}, {"whiten": False}, {"whiten": 0.5}, {"whiten": "no"}, {"hidden": True}]
    digests = [code_digest(partial(function, **one)) for one in bound] + [code_digest(partial(function, 3))]
    assert len(set(digests)) == len(digests)
    assert code_digest(partial(spectra.layer_spectra, partial(function, 3))) != code_digest(
        partial(spectra.layer_spectra, partial(function, 4))
    )


def test_what_an_object_holds_counts():
    attack = SWEPT_ATTACKS["pgd"]
    digests = {code_digest(SearchedAttack(one)) for one in (attack, SWEPT_ATTACKS["fgsm"])}
    assert len(digests) == 2
    assert code_digest(SearchedAttack(attack)) != code_digest(GridAttack(attack))
    threat = THREATS["raw_l2"]
    changed = [threat, replace(threat, norm=math.inf), replace(threat, raw=False)]
    assert len({code_digest(partial(fixed_strength, one)) for one in changed}) == len(changed)
    assert code_digest(partial(fixed_strength, replace(threat, label="L2"))) == code_digest(
        partial(fixed_strength, threat)
    )


def test_code_counts_as_it_was_when_the_process_began(monkeypatch):
    before = code_digest(layers.centroids)
    sources._digest.cache_clear()
    monkeypatch.setattr(Path, "read_text", lambda *arguments, **named: "edited = 1")
    assert code_digest(layers.centroids) == before


def test_what_an_editor_or_a_file_system_keeps_beside_a_module_is_no_module(tmp_path):
    (tmp_path / "module.py").write_text("A = 1")
    (tmp_path / ".#module.py").symlink_to("someone@somewhere.1234")
    (tmp_path / "._module.py").write_bytes(b"\x00\x05\x16\x07\xff")
    assert sources._read_below(tmp_path) == {tmp_path / "module.py": "A = 1"}


def test_what_is_left_out_exists():
    assert ROOT.joinpath(*sources.HOLD_SETTINGS.split(".")).is_dir()
    for name in sources.WITHOUT_INFLUENCE:
        assert (ROOT / Path(*name.split(".")).with_suffix(".py")).is_file()

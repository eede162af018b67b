"""The library as it is installed from a wheel: alone, typed, taken piece by piece, and without any of the extras."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from importlib import import_module
from pathlib import Path

import pytest

import jax_bioadv
from experiments.engine.sources import code_digest
from experiments.measuring.corruptions import corruptions
from jax_bioadv import evaluate_command
from jax_bioadv.command_line import exit_code
from jax_bioadv.extras import MissingExtraError, extra

ROOT = Path(__file__).parents[1]
BESIDE_EXPERIMENTS = (
    *("results/quick/results.json", "docs/reading.md", "docs/conf.py"),  # the last comes along
    *(str(path.relative_to(ROOT)) for path in (ROOT / "results" / "quick" / "weights").iterdir()),
)
LAZY = ("jax_bioadv", "jax_bioadv.analysis", "jax_bioadv.learning")
OF_EXTRAS = (
    "PIL",
    "contourpy",
    "matplotlib",
    "safetensors",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
    "tqdm",
    "tyro",
)

ALONE = f"""
import json, sys

sys.modules.update(dict.fromkeys({OF_EXTRAS}))  # so that importing them fails as if they were not there
sys.path.insert(0, sys.argv[1])
import jax_bioadv as ba
at_once = [name for name in ("jax", "flax", "scipy") if name in sys.modules]

import jax, numpy as np
key = jax.random.key(0)
images = ba.data.unit_norm(np.random.default_rng(0).random((16, 12), np.float32), p=3.0)
network = ba.Network(12, 6, 3, rngs=__import__("flax").nnx.Rngs(0))
labels = np.asarray(network(images).argmax(axis=1))
adversarial = ba.attacks.pgd(norm=2, steps=3)(key, network, images, labels, 0.5)
ba.analysis.spectra.covariance_spectrum(ba.analysis.spectra.covariance(images))
for module in (ba.population, ba.storage, ba.sharding, ba.jacobian, ba.raw_pixels):
    assert module.__doc__
for package in (ba.analysis, ba.learning):
    for name in package.__all__:
        getattr(package, name)

def refused(call):
    try:
        call()
    except ImportError as error:
        return str(error)

import jax.numpy as jnp
plane = jnp.eye(12)[None, :2]
print(json.dumps(dict(
    file=ba.__file__, version=ba.__version__, at_once=at_once, shape=list(adversarial.images.shape),
    refused=dict(
        figures=[refused(lambda: ba.figures), refused(lambda: __import__("jax_bioadv.figures.style"))],
        weights=[refused(lambda: ba.weights.read_safetensors(None))],
        data=[
            refused(lambda: ba.data.load("digits")),
            refused(lambda: ba.data.corrupt(np.zeros((1, 8, 8, 3), np.uint8), "jpeg", 1, seed=0)),
            refused(lambda: __import__("jax_bioadv.data.npm").data.npm.load_from_npm()),
        ],
        analysis=[
            refused(lambda: ba.analysis.dimension.two_nearest_neighbours_dimension(images)),
            refused(lambda: ba.analysis.boundary_geometry.generic_boundary_geometry(network, images[:1], plane)),
            refused(lambda: ba.learning.fixed_layers.centroid_rows(0, images, 3)),
            refused(lambda: ba.learning.pruning.mixture_cut(np.random.default_rng(0).normal(size=60))),
        ],
    ),
)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built without the network, from a copy that holds nothing of earlier builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("jax_bioadv", "experiments", "benchmarks", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", *BESIDE_EXPERIMENTS):
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source"))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory) -> Path:
    """Where the wheel is installed."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


@pytest.fixture(scope="module")
def alone(target) -> dict:
    """What a program finds that uses the wheel where no package of an extra can be imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_BIOADV")}
    command = [sys.executable, "-I", "-W", "error", "-c", ALONE, str(target)]
    ended = subprocess.run(command, cwd=target, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return {**json.loads(ended.stdout), "target": str(target)}


def pip(*words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_wheel_holds_the_library_its_types_and_below_it_what_evaluations_need(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [about] = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"jax_bioadv"}
    assert "jax_bioadv/py.typed" in names
    of_library, of_experiments = (
        {str(path.relative_to(ROOT)) for path in (ROOT / name).rglob("*.py")} for name in ("jax_bioadv", "experiments")
    )
    below = {f"jax_bioadv/_clone/{name}" for name in (*of_experiments, *BESIDE_EXPERIMENTS)}
    assert {name for name in names if ".dist-info/" not in name} == of_library | below | {"jax_bioadv/py.typed"}
    metadata = message_from_string(about)
    needed = [one for one in metadata.get_all("Requires-Dist") if "extra ==" not in one]
    assert {one.partition(">")[0] for one in needed} == {"flax", "jax", "jaxtyping", "numpy", "optax", "scipy"}
    assert metadata.get_all("Project-URL")
    assert metadata["Version"] == jax_bioadv.__version__
    with zipfile.ZipFile(wheel) as archive:
        [scripts] = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    for line in scripts.split("[console_scripts]\n")[1].split():
        if ":" in line:
            module, _, function = line.partition(":")
            assert callable(getattr(import_module(module), function))


INSTALLED = """
from jax_bioadv.evaluate_command import main
try:
    main()
except SystemExit as ended:
    print(ended.code)
from experiments.engine.sources import code_digest
from experiments.measuring.corruptions import corruptions
print(code_digest(corruptions))
"""


@pytest.fixture(scope="module")
def installed(target, tmp_path_factory) -> subprocess.CompletedProcess:
    """The command of the wheel, and the digest of its code, where the clone is not found."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "mine.py").write_text("def build(): ...\n")
    options = ("--preset", "smoke", "--dataset", "digits", "--network", "mine:other")
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-P", "-c", INSTALLED, *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_installed_command_finds_the_experiments_and_a_network_where_it_runs(installed):
    assert installed.stdout.startswith("2\n")
    assert installed.stderr.endswith("error: --network: mine has no function 'other'; it has build\n")


def test_installed_code_has_the_digest_of_a_clone(installed):
    assert installed.stdout.split() == ["2", code_digest(corruptions)]


def test_help_calls_the_command_as_it_is_installed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["a path", "--help"])
    with pytest.raises(SystemExit):
        evaluate_command._evaluate()
    assert "usage: jax-bioadv-evaluate" in capsys.readouterr().out


def test_the_wheel_works_without_the_extras(alone):
    assert alone["file"].startswith(alone["target"])
    assert alone["version"] == jax_bioadv.__version__
    assert alone["at_once"] == []
    assert alone["shape"] == [16, 12]


@pytest.mark.parametrize("name", ["analysis", "data", "figures", "weights"])
def test_what_needs_an_extra_names_it(name, alone):
    assert [f"pip install 'jax-bioadv[{name}]'" in str(said) for said in alone["refused"][name]] == [True] * len(
        alone["refused"][name]
    )


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_package_offers_what_it_says(name):
    package = import_module(name)
    for offered in package.__all__:
        assert getattr(package, offered) is not None
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018


@pytest.mark.parametrize("name", LAZY)
def test_what_is_offered_is_what_type_checkers_see(name):
    package = import_module(name)
    tree = ast.parse(Path(str(package.__file__)).read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    seen = [alias.asname or alias.name for node in blocks[0].body for alias in node.names]  # type: ignore[attr-defined]
    assert len(seen) == len(set(seen)) > 0
    assert sorted(seen) == sorted(package.__all__)


@pytest.mark.parametrize("name", LAZY[1:])
def test_every_module_of_a_lazy_package_is_offered(name):
    package = import_module(name)
    modules = {path.stem for path in Path(str(package.__file__)).parent.glob("*.py")} - {"__init__"}
    assert modules == set(package.__all__)


def test_a_package_that_is_there_is_imported_and_another_error_is_left():
    with extra("analysis"):
        import contourpy  # noqa: F401
    with pytest.raises(ImportError, match="no_such_name") as raised, extra("analysis"):
        from contourpy import no_such_name  # noqa: F401
    assert not isinstance(raised.value, MissingExtraError)


def test_a_command_ends_in_one_line_where_an_extra_is_missing(capsys):
    def work():
        with extra("figures"):
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    assert exit_code(work) == 2
    assert capsys.readouterr().err == (
        "error: matplotlib is not installed; it comes with pip install 'jax-bioadv[figures]'\n"
    )

"""Settings that every test runs under; they must stand before JAX starts."""

import gc
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_BIOADV_COMPILED", "off")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # where each operation stands, of which nobody reads
# What XLA would keep besides is for GPUs, and where it would lie is a part of every program's key: no folder would have
# what another has.
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")
# Workers share the cores: two threads of BLAS each, which wait for one another by spinning, make small factorizations
# a hundred times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests compile more than they compute: code that is made quickly makes up for being slow. Every process inherits this,
# so that the numbers of one are those of another.
# The last flag makes a quarter of the time of the others; later versions of XLA end on it, for they do not know it.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""),
)

import hypothesis
import jax
import pytest
from sharing import WORKER, compiled_programs
from slow_files import SLOW_FILES
from threadpoolctl import threadpool_limits

from jax_bioadv.compilation_cache import keep_compiled_programs
from jax_bioadv.storage import Checkpoints

hypothesis.settings.register_profile("jax_bioadv", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("jax_bioadv")

threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas")  # of libraries that are loaded already

MAPPINGS = Path("/proc/self/maps")
CACHE = Path(__file__).parents[1] / ".pytest_cache"
KEPT = CACHE / "compiled"
# Neither the settings nor the list of fonts that this machine's user keeps: what that lacks is told on stderr.
os.environ.setdefault("MPLCONFIGDIR", str(CACHE / "matplotlib"))
given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
if not given or KEPT in Path(given).parents:  # the latter by the process that started this worker
    folder = keep_compiled_programs(compiled_programs(KEPT))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_addoption(parser):
    parser.addoption(
        "--fast", action="store_true", help="leave out the files that tests/slow_files.py names, and what needs a run"
    )


def pytest_ignore_collect(collection_path, config):
    return True if config.getoption("--fast") and collection_path in SLOW_FILES else None


def pytest_collection_finish():
    """Modules and tests stay to the end; looking through them for garbage, time and again, takes time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(config, items):
    """Slow files come first, or the last worker would be alone with one in the end; a fast run makes no run to test."""
    if config.getoption("--fast"):
        config.hook.pytest_deselected(items=[item for item in items if "smoke" in item.fixturenames])
        items[:] = [item for item in items if "smoke" not in item.fixturenames]
    places = {path: place for place, path in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_in_bounds():
    """Find what others have compiled meanwhile, and forget programs when there are very many.

    Each maps memory, of which Linux grants 65,530 pieces a process.
    """
    if WORKER:
        compiled_programs(KEPT)
    yield
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > 40_000:
        jax.clear_caches()


@pytest.fixture
def open_checkpoints(tmp_path):
    """Checkpoints in one folder, as every new process opens them."""
    return lambda: Checkpoints(tmp_path / "run")

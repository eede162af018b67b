"""A workload so small that every contestant runs in milliseconds."""

import pytest

from benchmarks.workload import Sizes, make_workload

TINY = {
    "hidden": 24,
    "batch_size": 32,
    "inputs": 20,
    "images": 192,
    "test_images": 48,
    "timed_batches": 3,
    "attacked": 40,
    "epsilons": 30,
    "every_fgsm": 3,
    "every_pgd": 3,
    "searched": 16,
    "resolution": 6,
    "timed_rows": 5,
}


@pytest.fixture(scope="session")
def tiny_options():
    """The same sizes for the command line."""
    return [text for name, value in TINY.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="session")
def workload():
    return make_workload(Sizes(**TINY), synthetic=True, data_dir=None, precision="highest")

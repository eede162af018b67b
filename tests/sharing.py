"""What the processes of one test run share: compiled programs, and work that is done once for all of them."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
LARGEST_BYTES = 2**30


def compiled_programs(kept: Path) -> Path:
    """A folder for this process alone, with all that the last run's processes and those beside it compiled.

    JAX writes a program in place, so that of two processes in one folder one may read what the other has half written.
    """
    entries = list(kept.glob("*/*/*-cache"))
    if not WORKER and sum(path.stat().st_size for path in entries) > LARGEST_BYTES:
        shutil.rmtree(kept)
        entries = []
    own = kept / (WORKER or "alone")
    for path in entries:
        mine = own / path.relative_to(kept / path.relative_to(kept).parts[0])
        if not mine.exists():
            mine.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                os.link(path, mine)
    return own


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker to ask makes; the others wait for it."""
    base = factory.getbasetemp()
    place = base.parent if WORKER else base
    finished = place / f"{name}.finished"
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            make(place / name)
            finished.touch()
    return place / name

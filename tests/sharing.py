"""What the processes of one test run share: compiled programs, and work that is done once for all of them."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
LARGEST_BYTES = 2**30
A_MOMENT = 2.0
"""Seconds."""


def compiled_programs(kept: Path) -> Path:
    """A folder for this process alone, with all that the last run's processes and those beside it compiled until now.

    JAX writes a program in place, so that of two processes in one folder one may read what the other has half written;
    what has lain for a moment is whole.
    """
    if not WORKER and sum(path.stat().st_size for path in kept.glob("*/*/*-cache")) > LARGEST_BYTES:
        shutil.rmtree(kept)
    own = kept / (WORKER or "alone")
    for folder in kept.glob("*/*"):
        mine = own / folder.name
        mine.mkdir(parents=True, exist_ok=True)
        for name in set(os.listdir(folder)).difference(os.listdir(mine)):
            with contextlib.suppress(OSError):
                if (folder / name).stat().st_mtime < time.time() - A_MOMENT:
                    os.link(folder / name, mine / name)
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

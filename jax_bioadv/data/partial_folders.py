"""Folders that appear whole or not at all.

A folder is filled under a hidden name beside its place and renamed when complete. When filling fails, by a full disk or
an interrupt, the hidden folder goes; when a run is killed, a later run removes it.
"""

import errno
import glob
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = ".partial-"
_ATTEMPTS = 100

logger = logging.getLogger(__name__)


@contextmanager
def partial_folder(parent: Path, name: str, abandoned_after: float = 3600.0) -> Iterator[Path]:
    """Yield an empty hidden folder, removed with all that is left in it when the block ends.

    Args:
        parent: where the folder is made; created if missing.
        name: what the folder is for; part of its hidden name.
        abandoned_after: seconds without a new entry after which an older run's folder of that name counts as abandoned
            and is removed; a live run must add entries, or :func:`keep` it, more often than that.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent, name, abandoned_after)
    partial = Path(tempfile.mkdtemp(prefix=f".{name}{_MARK}", dir=parent))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def folder_in_place(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the target's place when the block succeeds, and vanishes when it does not.

    Several runs may do this at the same time; the last one's folder stays, and all of them were whole.

    Args:
        target: a folder, absent or to be replaced.
    """
    with partial_folder(target.parent, target.name) as partial:
        yield partial
        partial.chmod(0o755)
        for _ in range(_ATTEMPTS):
            if _moved(partial, target) or _swapped(partial, target):
                return
        raise OSError(errno.EBUSY, f"other runs replaced it {_ATTEMPTS} times", str(target))


def keep(partial: Path) -> None:
    """Say that a folder to which nothing is added is still being filled; OSError if another run has removed it."""
    try:
        os.utime(partial)
    except FileNotFoundError as error:
        raise OSError(f"another run took {partial.name} for abandoned and removed it; run again") from error


def _moved(partial: Path, target: Path) -> bool:
    """Whether the folder could take a place that is absent or empty."""
    try:
        os.replace(partial, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _swapped(partial: Path, target: Path) -> bool:
    """Whether the folder took the place of a filled one before another run did."""
    with partial_folder(target.parent, target.name) as aside:
        try:
            os.replace(target, aside)
        except FileNotFoundError:  # another run moved it first
            return False
        try:
            return _moved(partial, target)
        except OSError:
            os.replace(aside, target)
            raise


def _remove_abandoned(parent: Path, name: str, abandoned_after: float) -> None:
    for partial in parent.glob(f".{glob.escape(name)}{_MARK}*"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > abandoned_after:
                logger.info("removing %s, left by a run that was killed", partial)
                shutil.rmtree(partial, ignore_errors=True)

"""Folders that appear whole or not at all.

A folder is filled under a hidden name beside its place and renamed when complete. When filling fails, by a full disk or
an interrupt, the hidden folder goes; when a run is killed, a later run removes it.
"""

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = ".partial-"

logger = logging.getLogger(__name__)


@contextmanager
def partial_folder(parent: Path, name: str, abandoned_after: float = 3600.0) -> Iterator[Path]:
    """Yield an empty hidden folder, removed with all that is left in it when the block ends.

    Args:
        parent: where the folder is made; created if missing.
        name: what the folder is for; part of its hidden name.
        abandoned_after: seconds without a new entry after which an older run's folder of that name counts as abandoned
            and is removed; a live run must add entries more often than that.
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

    Args:
        target: a folder, absent or to be replaced.
    """
    with partial_folder(target.parent, target.name) as partial:
        yield partial
        partial.chmod(0o755)
        for attempt in range(5):
            try:
                os.replace(partial, target)  # works where the target is absent or empty
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == 4:
                    raise
            with suppress(FileNotFoundError):  # another run may have moved it first
                _replace_filled(partial, target)
                return


def _replace_filled(partial: Path, target: Path) -> None:
    with partial_folder(target.parent, target.name) as aside:
        os.replace(target, aside)
        try:
            os.replace(partial, target)
        except OSError:
            os.replace(aside, target)
            raise


def _remove_abandoned(parent: Path, name: str, abandoned_after: float) -> None:
    for partial in parent.glob(f".{name}{_MARK}*"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > abandoned_after:
                logger.info("removing %s, left by a run that was killed", partial)
                shutil.rmtree(partial, ignore_errors=True)

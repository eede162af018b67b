"""Compiled programs that outlive the process: each program and shape is compiled once on a machine.

The commands switch it on. Whoever uses the library does so in one line, before the first computation::

    keep_compiled_programs()

The programs lie in ``compiled`` below the user's cache folder; ``JAX_BIOADV_COMPILED`` names another folder, or says
``off``. A folder that was given to JAX itself (``JAX_COMPILATION_CACHE_DIR``) stays, with all that JAX was told of it.
"""

import contextlib
import hashlib
import logging
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from jax_bioadv.user_folders import cache_folder, user_path

COMPILED_VARIABLE = "JAX_BIOADV_COMPILED"
OFF = "off"
LARGEST_BYTES = 4 * 2**30
"""What the folder may hold; beyond it, the programs that were used longest ago go when the cache is switched on."""

logger = logging.getLogger(__name__)


def keep_compiled_programs(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Let JAX keep every program that it compiles, and find those that an earlier process compiled.

    Args:
        folder: where; ``off`` for nowhere; default: ``JAX_BIOADV_COMPILED``, else ``compiled`` in the cache folder.

    Returns:
        The folder that JAX uses; ``None`` where none is used, which a warning explains unless it was asked for.
    """
    chosen = folder or os.environ.get(COMPILED_VARIABLE) or None
    of_jax = jax.config.values["jax_compilation_cache_dir"]
    if (chosen is None and of_jax) or str(chosen) == OFF:
        return Path(of_jax) if of_jax else None
    try:
        place = (user_path(chosen) if chosen else cache_folder() / "compiled") / _processor()
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except (OSError, ValueError) as error:
        logger.warning("compiled programs are not kept (%s); %s=FOLDER names another place", error, COMPILED_VARIABLE)
        return None
    _drop_oldest(place.parent)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _use(str(place))
    return place


@contextlib.contextmanager
def compiling_afresh() -> Iterator[None]:
    """Keep no compiled program and find none, so that the time of compiling can be measured."""
    before = jax.config.values["jax_compilation_cache_dir"]
    _use(None)
    try:
        yield
    finally:
        _use(before)


def _use(folder: str | None) -> None:
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()  # JAX looks for a folder once, when it first compiles


def _processor() -> str:
    """A name for the instructions that this processor has: programs for another one must not be run."""
    flags = ""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    digest = hashlib.sha256(f"{platform.processor()} {' '.join(sorted(flags.split()))}".encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"


def _drop_oldest(folder: Path) -> None:
    found = []
    for path in folder.glob(f"{platform.machine()}-{'[0-9a-f]' * 12}/*-cache"):
        with contextlib.suppress(OSError):  # another process may drop it at the same time
            about = path.stat()
            found.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    excess = sum(size for _, size, _ in found) - LARGEST_BYTES
    for _, size, path in sorted(found):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        excess -= size

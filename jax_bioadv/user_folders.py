"""Folders that a user names, and the one where this project keeps what it can get again."""

import os
from pathlib import Path


def user_path(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` replaced by the home folder, as a shell does it at the start of a word alone.

    Raises:
        ValueError: the home folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{os.fspath(path)}: the home folder is not known; set HOME or write the path out") from error


def cache_folder() -> Path:
    """``jax-bioadv`` in ``XDG_CACHE_HOME``, else in ``~/.cache``.

    Raises:
        ValueError: the home folder is not known.
    """
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "jax-bioadv"

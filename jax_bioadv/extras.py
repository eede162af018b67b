"""Packages that only a part of the library needs: they come with an extra, and are imported where they are used."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """A package is not installed; the message names the extra that brings it."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Name the extra where an import fails for want of a package.

    ::

        with extra("analysis"):
            import contourpy

    Args:
        name: of the extra in pyproject.toml.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed; it comes with pip install 'jax-bioadv[{name}]'", name=error.name
        ) from error

"""The version of what is installed, which pyproject.toml alone says."""

from importlib import metadata

try:
    __version__ = metadata.version("jax-bioadv")
except metadata.PackageNotFoundError:  # a checkout that nobody installed
    __version__ = "0+uninstalled"

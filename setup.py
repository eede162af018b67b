"""What pyproject.toml cannot say: the wheel holds the experiments, for jax-bioadv-evaluate, below the library.

They lie there as in a clone, with the reference models, their weights and the explanations that they read, so that
nothing of the name ``experiments`` is installed.
"""

from setuptools import find_packages, setup

CLONE = "jax_bioadv._clone"
FOLDERS = {f"{CLONE}.{name}": name.replace(".", "/") for name in find_packages(include=["experiments*"])}
FILES = {f"{CLONE}.{name.replace('/', '.')}": name for name in ("results/quick", "results/quick/weights", "docs")}

setup(
    packages=[*find_packages(include=["jax_bioadv*"]), *FOLDERS, *FILES],
    package_dir={**FOLDERS, **FILES},
    package_data={
        "jax_bioadv": ["py.typed"],
        f"{CLONE}.results.quick": ["results.json"],
        f"{CLONE}.results.quick.weights": ["*"],
        f"{CLONE}.docs": ["reading.md"],
    },
)

"""What made a result: the code, the packages, the device. Part of every fingerprint and of results.json."""

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax

from experiments.engine.sources import digest_of

# Those that compute; a stage may well find other last digits under another version of one of them.
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "contourpy")
# Of JAX's options those that change which random numbers a key gives; told where they are not what they usually are.
USUALLY = {"jax_threefry_partitionable": True, "jax_random_seed_offset": 0}
OWN_PACKAGE = "jax-bioadv"


@cache
def influences() -> dict[str, str]:
    """What an outcome depends on besides code, settings and data."""
    device, options = jax.devices()[0], jax.config.values
    return {
        **{name: version(name) for name in PACKAGES},
        "x64": str(options["jax_enable_x64"]),
        "random_numbers": str(options["jax_default_prng_impl"]),
        "backend": " ".join(device.client.platform_version.split()),
        "device": device.device_kind,
        "platform": f"{device.platform}, {platform.system()} {platform.machine()}",
        **{name: str(options[name]) for name, usual in USUALLY.items() if options[name] != usual},
    }


def own_version() -> str:
    """This package's; its code has a digest of its own, so that a new number alone runs nothing again."""
    try:
        return version(OWN_PACKAGE)
    except PackageNotFoundError:
        return "not installed"


def environment(precision: str) -> dict[str, str]:
    """The process that writes results.json; what made the stages stands with them."""
    own = {OWN_PACKAGE: own_version(), "python": platform.python_version(), "precision": precision}
    return {**influences(), **own}


def stages_made_by(records: Iterable[Mapping[str, Any]]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """What made each stage, and a note for each stage that several things made.

    Args:
        records: of the tasks, as the ledger stored them.

    Returns:
        By stage, what stands in its records under ``made_by``, several values joined by commas; and the notes. Tasks of
        a stage may well have different code: its digest here is one of all of them.
    """
    found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for record in records:
        for name, value in record["made_by"].items():
            found[record["stage"]][name][value] += 1
    stages = {
        stage: {name: ", ".join(sorted(counts)) if name != "code" else _joined(counts) for name, counts in by.items()}
        for stage, by in found.items()
    }
    notes = [
        f"stage {stage}: its tasks were made by different versions of {name}: "
        + ", ".join(f"{value} ({count})" for value, count in sorted(counts.items()))
        for stage, by in found.items()
        for name, counts in by.items()
        if name != "code" and len(counts) > 1
    ]
    return stages, notes


def _joined(digests: Iterable[str]) -> str:
    return digest_of(sorted(digests))


def why_it_runs_again(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What tells a task's earlier record from the one that it would get now."""
    before, now = old.get("made_by", {}), new["made_by"]
    if before.get("code") != now["code"]:
        return "code"
    changed = [name for name in now if name not in ("code", OWN_PACKAGE) and before.get(name) != now[name]]
    if changed:
        return "another " + " and ".join(changed)
    settings = _different(old.get("settings", {}), new["settings"])
    return "settings " + ", ".join(settings) if settings else "what they build on"


def _different(old: Any, new: Any, path: Sequence[str] = ()) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        return [one for name in names for one in _different(old.get(name), new.get(name), (*path, name))]
    return [] if old == new else [".".join(path)]

"""What a sweep varies: a grid of settings, from a small TOML file or from the command line.

A file names a preset, settings that differ from it, and the grid; all of them may also stand on the command line::

    preset = "quick"
    seeds = 4
    models = "kh"
    [settings]
    layer.epochs = 10
    [grid]
    layer.delta = [0.0, 0.2, 0.4]
    layer.p = [2.0, 3.0, 4.0]
"""

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from experiments.models import SWEPT
from experiments.settings.paths import is_within, setting, with_settings
from experiments.settings.presets import PRESETS
from experiments.settings.reproduction import Settings

Grid = Mapping[str, Sequence[Any]]

KEYS = ("preset", "seeds", "models", "settings", "grid")
# The presets, with the models that sweeps train.
SWEEP_PRESETS = {
    name: dataclasses.replace(preset, models=",".join(model for model in preset.model_names if model in SWEPT))
    for name, preset in PRESETS.items()
}
UNREAD = (
    *("noise_start", "noise_start_hidden", "kmeans", "adversarial", "landscape", "spectra.last_on_data"),
    *("threats", "masking", "bounds", "smoothness", "boundaries", "corruptions"),
    *("attacks.published_images", "attacks.published_epsilons"),
)
"""What no task of a sweep reads."""


def _path(name: str) -> str:
    return name.strip().replace("-", "_")


def _type_of(settings: Settings, path: str) -> Any:
    """The type of the setting at a path; ValueError unless the path names one setting, that a sweep reads."""
    if is_within(path, UNREAD):
        raise ValueError(f"no task of a sweep reads {path!r}; leave it")
    if dataclasses.is_dataclass(setting(settings, path)):
        raise ValueError(f"{path!r} is a group of settings; name one of them, such as {path}.…")
    group, _, name = path.rpartition(".")
    return get_type_hints(type(setting(settings, group) if group else settings))[name]


def _typed(path: str, value: Any, kind: Any) -> Any:
    """A value as the setting at the path has it: an integer stands for a float, a list for a tuple."""
    if get_origin(kind) is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_typed(path, one, get_args(kind)[0]) for one in values)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{path}: {value!r} is none of {', '.join(get_args(kind))}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{path}: {value!r} is no {kind.__name__}")
    return value


def _type_in_grid(settings: Settings, path: str) -> Any:
    kind = _type_of(settings, path)
    if path in ("seeds", "models", "dataset", "precision"):
        raise ValueError(f"{path} cannot be part of a grid: it is the same for the whole sweep")
    return kind


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        path = f"{prefix}{_path(name)}"
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def parse_grid(texts: Sequence[str], settings: Settings) -> dict[str, tuple[Any, ...]]:
    """A grid from ``path=value,value…``; the values of a setting that is itself a list are joined by colons.

    Raises:
        ValueError: an unknown setting, no value, or one of the wrong type.
    """
    table: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values.strip():
            raise ValueError(f"{text!r}: a grid is written as SETTING=VALUE,VALUE,…")
        path = _path(name)
        if path in table:
            raise ValueError(f"{path} stands in the grid twice")
        kind = _type_in_grid(settings, path)
        table[path] = [_parsed(path, value, kind) for value in values.split(",")]
    return checked_grid(table, settings)


def _parsed(path: str, text: str, kind: Any) -> Any:
    text = text.strip()
    if get_origin(kind) is tuple:
        return [_parsed(path, part, get_args(kind)[0]) for part in text.split(":")]
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{path}: {text!r} is neither true nor false")
        return text.lower() == "true"
    if kind is int or kind is float:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{path}: {text!r} is no {kind.__name__}") from None
    return text


def checked_grid(table: Mapping[str, Any], settings: Settings) -> dict[str, tuple[Any, ...]]:
    """The grid with every value of its setting's type, none twice.

    Raises:
        ValueError: an unknown setting, a value of the wrong type, the same value twice, or none.
    """
    grid = {}
    for path, values in table.items():
        kind = _type_in_grid(settings, path)
        if not isinstance(values, list) or not values:
            raise ValueError(f"{path}: a grid needs a list of values, got {values!r}")
        grid[path] = tuple(_typed(path, value, kind) for value in values)
        if len(set(grid[path])) < len(values):
            raise ValueError(f"{path} has the same value twice: {values}")
    return grid


def read_file(path: Path) -> tuple[str, Settings, dict[str, tuple[Any, ...]]]:
    """Preset, settings and grid of a sweep's file.

    Raises:
        ValueError: the file cannot be read, is no TOML, or holds what no sweep has.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"cannot read the sweep {path}: {error}") from error
    unknown = [name for name in content if name not in KEYS]
    if unknown:
        raise ValueError(f"{path}: unknown {unknown[0]!r}; a sweep's file has {', '.join(KEYS)}")
    for name in ("settings", "grid"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{path}: {name} is a table; write [{name}] and one setting a line below it")
    preset = content.get("preset", "quick")
    if not isinstance(preset, str) or preset not in SWEEP_PRESETS:
        raise ValueError(f"{path}: unknown preset {preset!r}; choose among {', '.join(SWEEP_PRESETS)}")
    settings: Settings = SWEEP_PRESETS[preset]
    changes = _flat(content.get("settings", {})) | {
        name: content[name] for name in ("seeds", "models") if name in content
    }
    for name, value in changes.items():
        settings = with_settings(settings, {name: _typed(name, value, _type_of(settings, name))})
    return preset, settings, checked_grid(_flat(content.get("grid", {})), settings)


def points(grid: Grid) -> list[dict[str, Any]]:
    """Every combination of the grid's values, the last setting running fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

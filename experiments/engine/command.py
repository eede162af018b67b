"""What the commands of this package share: options, and the folder that each of them works in."""

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import jax
import tyro

from experiments.engine.options import as_in, without_options
from experiments.engine.tasks import exclusive
from experiments.engine.terminal import logging_to
from experiments.images import Images, RawImages
from experiments.settings.evaluation import EvaluationSettings, in_pixels
from experiments.settings.presets import PRESETS, Preset
from experiments.settings.reproduction import Settings
from experiments.settings.scale import AnySettings, for_data
from jax_bioadv import data
from jax_bioadv.compilation_cache import keep_compiled_programs
from jax_bioadv.processes import is_first
from jax_bioadv.user_folders import user_path

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a command finds and keeps what it works on: the options that all of them have."""

    preset: Preset = "quick"
    """Where the settings below start from."""
    data_dir: Path | None = None
    """Folder that holds, or will hold, the data; default: $JAX_BIOADV_DATA, else ~/.cache/jax-bioadv."""
    as_given: bool = False
    """Take every ε, radius and window as it stands; else those of a preset follow other data than its own, and raw
    pixels."""
    resize: int | None = None
    """Make every image so many pixels high and wide; needed where a folder holds images of several sizes."""
    drop_blank_images: bool = False
    """Leave out images that are all zero, which have no norm to be divided by; results say how many."""
    compiled: Path | None = None
    """Folder that keeps compiled programs for later runs, or off; default: $JAX_BIOADV_COMPILED, else
    ~/.cache/jax-bioadv/compiled."""


@dataclasses.dataclass(frozen=True)
class SideBySide(Place):
    """The options of a command whose tasks may run side by side."""

    workers: int = 1
    """Processes that share the device, and the cores: on an accelerator the others use it while one compiles or works
    on the host."""


@dataclasses.dataclass(frozen=True)
class Options(Place):
    """What a command that trains works on."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: PRESETS["quick"])


Command = TypeVar("Command", bound=Place)


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option that decides the defaults of all others.

    Raises:
        ValueError: it stands twice, so that no one value decides.
    """
    found: list[str | None] = []
    for place, argument in enumerate(arguments):
        if argument == name:
            found.append(arguments[place + 1] if place + 1 < len(arguments) else None)
        elif argument.startswith(f"{name}="):
            found.append(argument.removeprefix(f"{name}="))
    if len(found) > 1:
        raise ValueError(f"{name} stands {len(found)} times; give it once")
    return found[0] if found else None


def preset_of(arguments: Sequence[str]) -> Preset:
    """The preset that the command line names, or quick; ValueError if it names two."""
    chosen: Any = option(arguments, "--preset")
    return chosen if chosen in PRESETS else "quick"  # tyro then refuses another name, but would take any default


def with_user_paths(command: Command) -> Command:
    """The command with ``~`` in its paths replaced by the home folder; ValueError if there is none."""
    paths: Any = {name: user_path(value) for name, value in vars(command).items() if isinstance(value, Path)}
    return dataclasses.replace(command, **paths)


def parsed(
    kind: type[Command],
    presets: Callable[[Preset], Any],
    arguments: Sequence[str],
    prog: str,
    unread: Sequence[str] = (),
) -> Command:
    """The command line, with the settings of the preset that it names as defaults.

    Args:
        kind: of command; it has ``settings``.
        presets: the settings of each.
        arguments: of the command line.
        prog: what the command is called in its usage.
        unread: dotted paths of settings, and of groups of them, that are no options: no task reads them.

    Raises:
        ValueError: two presets, or a home folder that is not known.
    """
    chosen = preset_of(arguments)
    default = kind(preset=chosen, settings=presets(chosen))  # type: ignore[call-arg]
    return parsed_over(default, arguments, prog, unread)


def parsed_over(default: Command, arguments: Sequence[str], prog: str, unread: Sequence[str] = ()) -> Command:
    """The command line, with the values of a command as defaults; the rest as for :func:`parsed`."""
    for name, value in vars(default).items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, Path | None) and (f"{flag}=" in arguments or (flag, "") in itertools.pairwise(arguments)):
            raise ValueError(f"{flag} is given nothing; name a path, or leave it")
    offered = without_options(default, [f"settings.{path}" for path in unread])
    return with_user_paths(as_in(default, tyro.cli(type(offered), args=arguments, default=offered, prog=prog)))


def check_devices() -> None:
    """ValueError if JAX cannot use what it is asked to run on, before any work."""
    try:
        jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX finds no device: {str(error).splitlines()[0]} (JAX_PLATFORMS=cpu needs none)") from error


def load_images(place: Place, dataset_name: str) -> data.Dataset:
    """The data set, of which every image has a norm; DataError before any work if one has not."""
    dataset = data.load(dataset_name, place.data_dir, place.resize)
    if place.drop_blank_images:
        return data.without_blank_images(dataset)
    data.refuse_blank_images(dataset)
    return dataset


def images_of(place: Place, settings: Any, kind: type[Images] = Images) -> Images:
    """The images that the settings name, in the space of their kind."""
    return kind(load_images(place, settings.dataset), settings.norm)


def following(place: Place, settings: AnySettings, images: Images) -> AnySettings:
    """The settings whose lengths and windows follow the data, as experiments/settings/scale.py says."""
    if place.as_given:
        return settings
    settings, ratios = for_data(settings, place.preset, images.dataset)
    if ratios:
        told = ", ".join(f"{name} × {ratio:.2g}" for name, ratio in ratios.items())
        logger.info("ε, radii and windows of the preset follow %s (%s); not with --as-given", images.dataset.name, told)
    return settings


def following_in_pixels(
    place: Place, given: EvaluationSettings, images: RawImages, usual: EvaluationSettings
) -> EvaluationSettings:
    """The same for raw pixels, in which lengths are as many times larger as images are; those of ``usual`` follow."""
    followed = following(place, given, images)
    if place.as_given:
        return followed
    length = images.typical_norm
    logger.info("ε and lengths of the preset are in raw pixels: those of unit-norm images times %g", length)
    return in_pixels(followed, length, given, usual)


@contextlib.contextmanager
def working_in(
    directory: Path,
    place: Place,
    settings: AnySettings,
    images: Callable[[Place, AnySettings], Images] | None = None,
    locked: bool = True,
) -> Iterator[Images]:
    """The images, while the folder of the run is locked and logged into; of several hosts, by the first alone.

    A process that works for another, which has locked the folder, does not lock it again.

    Raises:
        ValueError: the data cannot be had, or cannot be classified.
        OSError: the folder cannot be written, or another run works in it.
    """
    with contextlib.ExitStack() as opened:
        if is_first():
            if locked:
                opened.enter_context(exclusive(directory))
            opened.enter_context(logging_to(directory))
        keep_compiled_programs(place.compiled)
        found = (images or images_of)(place, settings)
        with jax.default_matmul_precision(settings.precision):  # type: ignore[attr-defined]
            yield found

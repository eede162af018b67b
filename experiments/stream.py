"""Learn from images that do not fit into memory: ``python -m experiments.stream --preset paper --dataset imagenet64``.

The folder of the run then holds results.json, figures/ and report.html, as a reproduction's does; run again on the same
folder it continues where it was stopped, in the middle of an epoch too.
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from experiments.engine.command import SideBySide, following, parsed
from experiments.engine.job import Job, complete
from experiments.engine.ledger import Ledger
from experiments.settings.reproduction import Settings
from experiments.settings.streams import STREAM_PRESETS, UNREAD, StreamSettings
from experiments.stream_plan import StreamPlan
from experiments.streamed_images import StreamedImages, stored_images
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.data import DataError


@dataclasses.dataclass(frozen=True)
class Command(SideBySide):
    """Train and measure on images that do not fit into memory.

    A Krotov–Hopfield layer under a decoder, backpropagation, plain and with penalties, k-means, images as rows and
    random rows, learning from images that stay on the disk; covariance spectra, Jacobians and attacks on test images in
    memory. --dataset is imagenet64, ImageNet at 64 × 64 pixels, from the official files in the data folder or from
    TensorFlow Datasets; or a folder with train and val that jax_bioadv.data.stored.store wrote. Stop it whenever you
    like: run again on the same folder, it goes on where it was.
    """

    out: Path | None = None
    """Folder of the run; runs/stream-PRESET if not given."""
    # Stored images are as they are: these are no options.
    resize: Annotated[int | None, tyro.conf.Suppress] = None
    drop_blank_images: Annotated[bool, tyro.conf.Suppress] = False
    stream: StreamSettings = dataclasses.field(default_factory=StreamSettings)
    settings: Annotated[Settings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: STREAM_PRESETS["quick"]
    )


def parse(arguments: list[str]) -> Command:
    """See :func:`experiments.engine.command.parsed`."""
    return parsed(Command, STREAM_PRESETS.__getitem__, arguments, "python -m experiments.stream", UNREAD)


def run(command: Command) -> Path:
    """Do what the command says and return the folder of the run.

    Raises:
        ValueError: a setting that cannot work, or images that cannot be had, before any work.
        OSError: the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    from experiments.report.closing import close_run  # with Matplotlib, for which --help need not wait

    command.settings.check_values()
    command.stream.check()

    def what(plan: StreamPlan) -> str:
        dataset = plan.images.dataset
        return f"{command.preset} on a stream of {len(dataset.train_images)} images of {dataset.name}"

    def close(plan: StreamPlan, ledger: Ledger) -> list[str]:
        return close_run(plan, ledger, command.preset)

    directory = command.out or Path("runs") / f"stream-{command.preset}"
    complete(Job(directory, command, command.settings, partial(_planned, command), _images), what, close)
    return directory


def _images(command: Command, settings: Settings) -> StreamedImages:
    name, (training, testing) = Path(settings.dataset).name, stored_images(settings.dataset, command.data_dir)
    images = StreamedImages(name, training, testing, settings.norm, command.stream.test_images)
    shown = images.dataset.test_images
    blank = np.flatnonzero(~shown.reshape(len(shown), -1).any(axis=1))
    if len(blank):  # one that is learned from stays zero and moves nothing
        raise DataError(
            f"{testing.folder}: image {blank[0]} is all zero and has no unit norm; in all {len(blank)} of the first "
            f"{len(shown)} are: store the images again without them"
        )
    return images


def _planned(command: Command, images: StreamedImages) -> StreamPlan:
    return StreamPlan(following(command, command.settings, images), command.stream, images)


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)

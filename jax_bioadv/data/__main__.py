"""Fetch, export, verify or store a data set: ``jax-bioadv-data {fetch,export,verify,store} [NAME]``."""

import argparse
import logging
import sys

from jax_bioadv.command_line import exit_code, start
from jax_bioadv.data import Dataset, export, load, verify
from jax_bioadv.data.sources import DATA_FOLDER_VARIABLE
from jax_bioadv.data.stored_folder import store_folder
from jax_bioadv.user_folders import user_path


def run(arguments: list[str]) -> None:
    """Do what the command line says.

    Raises:
        DataError: the data cannot be had, kept or written.
    """
    options = parse(arguments)
    if options.command == "store":
        for images in store_folder(user_path(options.name), user_path(options.to), options.resize):
            height, width, channels = images.image_shape
            print(f"{images.folder}: {len(images)} images of {height} × {width} × {channels}")
        return
    if options.command == "verify":
        dataset = verify(options.name, options.data_dir)
    else:
        dataset = load(options.name, options.data_dir, getattr(options, "resize", None))
    if options.command == "export":
        print(f"exported to {export(dataset, user_path(options.to))}")
    _describe(dataset)
    if options.command == "fetch":
        # load() goes on where no copy can be kept; a fetch that kept none has failed.
        verify(options.name, options.data_dir)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


def _describe(dataset: Dataset) -> None:
    print(f"{dataset.name}: {len(dataset.train_images)} training and {len(dataset.test_images)} test images, verified")
    print(f"source: {dataset.source}")
    print(f"SHA-256 of the training images: {dataset.sha256}")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; argparse ends the process where it makes no sense."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, does in (
        ("fetch", "get a data set from the first source that has it, and keep a verified copy"),
        ("export", "write a data set as a folder of files below 50 MiB each, to carry to another machine"),
        ("verify", "check the copy in the data folder, without the network"),
        ("store", "make of a folder of images by class, of any size, what experiments.stream reads from the disk"),
    ):
        one = commands.add_parser(command, help=does, description=does)
        if command == "store":
            one.add_argument("name", help="folder with train/CLASS and test/CLASS")
            one.add_argument("--resize", type=int, help="make every image so many pixels high and wide")
            one.add_argument("--to", required=True, help="folder to write train and val into")
            continue
        one.add_argument("name", nargs="?", default="cifar10", help="data set, or its path (default: %(default)s)")
        one.add_argument(
            "--data-dir",
            help=f"folder to search and to keep copies in (default: ${DATA_FOLDER_VARIABLE}, ~/.cache/jax-bioadv)",
        )
        if command == "export":
            one.add_argument("--resize", type=int, help="make every image so many pixels high and wide")
            one.add_argument("--to", required=True, help="folder to write: new, empty or an earlier export")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    start(main)

"""Learning from a stream against the same loop on images in memory: ``python -m benchmarks.streams --out OUT.json``.

Random images, more than fit into the memory that a process may take, are written into a folder for stored images; a
Krotov–Hopfield layer learns from them, read ahead from the disk, and, in turns, from as many batches that stay in
memory. The file tells the throughput of both and the most memory that the process ever had.
"""

import argparse
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jax_bioadv.command_line import exit_code, start
from jax_bioadv.data.stored import StoredImages, store
from jax_bioadv.data.streams import ImageBatch, Stream
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.streaming import krotov_hopfield_chunk, krotov_hopfield_state
from jax_bioadv.storage import write_json
from jax_bioadv.user_folders import user_path

PART = 10_000
SIDE = 64


class Resident(Stream):
    """The first batches of a stream, kept in memory."""

    def __init__(self, stream: Stream, batches: int):
        super().__init__(stream.source, stream.batch_size, seed=stream.seed)
        self._kept = [stream.batch(number) for number in range(batches)]

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[ImageBatch]:
        return iter(self._kept[: None if stop is None else stop - start])


def _parts(images: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    numbers = np.random.default_rng(0)
    for first in range(0, images, PART):
        count = min(PART, images - first)
        yield numbers.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8), numbers.integers(0, 1000, count)


def measure(stored: StoredImages, hidden: int, batch_size: int, batches: int, rounds: int) -> dict[str, Any]:
    """Seconds of a chunk from the disk and from memory, in turns."""
    stream, rule = Stream(stored, batch_size, window=100 * batch_size), KrotovHopfield()
    loops = {
        name: krotov_hopfield_chunk(rule, source, 0.02, batches=batches, chunks=10 * rounds)
        for name, source in (("stream", stream), ("memory", Resident(stream, batches)))
    }
    state = krotov_hopfield_state(jax.random.key(0), rule, stored, hidden=hidden)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for index in range(rounds + 1):
        for name, chunk in loops.items():
            began = time.perf_counter()
            jax.block_until_ready(chunk(state, index))
            if index:  # the first compiles
                seconds[name].append(time.perf_counter() - began)
    medians = {name: float(np.median(each)) for name, each in seconds.items()}
    return {
        "images_per_second": {name: batches * batch_size / median for name, median in medians.items()},
        "seconds": seconds,
        "throughput_share": medians["memory"] / medians["stream"],
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stored = store(_parts(options.images), Path(folder) / "images", [str(n) for n in range(1000)], "random")
        found = measure(stored, options.hidden, options.batch_size, options.batches, options.rounds)
        found["stored_gb"] = (Path(folder) / "images" / "images.u8").stat().st_size / 1e9
    device = jax.devices()[0].device_kind
    versions = {"jax": jax.__version__, "numpy": np.__version__}
    command = shlex.join(["python", "-m", "benchmarks.streams", *options.given])
    write_json(options.out, {"command": command, "device": device, "versions": versions, **found})
    print(f"{found['throughput_share']:.0%} of the throughput in memory, at most {found['peak_gib']:.2f} GiB")


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument("--out", type=user_path, required=True, help="JSON file of the results")
    parser.add_argument("--folder", type=user_path, help="where the images are written; default: for temporary files")
    parser.add_argument("--images", type=int, default=350_000, help="of 64 × 64 pixels in three colours")
    parser.add_argument("--hidden", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=20, help="in a chunk")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(given)
    options.given = given
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    start(main)

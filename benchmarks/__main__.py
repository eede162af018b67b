"""``python -m benchmarks --out benchmarks/results/NAME``: run the stages, write NAME.json and NAME.md after each."""

import argparse
import dataclasses
import logging
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import require

if __name__ == "__main__":
    require("torch")

import jax

from benchmarks import eager_network, environment, floors, running, table, torch_compile, write_results
from benchmarks.stages import STAGES
from benchmarks.timing import Stopwatch
from benchmarks.workload import Sizes, Workload, make_workload
from jax_bioadv.command_line import IncompleteError, exit_code, start
from jax_bioadv.compilation_cache import compiling_afresh
from jax_bioadv.storage import read_json
from jax_bioadv.user_folders import user_path

SCHEMA = 2
logger = logging.getLogger("benchmarks")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=user_path, required=True, help="results go to OUT.json and OUT.md")
    parser.add_argument("--stages", default=",".join(STAGES), help="names, separated by commas; default: all")
    parser.add_argument("--rounds", type=int, default=15, help="most rounds of a stage; never fewer than 3 are run")
    parser.add_argument("--seconds", type=float, default=15.0, help="after so long, no new round of a stage starts")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds before each call; threads go to sleep in it")
    parser.add_argument("--precision", choices=("highest", "high", "default"), default="highest")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--data-dir", help="where CIFAR-10 is kept; see docs/reproduce.md")
    parser.add_argument("--synthetic", action="store_true", help="random images instead of CIFAR-10")
    parser.add_argument("--again", action="store_true", help="run stages again that OUT.json holds already")
    for field in dataclasses.fields(Sizes):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    return parser.parse_args(arguments)


def _settings(workload: Workload, options: argparse.Namespace) -> dict[str, Any]:
    return {
        **dataclasses.asdict(workload.sizes),
        "precision": workload.precision,
        "compile": not options.no_compile,
        "source": workload.source,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "pause": options.pause,
    }


def _earlier(path: Path, settings: dict[str, Any], about: dict[str, Any]) -> tuple[dict[str, Any], list[floors.Speed]]:
    """Stages of an earlier run that was the same in all that matters, and what speed it saw.

    Raises:
        ValueError: the file holds another run.
    """
    if not path.exists():
        return {}, []
    earlier = read_json(path)
    if [earlier.get(key) for key in ("schema", "settings", "environment")] != [SCHEMA, settings, about]:
        raise ValueError(
            f"{path} holds a run of an older form or with other settings, versions or device; give another --out or "
            "delete it"
        )
    stages = {name: entry for name, entry in earlier["stages"].items() if entry["agrees"]}
    return stages, [floors.Speed(**earlier["device"]["seen"])]


def _command(arguments: list[str]) -> str:
    """The command that measured a stage, without the folder of the data, which changes nothing."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith("--data-dir"):
            kept.append(argument)
        skip = argument == "--data-dir"
    return shlex.join(["python", "-m", "benchmarks", *kept])


def _write(out: Path, results: dict[str, Any]) -> None:
    results = running.with_floors(results)
    write_results(out, results, table.markdown(results))


def run(arguments: list[str]) -> None:
    """Run what the command says.

    Raises:
        IncompleteError: contestants that did not agree.
        ValueError: settings that cannot work, before any work.
    """
    options = parse(arguments)
    chosen = [name.strip() for name in options.stages.split(",")]
    for name in chosen:
        if name not in STAGES:
            raise ValueError(f"unknown stage {name!r}; choose among {', '.join(STAGES)}")
    sizes = Sizes(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Sizes)})
    sizes.check()
    eager_network.configure(options.precision)
    workload = make_workload(
        sizes,
        synthetic=options.synthetic,
        data_dir=options.data_dir,
        precision=options.precision,
    )
    settings, about = _settings(workload, options), environment.describe()
    stages, seen = _earlier(options.out.with_name(options.out.name + ".json"), settings, about)
    todo = [name for name in STAGES if name in chosen and (options.again or name not in stages)]
    if not todo:
        logger.info("all of it is measured: %s is written anew from its numbers", options.out.name + ".md")
        _write(options.out, read_json(options.out.with_name(options.out.name + ".json")))
        return
    stopwatch = Stopwatch(options.rounds, options.seconds, options.pause)
    published = all(getattr(sizes, name) == getattr(Sizes(), name) for name in ("hidden", "inputs", "batch_size"))
    start, command = time.perf_counter(), _command(arguments)
    with jax.default_matmul_precision(options.precision), compiling_afresh():
        device = running.measure_device(workload, stopwatch)
        if not options.no_compile:
            steps = torch_compile.steps(sizes.hidden, sizes.inputs, sizes.batch_size)
            mode, device.report["torch_compile"] = torch_compile.choose_mode(stopwatch, steps)
            workload = dataclasses.replace(workload, compile_mode=mode)
        device.report["seen"] = floors.best([*seen, floors.Speed(**device.report["seen"])])._asdict()
        results = {"schema": SCHEMA, "environment": about, "settings": settings, "device": device.report}
        for name in todo:
            began = time.perf_counter()
            entry = running.run_stage(name, STAGES[name], workload, stopwatch, device, published)
            stages[name] = {**entry, "command": command, "wall_seconds": time.perf_counter() - began}
            in_order = {each: stages[each] for each in STAGES if each in stages}
            _write(options.out, {**results, "stages": in_order, "wall_seconds": time.perf_counter() - start})
    if differing := [name for name in todo if not stages[name]["agrees"]]:
        raise IncompleteError(f"the contestants' results differ in {', '.join(differing)}")


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)

"""The Markdown page of a results file: ``python -m benchmarks.table FILE.json``.

With ``--into docs/performance.md`` its table takes the place of that page's.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.rows import CONTESTANTS
from benchmarks.targets import Target
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.storage import atomic_file, read_json
from jax_bioadv.user_folders import user_path

COLUMNS = (
    "stage",
    "PyTorch, as published",
    "lean, published algorithm",
    "lean, our algorithm",
    "the same, compiled",
    "ours",
    "published / ours",
    "same algorithm / ours",
    "target",
    "floor reached",
)
LEGEND = (
    "Medians of interleaved rounds with their quartiles, [lower, upper]. Published / ours compares with the published "
    "code's way to do it; same algorithm / ours with the faster of PyTorch with our algorithm and that under "
    "torch.compile. – stands for a contestant that does not run: the published algorithm, written lean, is left out "
    "where it is ours too or too slow to be worth a run."
)


def seconds_in_words(seconds: float | None, quartiles: Sequence[float] = ()) -> str:
    """Three digits and a unit; quartiles follow in the same unit."""
    if seconds is None:
        return "–"
    units = (("h", 3600.0, 7200.0), ("min", 60.0, 120.0), ("s", 1.0, 1.0), ("ms", 1e-3, 0.0))
    unit, size = next((unit, size) for unit, size, least in units if seconds >= least)
    spread = f" [{', '.join(f'{each / size:.3g}' for each in quartiles)}]" if quartiles else ""
    return f"{seconds / size:.3g} {unit}{spread}"


def _ratio(numerator: float | None, denominator: float) -> str:
    return "–" if numerator is None else f"{numerator / denominator:.3g}×"


def _target_cell(target: dict[str, Any] | None) -> str:
    if target is None:
        return "–"
    words = Target(target["ratio"], target["versus"]).words()
    reached = "" if target["versus"] == "eager" else f" ({1 / target['reached']:.3g}×)"
    return f"{words}: {'met' if target['met'] else '**missed**'}{reached}"


def _time_cell(contestant: dict[str, Any] | None) -> str:
    return "–" if contestant is None else seconds_in_words(contestant["median"], contestant["quartiles"])


def _cells(entry: dict[str, Any]) -> list[str]:
    if not entry["agrees"]:
        return [entry["title"], "the results differ: not timed", *[""] * (len(COLUMNS) - 2)]
    medians = {name: contestant["median"] for name, contestant in entry["contestants"].items()}
    ours = medians["ours"]
    same = [medians[name] for name in ("same", "compiled") if name in medians]
    return [
        entry["title"],
        *(_time_cell(entry["contestants"].get(name)) for name in CONTESTANTS),
        _ratio(medians.get("eager"), ours),
        _ratio(min(same, default=None), ours),
        _target_cell(entry["target"]),
        f"{100 * entry['floor']['share_reached']:.3g} %",
    ]


def _notes(entry: dict[str, Any]) -> str:
    texts = [entry["note"]]
    timed: dict[str, list[str]] = {}
    for name, contestant in entry["contestants"].items():
        if name not in CONTESTANTS:
            texts.append(f"{contestant['label']}: {_time_cell(contestant)}.")
        elif contestant["timed"] != "whole stage":
            timed.setdefault(contestant["timed"], []).append(name)
    texts += [f"Timed: {what} ({', '.join(names)}), extrapolated." for what, names in timed.items()]
    compilations = [
        f"{name} {seconds_in_words(contestant['compile_seconds'])}"
        for name, contestant in entry["contestants"].items()
        if name in ("compiled", "ours")
    ]
    if "compiled" in entry["contestants"]:
        texts.append(f"torch.compile: mode {entry['compile_mode']}, one graph.")
    texts += [f"Compilation, told apart: {', '.join(compilations)}."] if compilations else []
    texts += [text if text.endswith(".") else text + "." for text in entry["failures"].values()]
    checks = [
        f"{c['compared']} {c['difference']:.2g} ≤ {c['tolerance']:.2g}" for c in entry["agreement"] if c["passed"]
    ]
    wrong = [f"{c['compared']} {c['difference']} > {c['tolerance']:.2g}" for c in entry["agreement"] if not c["passed"]]
    texts.append(f"Agreement: {'; '.join(checks)}.")
    texts += [f"**Disagreement**: {'; '.join(wrong)}."] if wrong else []
    return " ".join(text for text in texts if text)


def table_lines(results: dict[str, Any]) -> list[str]:
    """The table alone, as docs/performance.md shows it."""
    rows = [_cells(entry) for entry in results["stages"].values()]
    return [
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(cells) + " |" for cells in rows),
    ]


def _modes(measured: dict[str, float | str]) -> str:
    """Why torch.compile runs in its mode."""
    if not measured:
        return ""
    words = (
        f"{mode} {seconds if isinstance(seconds, str) else seconds_in_words(seconds)}"
        for mode, seconds in measured.items()
    )
    return f" torch.compile runs in the mode in which a backpropagation step was the fastest: {', '.join(words)}."


def with_table(page: str, lines: list[str]) -> str:
    """The page with these lines in the place of its table.

    Raises:
        ValueError: the page has no speed table, or several.
    """
    old = page.split("\n")
    starts = [index for index, line in enumerate(old) if line.startswith(f"| {COLUMNS[0]} |")]
    if len(starts) != 1:
        raise ValueError(f"the page has {len(starts)} tables that begin with '| {COLUMNS[0]} |', where 1 is needed")
    end = starts[0]
    while end < len(old) and old[end].startswith("|"):
        end += 1
    return "\n".join([*old[: starts[0]], *lines, *old[end:]])


def markdown(results: dict[str, Any]) -> str:
    """The whole page: what it was measured on, the table, a note per row."""
    environment, sizes, device = results["environment"], results["settings"], results["device"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    best = device["best"]
    lines = [
        f"{environment['device']} ({environment['backend']}, {environment['processors']} processors, "
        f"{environment['torch_threads']} PyTorch threads), Python {environment['python']}, {versions}; "
        f"float32, precision {sizes['precision']}, {sizes['source']}, {sizes['hidden']} hidden units, "
        f"{sizes['inputs']} inputs, batches of {sizes['batch_size']}.",
        "",
        LEGEND,
        "",
        "The floor is what our algorithm's operations and bytes would take at the fastest product "
        f"({best['operations_per_second']['float32'] / 1e9:.4g} GFLOP/s in float32, "
        f"{best['operations_per_second']['float64'] / 1e9:.4g} in float64) and copy "
        f"({best['bytes_per_second'] / 1e9:.3g} GB/s) of the whole run. Ratios are of this run; on a CPU, seconds are "
        f"an indication.{_modes(device.get('torch_compile', {}))}",
        "",
        *table_lines(results),
        "",
        *(f"- **{entry['title']}.** {_notes(entry)}" for entry in results["stages"].values()),
        "",
        *(f"`{command}`" for command in dict.fromkeys(entry["command"] for entry in results["stages"].values())),
    ]
    return "\n".join(lines) + "\n"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("results", type=user_path, help="a JSON file of python -m benchmarks")
    parser.add_argument("--into", type=user_path, metavar="PAGE", help="put the table in the place of this page's")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> None:
    options = parse(arguments)
    results = read_json(options.results)
    if options.into is None:
        print(markdown(results))
        return
    page = with_table(options.into.read_text(encoding="utf-8"), table_lines(results))
    with atomic_file(options.into) as stream:
        stream.write(page.encode())


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)

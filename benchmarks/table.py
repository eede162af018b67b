"""The Markdown table of a results file: ``python -m benchmarks.table FILE.json``."""

import sys
from typing import Any

from benchmarks.rows import CONTESTANTS
from benchmarks.targets import Target
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.storage import read_json
from jax_bioadv.user_folders import user_path

COLUMNS = (
    "stage",
    "eager PyTorch",
    "lean PyTorch",
    "torch.compile",
    "ours",
    "eager / ours",
    "best PyTorch / ours",
    "target",
    "floor reached",
)


def seconds_in_words(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "–"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _ratio(numerator: float | None, denominator: float) -> str:
    return "–" if numerator is None else f"{numerator / denominator:.3g}×"


def _target_cell(target: dict[str, Any] | None) -> str:
    if target is None:
        return "–"
    words = Target(target["ratio"], target["versus"]).words()
    reached = "" if target["versus"] == "eager" else f" ({1 / target['reached']:.3g}×)"
    return f"{words}: {'met' if target['met'] else '**missed**'}{reached}"


def _cells(entry: dict[str, Any]) -> list[str]:
    if not entry["agrees"]:
        return [entry["title"], "the results differ: not timed", *[""] * (len(COLUMNS) - 2)]
    medians = {name: contestant["median"] for name, contestant in entry["contestants"].items()}
    ours = medians["ours"]
    rivals = [medians[name] for name in CONTESTANTS if name != "ours" and name in medians]
    return [
        entry["title"],
        *(seconds_in_words(medians.get(name)) for name in CONTESTANTS),
        _ratio(medians.get("eager"), ours),
        _ratio(min(rivals, default=None), ours),
        _target_cell(entry["target"]),
        f"{100 * entry['floor']['share_reached']:.3g} %",
    ]


def _notes(entry: dict[str, Any]) -> str:
    texts = [entry["note"]]
    timed: dict[str, list[str]] = {}
    for name, contestant in entry["contestants"].items():
        if name not in CONTESTANTS:
            texts.append(f"{contestant['label']}: {seconds_in_words(contestant['median'])}.")
        elif contestant["timed"] != "whole stage":
            timed.setdefault(contestant["timed"], []).append(name)
    texts += [f"Timed: {what} ({', '.join(names)}), extrapolated." for what, names in timed.items()]
    compilations = [
        f"{name} {seconds_in_words(contestant['compile_seconds'])}"
        for name, contestant in entry["contestants"].items()
        if name in ("compiled", "ours")
    ]
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
    """The table alone, as the README shows it."""
    rows = [_cells(entry) for entry in results["stages"].values()]
    return [
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(cells) + " |" for cells in rows),
    ]


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
        "Medians of interleaved rounds. The floor is what the stage's operations and bytes would take at the speed of "
        f"a measured product ({best['operations_per_second']['float32'] / 1e9:.4g} GFLOP/s in float32, "
        f"{best['operations_per_second']['float64'] / 1e9:.4g} in float64) and a measured copy "
        f"({best['bytes_per_second'] / 1e9:.3g} GB/s). Ratios are of this run; on a CPU, seconds are an indication.",
        "",
        *table_lines(results),
        "",
        *(f"- **{entry['title']}.** {_notes(entry)}" for entry in results["stages"].values()),
        "",
        *(f"`{command}`" for command in dict.fromkeys(entry["command"] for entry in results["stages"].values())),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    paths = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: [print(markdown(read_json(user_path(path)))) for path in paths])


if __name__ == "__main__":
    start(main)

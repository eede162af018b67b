"""Runs of several sizes or data sets: ``python -m experiments.report.side_by_side results/quick results/paper-h100``.

Verdict beside verdict, pair beside pair, number beside number, for the models that all the runs have.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments.attacks import attack_label
from experiments.models import in_order, label
from experiments.report.claims import findings
from experiments.report.claims.comparing import robuster
from experiments.report.claims.verdicts import Verdict
from experiments.report.markdown import HEADER, PATHS
from experiments.report.numbers import told
from experiments.results.schema import read_results, whole_results
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.user_folders import user_path

Runs = Sequence[dict[str, Any]]
COLUMNS = {**dict(zip(HEADER[1:], PATHS, strict=True)), "overturned by corruption": ("corruptions", "overturned")}
"""Of the table of numbers: in a model's results, what stands where."""
OUTCOMES = {1: "ahead", -1: "behind", 0: "not told apart"}


def _lines(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = tuple(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows))


def names_of(runs: Runs) -> list[str]:
    """What each run is called: its data set or its preset, whichever differs; with its place where neither does."""
    several = len({one["dataset"]["name"] for one in runs}) > 1
    sizes = len({one["preset"] for one in runs}) > 1 or not several
    words = [[one["dataset"]["name"]] * several + [one["preset"]] * sizes for one in runs]
    names = [" ".join(each) for each in words]
    return [f"{name} {place}" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def verdict_rows(runs: Runs) -> Iterator[tuple[str, ...]]:
    """Claims that one run at least can tell, with all verdicts."""
    found = [findings(one) for one in runs]
    for title in found[0]:
        verdicts = [one[title].verdict for one in found]
        if set(verdicts) != {Verdict.UNDECIDED}:
            yield title, *(verdict.value for verdict in verdicts)


def pair_rows(runs: Runs) -> Iterator[tuple[str, str, list[int], list[str]]]:
    """How the first of two models stands to the second, for pairs that all runs compare: outcomes and ratios."""
    for pair in runs[-1]["comparisons"]:
        what = pair["attack"], pair["first"], pair["second"]
        found = [one for results in runs if (one := robuster(results, *what)) is not None]
        if len(found) == len(runs):
            models = f"{label(what[1])}, {label(what[2])}"
            yield attack_label(what[0]), models, [one.outcome for one in found], [one.short for one in found]


def number_rows(runs: Runs) -> Iterator[tuple[str, ...]]:
    """For each model a row per run with its numbers."""
    for name in in_order(runs[0]["models"]):
        for results, run in zip(runs, names_of(runs), strict=True):
            if all(name in one["models"] for one in runs):
                yield label(name), run, *(told(results["models"][name], *path) for path in COLUMNS.values())


def page(runs: Runs) -> str:
    """All of it, in Markdown."""
    names = [
        f"{name} ({len(one['seeds'])} seed{'s' * (len(one['seeds']) > 1)})"
        for name, one in zip(names_of(runs), runs, strict=True)
    ]
    pairs = list(pair_rows(runs))
    same = sum(len(set(outcomes)) == 1 for *_, outcomes, _ in pairs)
    turned = sum({1, -1} <= set(outcomes) for *_, outcomes, _ in pairs)
    cells = [
        (attack, models, *(f"{OUTCOMES[one]} ({ratio})" for one, ratio in zip(outcomes, ratios, strict=True)))
        for attack, models, outcomes, ratios in pairs
    ]
    return "\n\n".join(
        [
            f"# Side by side: {', '.join(names)}",
            "Claims that one of the runs can tell at least:",
            _lines(("claim", *names), verdict_rows(runs)),
            "Pairs of models, by the critical distances of the first to those of the second. "
            f"Of {len(pairs)} outcomes {same} are the same, {turned} are turned round, "
            f"and {len(pairs) - same - turned} are told by some of the runs alone:",
            _lines(("attack", "pair", *names), cells),
            "Numbers, with their 95 % interval over seeds and images where there is one:",
            _lines(("model", "run", *COLUMNS), number_rows(runs)),
        ]
    )


def run(arguments: list[str]) -> None:
    if len(arguments) < 2:
        raise ValueError("name the folders of two finished runs or more")
    found = []
    for directory in map(user_path, arguments):
        with whole_results(directory):
            found.append(read_results(directory))
    print(page(found))


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)

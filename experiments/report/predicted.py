"""What a small run predicted of a large one: ``python -m experiments.report.predicted results/quick results/paper``.

Verdict beside verdict, pair beside pair, number beside number, for the models that both runs have.
"""

import sys
from collections.abc import Iterable, Iterator
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

OUTCOMES = {1: "ahead", -1: "behind", 0: "not told apart"}


def _lines(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = tuple(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows))


def verdict_rows(small: dict[str, Any], large: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Claims that one run at least can tell, with both verdicts."""
    predicted, found = findings(small), findings(large)
    for title, finding in found.items():
        verdicts = predicted[title].verdict, finding.verdict
        if set(verdicts) != {Verdict.UNDECIDED}:
            yield title, *(verdict.value for verdict in verdicts)


def pair_rows(small: dict[str, Any], large: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """How the first of two models stands to the second, for pairs that both runs compare."""
    for pair in large["comparisons"]:
        what = pair["attack"], pair["first"], pair["second"]
        differences = [robuster(results, *what) for results in (small, large)]
        if None not in differences:
            outcomes = (f"{OUTCOMES[one.outcome]} ({one.short})" for one in differences if one is not None)
            yield attack_label(what[0]), f"{label(what[1])}, {label(what[2])}", *outcomes


def number_rows(small: dict[str, Any], large: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """For each model two rows: its numbers in the small run, and in the large one."""
    for name in in_order(large["models"]):
        for results in (small, large):
            if name in small["models"]:
                yield label(name), results["preset"], *(told(results["models"][name], *path) for path in PATHS)


def page(small: dict[str, Any], large: dict[str, Any]) -> str:
    """All of it, in Markdown."""
    names = [f"{one['preset']} ({len(one['seeds'])} seed{'s' * (len(one['seeds']) > 1)})" for one in (small, large)]
    pairs = list(pair_rows(small, large))
    outcomes = [(one.partition(" (")[0], other.partition(" (")[0]) for *_, one, other in pairs]
    kept = sum(one == other for one, other in outcomes)
    turned = sum({one, other} == {OUTCOMES[1], OUTCOMES[-1]} for one, other in outcomes)
    return "\n\n".join(
        [
            f"# What {names[0]} predicted of {names[1]}",
            "Claims that one of the two can tell at least:",
            _lines(("claim", *names), verdict_rows(small, large)),
            "Pairs of models, by the critical distances of the first to those of the second. "
            f"Of {len(pairs)} outcomes {kept} are the same, {turned} are turned round, "
            f"and {len(pairs) - kept - turned} are told by one run alone:",
            _lines(("attack", "pair", *names), pairs),
            "Numbers, with their 95 % interval over seeds and images where there is one:",
            _lines(("model", "run", *HEADER[1:]), number_rows(small, large)),
        ]
    )


def run(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise ValueError("name the folders of two finished runs, the small one first")
    found = []
    for directory in map(user_path, arguments):
        with whole_results(directory):
            found.append(read_results(directory))
    print(page(*found))


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)

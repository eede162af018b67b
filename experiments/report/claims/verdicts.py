"""A claim, and what it comes to: a verdict, the sentence with the numbers, and the evidence on both sides."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from experiments.models import label


class Verdict(Enum):
    """How a claim came out: the paper's agree or contradict, those about evidence and our checks hold or do not."""

    AGREES = "agrees with the paper"
    HERE = "holds at this size"
    SHARED = "agrees, but so do controls"
    CONTRADICTS = "contradicts the paper"
    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "cannot tell"


class Finding(NamedTuple):
    """What was found on a claim: the verdict, the numbers in a sentence, and what speaks for and against it.

    ``models``: whose training the verdict hangs on. ``against``: the measured numbers that a red verdict rests on.
    """

    verdict: Verdict
    sentence: str
    supporting: tuple[str, ...] = ()
    opposing: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    against: frozenset[Hashable] = frozenset()


class Claim(NamedTuple):
    """A claim.

    Attributes:
        name: the anchor of its verdict.
        title: the claim, in a sentence.
        words: in a few words, for the table that opens the report.
        judge: a pure function from results to what was found.
        evidence: the anchors of the tables and figures that it rests on.
    """

    name: str
    title: str
    words: str
    judge: Callable[[Mapping[str, Any]], Finding]
    evidence: tuple[str, ...]


def undecided(why: str, supporting: Iterable[str] = (), opposing: Iterable[str] = ()) -> Finding:
    """A claim about which nothing can be told, and why."""
    return Finding(Verdict.UNDECIDED, why, tuple(supporting), tuple(opposing))


def names(models: Iterable[str]) -> str:
    """Models by name, separated by commas."""
    return ", ".join(label(model) for model in models)

"""What a claim comes to: a verdict, the sentence that gives it, and the evidence on both sides."""

from collections.abc import Hashable, Iterable
from enum import Enum
from typing import NamedTuple

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


class Claim(NamedTuple):
    """A claim in a sentence, its verdict in a sentence with numbers, and what speaks for and against it.

    ``models``: whose training the verdict hangs on. ``against``: the measured numbers that a red verdict rests on.
    """

    title: str
    verdict: Verdict
    sentence: str
    supporting: tuple[str, ...] = ()
    opposing: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    against: frozenset[Hashable] = frozenset()


def undecided(title: str, why: str, supporting: Iterable[str] = (), opposing: Iterable[str] = ()) -> Claim:
    """A claim about which nothing can be told, and why."""
    return Claim(title, Verdict.UNDECIDED, why, tuple(supporting), tuple(opposing))


def names(models: Iterable[str]) -> str:
    """Models by name, separated by commas."""
    return ", ".join(label(model) for model in models)

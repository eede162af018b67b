"""What the words of a report mean: docs/reading.md, in the page itself, and the way there from each table."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from experiments.report.page import Html, safe, section

READING = Path(__file__).parents[2] / "docs" / "reading.md"
EXPLAINED = {
    "accuracies": "Smoothness",
    "laws": "α",
    "tap-spectra": "α",
    "law-images": "Verdict of a spectrum",
    "law-noise": "Verdict of a spectrum",
    "critical_l2": "Critical distance",
    "critical_linf": "Critical distance",
    "compared": "Comparison",
    "controls": "Comparison",
    "threats": "Robust accuracy",
    "masked": "Masked gradients",
    "certified": "Certified distance",
    "smoothness": "Smoothness",
    "tap-smoothness": "Smoothness",
    "correlated": "Rank correlation",
    "planes": "Decision boundary",
    "corrupted": "Corrupted images",
}
"""The word that the table of an anchor hangs on."""


class Term(NamedTuple):
    """A word and what it means."""

    name: str
    text: str

    @property
    def anchor(self) -> str:
        return "word-" + re.sub(r"\W+", "-", self.name.lower())


@cache
def terms() -> dict[str, Term]:
    """The definitions of the page, by their words; none where the experiments run without the documentation."""
    if not READING.is_file():
        return {}
    blocks = re.findall(r"^(\S.*)\n: (.+(?:\n  .+)*)", READING.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: Term(name, re.sub(r"\*(.+?)\*", r"“\1”", " ".join(text.split()))) for name, text in blocks}


def way_to(anchor: str) -> Html:
    """A link from the table of an anchor to its word; nothing where it has none."""
    term = terms().get(EXPLAINED.get(anchor, ""))
    if term is None:
        return Html("")
    return Html(f'<p class="soft why"><a href="#{term.anchor}">What this is: {safe(term.name)}</a></p>')


def what_words_mean() -> Html:
    """All words."""
    if not terms():
        return Html("")
    entries = "".join(
        f'<dt id="{term.anchor}">{safe(term.name)}</dt><dd>{safe(term.text)}</dd>' for term in terms().values()
    )
    return section("words", "What the words mean", Html(f'<dl class="words">{entries}</dl>'))

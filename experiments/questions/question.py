"""What a question is, and what becomes of its folder when the tasks are done: results.json, figures, one page."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from experiments.engine.ledger import Ledger
from experiments.images import Images
from experiments.report import figures as drawing
from experiments.report import sections
from experiments.report.claims import Claim, Finding, Results, Verdict
from experiments.report.glossary import what_words_mean
from experiments.report.numbers import dig
from experiments.report.page import Html, bullets, document, paragraph, picture, safe, section, target
from experiments.results import figure_arrays
from experiments.results.schema import read_results
from experiments.settings.presets import Preset
from experiments.settings.questions import QuestionSettings
from jax_bioadv.storage import atomic_file, write_json

logger = logging.getLogger("experiments")


class Question(NamedTuple):
    """An open question of the paper.

    Attributes:
        number: by which the command line calls it.
        title: the question.
        hypothesis: what is expected and why, in a paragraph.
        method: how it is tested, a sentence each.
        plan: makes the plan from settings and images; it has ``all_tasks()``.
        collect: results.json from the finished tasks.
        pack: the arrays that figures need besides.
        makers: every figure by the name of its file, from results and arrays.
        captions: title and caption of each figure.
        claims: hypotheses, each with a pure function from results to what was found on it.
        tables: of the numbers, each by the title that verdicts call it by.
        changes: what would change a verdict.
        counted: how many products a task comes to, for the estimate of its time.
        outcomes_of: the question in whose folder the outcomes of its tasks lie, if they are the same; itself if 0.
    """

    number: int
    title: str
    hypothesis: str
    method: tuple[str, ...]
    plan: Callable[[QuestionSettings, Images], Any]
    collect: Callable[[Any, Ledger, Preset], dict[str, Any]]
    pack: Callable[[Any, Ledger], figure_arrays.Arrays]
    makers: Callable[[Results, figure_arrays.Arrays], Mapping[str, Callable[[], Figure]]]
    captions: Mapping[str, tuple[str, str]]
    claims: tuple[Claim, ...]
    tables: Callable[[Results], Mapping[str, Html]]
    changes: tuple[str, ...]
    counted: Callable[..., float]
    outcomes_of: int = 0


def findings(question: Question, results: Results) -> dict[Claim, Finding]:
    """What was found on each hypothesis; of one seed a verdict is about these networks alone, and says so."""
    found = {claim: claim.judge(results) for claim in question.claims}
    if len(dig(results, "seeds") or []) != 1:
        return found
    reach = " (one seed: about these networks only)."
    return {claim: one._replace(sentence=one.sentence.removesuffix(".") + reach) for claim, one in found.items()}


def close(question: Question, plan: Any, ledger: Ledger, preset: Preset, directory: Path) -> list[str]:
    """Write results.json, the figures and report.html into a folder, and say what was found.

    Returns:
        What did not succeed, a sentence each.
    """
    results = {"question": question.number, **question.collect(plan, ledger, preset)}
    write_json(directory / "results.json", results)
    figure_arrays.write(question.pack(plan, ledger), directory)
    undrawn = draw(question, directory)
    results["notes"] += undrawn.notes
    write_json(directory / "results.json", results)
    page = write_page(question, directory)
    found = findings(question, read_results(directory))
    told = [f"  {one.verdict.value}: {claim.title}" for claim, one in found.items()]
    logger.info("%s", "\n".join([question.title, *told, "", f"report: {page}"]))
    log = ledger.directory / "log.txt"  # of question 5 the fourth's
    return [f"{', '.join(undrawn.failed)} could not be drawn; {log} says why"] if undrawn.failed else []


def draw(question: Question, directory: Path) -> drawing.Undrawn:
    """Draw the figures of a question's folder, from results.json and figures.npz alone."""
    made = question.makers(read_results(directory), figure_arrays.read(directory))
    return drawing.draw(made, directory / "figures")


def write_page(question: Question, directory: Path) -> Path:
    """Write ``report.html``, whole or not at all, and return its path."""
    page = render(question, read_results(directory), directory / "figures")
    path = directory / "report.html"
    with atomic_file(path) as stream:
        stream.write(page.encode())
    return path


def render(question: Question, results: Results, figures: Path) -> str:
    """The page for a results dictionary and the directory that holds the PNG files."""
    found, tables = findings(question, results), question.tables(results)
    places = {name: title for name, (title, _) in question.captions.items()} | {name: name for name in tables}
    entries = [sections.claim_block(claim, one, places) for claim, one in found.items()]
    numbers = [Html(f'<div id="{target(name)}"><h3>{safe(name)}</h3>{body}</div>') for name, body in tables.items()]
    pictures = [picture(figures / f"{name}.png", *caption) for name, caption in question.captions.items()]
    body = [
        _header(question, results),
        section("short", "In short", _verdicts(found)),
        section("method", "How it was tested", bullets(question.method)),
        section("claims", "What was found", *entries),
        section("figures", "Figures", *pictures),
        section("numbers", "Numbers", *numbers),
        section("changes", "What would change these verdicts", bullets(question.changes)),
        section("notes", "Notes of the run", bullets(dig(results, "notes") or ["Nothing is missing."])),
        sections.stages(results),
        what_words_mean(),
    ]
    return document(f"Question {question.number}: {question.title}", body)


def _header(question: Question, results: Results) -> Html:
    data, seeds = dig(results, "dataset"), dig(results, "seeds")
    facts = {
        "question": str(question.number),
        "preset": dig(results, "preset"),
        "data": f"{data['name']}, {data['n_train']} training and {data['n_test']} test images",
        "seeds": str(len(seeds)),
    }
    return Html(
        f"<header><h1>{safe(question.title)}</h1>{paragraph(question.hypothesis)}{sections.facts_list(facts)}</header>"
    )


def _verdicts(found: Mapping[Claim, Finding]) -> Html:
    rows = "".join(
        f'<tr><td><a href="#claim-{claim.name}">{safe(claim.title)}</a></td><td>{sections.badge(one.verdict)}</td></tr>'
        for claim, one in found.items()
    )
    open_ones = sum(one.verdict is Verdict.UNDECIDED for one in found.values())
    text = (
        f"{len(found) - open_ones} of {len(found)} hypotheses are decided. A verdict needs a 95 % interval over seeds, "
        "and images where there are any, beyond a tolerance; one that hangs on a tolerance of ours, halved or raised "
        "by half, is none."
    )
    return Html(f'{paragraph(text)}<table class="verdicts"><tbody>{rows}</tbody></table>')

"""The report's sections: each a small function from a results dictionary to HTML."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.attacks import PUBLISHED_NOISE, attack_label
from experiments.models import label
from experiments.report import evidence_tables, words
from experiments.report.claims import Claim, Finding, Results, Verdict
from experiments.report.claims.comparing import MARGIN
from experiments.report.claims.settling import not_converged
from experiments.report.diagnostics_table import diagnostics_tables
from experiments.report.figures import FAMILIES
from experiments.report.glossary import terms
from experiments.report.numbers import (
    NOT_AVAILABLE,
    centre,
    dig,
    per_seed,
    present,
    signed_text,
    summary_text,
    told,
)
from experiments.report.page import Html, bullets, folded, paragraph, picture, safe, section, table, target
from experiments.report.tables import NORMS, accuracy_table, critical_table, models_of, spectra_table
from experiments.results.published import DATASET, EPOCHS, HIDDEN_UNITS, PUBLISHED, SOURCE

Groups = Mapping[str, list[tuple[Claim, Finding]]]
"""Claims and what was found on them, by heading."""
_BADGES = {
    Verdict.AGREES: "good",
    Verdict.HOLDS: "good",
    Verdict.HERE: "part",
    Verdict.SHARED: "part",
    Verdict.CONTRADICTS: "bad",
    Verdict.FAILS: "bad",
}
OPENING = "figure1"
_FEW = 4
"""Longer lists of evidence are folded."""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}".replace(",", "\u202f")


def facts_list(facts: Mapping[str, object]) -> Html:
    """What is known of a thing, name by name."""
    entries = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(fact)}</dd></div>" for name, fact in facts.items())
    return Html(f'<dl class="facts">{entries}</dl>')


def _seconds(results: Results) -> dict[str, float]:
    stages = dig(results, "stages") or {}
    return {name: float(seconds) for name in stages if (seconds := dig(stages, name, "seconds")) is not None}


def header(results: Results) -> Html:
    """What was run: preset, data, seeds, time, device."""
    dataset, environment = dig(results, "dataset") or {}, dig(results, "environment") or {}
    seeds = dig(results, "seeds") or []
    changed = dig(results, "changed_settings") or []
    facts: dict[str, object] = {
        "preset": (dig(results, "preset") or NOT_AVAILABLE) + (f", changed: {', '.join(changed)}" if changed else ""),
        "data": f"{dataset.get('name', NOT_AVAILABLE)}, {_count(dataset.get('n_train'))} training and "
        f"{_count(dataset.get('n_test'))} test images",
        "seeds": f"{len(seeds)} ({', '.join(str(seed) for seed in seeds)})" if seeds else NOT_AVAILABLE,
        "time": _duration(sum(_seconds(results).values())),
        "on": environment.get("device", NOT_AVAILABLE),
    }
    title = "<h1>Why are some neural representations robust?</h1>"
    lead = "Krotov–Hopfield learning against backpropagation, plain and regularized, after "
    return Html(f'<header>{title}<p class="soft">{safe(lead)}{safe(SOURCE)}.</p>{facts_list(facts)}</header>')


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {above + name: value}
    return flat


def stages(results: Results) -> Html:
    """Device and versions, seconds for each stage, and the settings."""
    rows = [[name.replace("_", " "), _duration(seconds)] for name, seconds in _seconds(results).items()]
    environment = dig(results, "environment") or {}
    facts: dict[str, object] = {
        "device": " · ".join(str(environment[k]) for k in ("device", "platform") if k in environment) or NOT_AVAILABLE,
        "matmul precision": environment.get("precision", NOT_AVAILABLE),
        "versions": ", ".join(f"{k} {environment[k]}" for k in ("python", "jax", "flax", "optax") if k in environment),
        "fingerprint of the training images": str(dig(results, "dataset", "sha256") or NOT_AVAILABLE)[:16],
    }
    settings = _flat(dig(results, "settings") or {})
    listed = table(["setting", "value"], [[name, str(value)] for name, value in settings.items()])
    every = folded("All settings", listed) if settings else ""
    return section("stages", "What was run", facts_list(facts), table(["stage", "time"], rows), every)


def _beside(published: float | None, values: Any, text: str) -> list[str]:
    ours = centre(values)
    if published is None:
        return ["–", text, "–"]
    known = ours is not None and not any(map(math.isinf, present(values)))
    return [f"{published:g}", text, signed_text(ours - published) if known and ours is not None else "–"]


def paper_beside_ours(results: Results) -> Html:
    """Published numbers, ours, and the difference."""
    rows = []
    for name, row in PUBLISHED.items():
        entry = dig(results, "models", name) or dig(results, "baselines", name) or {}
        spectrum = dig(entry, "spectrum", "images")
        alphas = dig(spectrum, "alpha")
        critical = ("critical_l2", PUBLISHED_NOISE, "median")
        columns = [
            _beside(row.test_accuracy, dig(entry, "test_accuracy"), told(entry, "test_accuracy")),
            _beside(row.alpha_images, alphas, summary_text(alphas, 3, centre(dig(spectrum, "stderr")))),
            _beside(row.median_critical_l2_gaussian, dig(entry, *critical), told(entry, *critical)),
        ]
        if row.test_accuracy is None:  # no network
            columns[0] = columns[2] = ["", "", ""]
        rows.append([label(name), *(cell for column in columns for cell in column)])
    groups = [("", 1), ("test accuracy", 3), ("α on images", 3), ("median critical L₂, published noise", 3)]
    preset, dataset = dig(results, "preset"), dig(results, "dataset", "name")
    text = (
        "± is the 95 % interval over seeds and test images; of α, behind which no images stand, over seeds alone, with "
        "one seed the regression's standard error. "
        "“2 of 3 seeds” means that the others are not available. The critical distance is by the published protocol, "
        "with new noise at every strength; everywhere else in this report the noise keeps one direction per image."
    )
    if preset != "paper" or dataset != DATASET:
        text += (
            f" The paper trained {HIDDEN_UNITS} hidden units for {EPOCHS} epochs on CIFAR-10; this is the preset "
            f"“{preset}” on {dataset}, so differences in the numbers are expected and the pattern is what to compare."
        )
    beside = table([""] + ["paper", "ours", "difference"] * 3, rows, groups)
    return section("paper", "Paper beside ours", beside, paragraph(text))


def measurements(results: Results) -> Html:
    """All tables of measured numbers."""
    tables = [accuracy_table(results), spectra_table(results)]
    tables += [critical_table(results, norm) for norm in NORMS]
    text = (
        "± is the 95 % interval over seeds and test images, which all seeds share; brackets where its arms differ. "
        "With one seed it is over images alone. Of α, r², norms of the pre-activation and counts, behind which no "
        "images stand, it is over seeds alone. ∞: more than half of the images were never flipped within the "
        "strengths tried; ≥: so it is in some seeds, and the median over seeds, ∞ the largest, is what is known to "
        "be reached."
    )
    return section("measurements", "What was measured", *tables, paragraph(text))


def evidence(results: Results) -> Html:
    """The tables that the verdicts rest on."""
    tables = [
        *evidence_tables.comparison_tables(results),
        *evidence_tables.threat_tables(results),
        evidence_tables.masking_table(results),
        evidence_tables.bounds_table(results),
        *diagnostics_tables(results),
        evidence_tables.smoothness_table(results),
        evidence_tables.correlations_table(results),
        evidence_tables.boundaries_table(results),
        evidence_tables.corruptions_table(results),
    ]
    return section("evidence", "Evidence", *tables)


def figures(directory: Path) -> Html:
    """All figures with captions that say what to look for; the one of the opening is not repeated."""
    pictures: list[Html] = []
    for name, (title, caption) in words.CAPTIONS.items():
        if name != OPENING:
            pictures.append(picture(directory / f"{name}.png", title, caption))
        for family, whose in FAMILIES.items():
            controls = directory / f"{name}_{family}.png"
            if controls.is_file():
                pictures.append(folded(f"{title}: {whose}", picture(controls, f"{title}: {whose}", words.CONTROLS)))
    return section("figures", "Figures", *pictures)


def badge(verdict: Verdict) -> str:
    return f'<span class="badge {_BADGES.get(verdict, "open")}">{safe(verdict.value)}</span>'


def opening(groups: Groups, directory: Path) -> Html:
    """The screen to take away: the five models under attack, and every verdict with the way to its evidence."""
    shown = picture(directory / f"{OPENING}.png", *words.CAPTIONS[OPENING])
    return beside_verdicts(shown, groups)


def beside_verdicts(shown: Html, groups: Groups) -> Html:
    """A figure, and beside it every verdict under its heading."""
    rows = ""
    for heading, group in groups.items():
        rows += f'<tr class="heading"><th colspan="2">{safe(heading)}</th></tr>'
        for claim, finding in group:
            link = f'<a href="#claim-{claim.name}" title="{safe(claim.title)}">{safe(claim.words)}</a>'
            rows += f"<tr><td>{link}</td><td>{badge(finding.verdict)}</td></tr>"
    verdicts = f'<table class="verdicts"><tbody>{rows}</tbody></table>'
    return Html(f'<div class="opening" id="opening"><div>{shown}</div><div>{verdicts}</div></div>')


def claim_block(claim: Claim, finding: Finding, names_of: Mapping[str, str] = words.PLACES) -> Html:
    """One claim: its verdict, the sentence, what speaks for and against it, and where that was measured."""
    sides = ""
    for name, lines in (("For", finding.supporting), ("Against", finding.opposing)):
        if lines:
            opened = " open" if len(lines) <= _FEW else ""
            sides += f"<details{opened}><summary>{name} ({len(lines)})</summary>{bullets(lines)}</details>"
        else:
            sides += f'<p class="soft">{name}: nothing</p>'
    told = f'<p class="verdict">{safe(finding.sentence)}</p><div class="sides">{sides}</div>'
    places = " · ".join(f'<a href="#{target(anchor)}">{safe(names_of[anchor])}</a>' for anchor in claim.evidence)
    body = f'<h4>{safe(claim.title)}</h4>{told}<p class="soft">Evidence: {places}</p>'
    return Html(f'<div class="claim" id="claim-{claim.name}">{badge(finding.verdict)}<div>{body}</div></div>')


def what_holds(results: Results, groups: Groups) -> Html:
    """The claims with their verdicts, group by group."""
    found = [finding for group in groups.values() for _, finding in group]
    count = {verdict: sum(finding.verdict is verdict for finding in found) for verdict in Verdict}
    counted = " · ".join(f"{verdict.value}: {number}" for verdict, number in count.items() if number)
    text = (
        f"Verdicts: {counted}. Numbers differ if their 95 % interval, over seeds and images, lies beyond a margin of "
        f"{MARGIN:.0%}, for rivals and controls alike; nothing counts that hangs on a tolerance of ours, halved or "
        "raised by half. A claim of the paper must beat the controls, which have no Krotov–Hopfield learning: where "
        "one does as well, the learning rule does not explain the pattern. The adversarially trained network is a "
        "yardstick, no control. The paper is contradicted only by networks of its size, schedule and penalties that "
        "have converged, and no number contradicts it twice; where such networks are missing, a pattern at most "
        "holds at this size."
    )
    if len(dig(results, "seeds") or []) == 1:
        text += " There is one seed: every verdict is about these networks, not about how they were trained."
    late = not_converged(results, models_of(results))
    if late:
        listed = ", ".join(map(label, late))
        text += f" Not converged in some or all seeds, so that longer training may change verdicts: {listed}."
    parts = [
        Html(f"<h3>{safe(name)}</h3>{''.join(claim_block(*one) for one in group)}") for name, group in groups.items()
    ]
    return section("claims", "What holds", paragraph(text), *parts)


def unconverged(results: Results) -> list[str]:
    """A sentence for every model and seed that did not converge, or whose numbers are missing."""
    sentences = []
    seeds = dig(results, "seeds") or []
    for name, model in models_of(results).items():
        for key, whose in (("converged", ""), ("decoder_converged", "the decoder of ")):
            flags = dig(model, key) or []
            late = [str(seeds[i] if i < len(seeds) else i) for i, flag in enumerate(flags) if flag is False]
            if late:
                sentences.append(f"{label(name)}: {whose}seed {', '.join(late)} did not converge.")
        columns = {
            "test accuracy": dig(model, "test_accuracy"),
            **{f"α on {kind}": dig(model, "spectrum", kind, "alpha") for kind in dig(model, "spectrum") or {}},
            **{
                f"median critical L₂, {attack_label(attack)}": dig(model, "critical_l2", attack, "median")
                for attack in dig(model, "critical_l2") or {}
            },
        }
        for what, values in columns.items():
            gone = [str(seeds[i] if i < len(seeds) else i) for i, value in enumerate(per_seed(values)) if value is None]
            if gone:
                sentences.append(f"{label(name)}: {what} is {NOT_AVAILABLE} for seed {', '.join(gone)}.")
    return sentences


def what_did_not_converge(results: Results) -> Html:
    """Members that did not converge or are missing, and the run's own notes."""
    sentences, notes = unconverged(results), dig(results, "notes") or []
    all_there = "of the accuracies, exponents and median critical distances that were measured none is missing"
    told = bullets(sentences) if sentences else paragraph(f"Every member converged, and {all_there}.")
    written = [Html("<h3>Notes of the run</h3>"), bullets([str(note) for note in notes])] if notes else []
    return section("unconverged", "What did not converge", told, *written)


def deviations(results: Results) -> Html:
    """Where we differ from the paper, and what is known to mislead."""
    return section("deviations", "Deviations from the paper, and known traps", bullets(words.deviations(results)))


def contents() -> Html:
    """Links to the sections."""
    names = {
        "paper": "Paper beside ours", "claims": "What holds", "figures": "Figures", "measurements": "Measurements",
        "evidence": "Evidence", "unconverged": "What did not converge", "deviations": "Deviations and traps",
        "stages": "What was run",
    }  # fmt: skip
    names |= {"words": "What the words mean"} if terms() else {}
    return Html("<nav>" + "".join(f'<a href="#{key}">{safe(name)}</a>' for key, name in names.items()) + "</nav>")

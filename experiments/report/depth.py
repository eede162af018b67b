"""``report.html`` of the study of depth."""

from pathlib import Path
from typing import Any

from experiments.models import label
from experiments.report import evidence_tables, sections
from experiments.report.claims import Results
from experiments.report.claims.comparing import MARGIN
from experiments.report.claims.depth import answers
from experiments.report.glossary import what_words_mean
from experiments.report.numbers import dig, summary_text, told, verdicts_text
from experiments.report.page import Html, bullets, document, paragraph, picture, safe, section, table
from experiments.report.tables import accuracy_table, critical_table, models_of, titled, windows_text
from jax_bioadv.styles import measure_name

CAPTIONS = {
    "accuracy": (
        "Accuracy and robustness over depth",
        "Each line is a model, each marker one of its depths, larger the deeper; bars, which may leave the picture: "
        "95 % intervals over seeds and images. Left: median length of the shortest adversarial perturbations. Then: "
        "the share of the first test images that no attack of the battery turns.",
    ),
    "spectra": (
        "Spectra of the layers",
        "Eigenvalues of the covariance of each convolution's overlaps, channels over all positions, against their "
        "rank, in the deepest networks; a line for each seed.",
    ),
    "filters": ("Filters of the first layer", "Each in a range of its own about grey; the first seed."),
}
TITLE = "Are deep, locally learned representations robust?"


def render(results: Results, figures: Path) -> str:
    """The page for a results dictionary and the directory that holds the PNG files."""
    shown, found = picture(figures / "accuracy.png", *CAPTIONS["accuracy"]), answers(results)
    words = (
        f"Numbers differ if their 95 % interval, over seeds and images, lies beyond a margin of {MARGIN:.0%}, for all "
        "alike; nothing counts that hangs on a tolerance of ours, halved or raised by half. Distances are those of the "
        "shortest perturbations found, on images that both of two networks classify correctly. All models of a depth "
        "are one architecture, and differ in how its filters come about. Lengths and ε are in raw pixels in [0, 1]."
    )
    body = [
        _header(results),
        sections.beside_verdicts(shown, {"Questions": found}),
        section("claims", "What holds", paragraph(words), *(sections.claim_block(*one) for one in found)),
        section("figures", "Figures", *(picture(figures / f"{n}.png", *CAPTIONS[n]) for n in ("spectra", "filters"))),
        section("robustness", "Robustness", *_robustness(results)),
        section("inside", "Representations", *_inside(results)),
        section("notes", "What is to be known", bullets(dig(results, "notes") or [])),
        sections.stages(results),
        what_words_mean(),
    ]
    return document(TITLE, body)


def _header(results: Results) -> Html:
    data, stack = dig(results, "dataset"), dig(results, "settings", "stack")
    facts = {
        "preset": dig(results, "preset"),
        "data": f"{data['name']}, {min(stack['images'], data['n_train'])} training images, {data['n_test']} to test",
        "filters": "–".join(map(str, stack["filters"]))
        + ("" if stack["stride"] == 1 else f", stride {stack['stride']}"),
        "depths": ", ".join(map(str, dig(results, "depths"))),
        "seeds": len(dig(results, "seeds")),
        "on": dig(results, "environment", "device"),
    }
    lead = "Local learning, its controls and backpropagation in one architecture of one to three convolutions."
    return Html(f'<header><h1>{TITLE}</h1><p class="soft">{safe(lead)}</p>{sections.facts_list(facts)}</header>')


def _robustness(results: Results) -> list[Html]:
    measured = {**results, "settings": dig(results, "settings", "measured")}
    tables = [accuracy_table(results), critical_table(results, "critical_l2"), *evidence_tables.threat_tables(measured)]
    tables += [evidence_tables.masking_table(results), evidence_tables.boundaries_table(results)]
    return [*tables, evidence_tables.smoothness_table(results), evidence_tables.correlations_table(results)]


def _inside(results: Results) -> list[Html]:
    """Spectra and smoothness of each representation."""
    rows, smooth = [], []
    taps = [(name, tap, one) for name, model in models_of(results).items() for tap, one in model["taps"].items()]
    measures = list(dict.fromkeys(measure for _, _, one in taps for measure in one["smoothness"]))
    for name, tap, one in taps:
        rows.append([label(name), tap, *_spectra(one.get("positions")), *_spectra(one.get("spectrum"))])
        smooth.append([label(name), tap, told(one, "jacobian_norm", "activation")])
        smooth[-1] += [told(one, "smoothness", measure) for measure in measures]
    head = ["", ""] + ["α", "r²", "verdict", "window of n"] * 2
    groups = [("", 2), ("channels over positions, on test images", 4), ("all values, on test images", 4)]
    names = [measure_name(measure).removesuffix(", logits") for measure in measures]
    return [
        titled("Covariance spectra", table(head, rows, groups), "tap-spectra"),
        titled("Smoothness", table(["", "", "‖∂a/∂x‖", *names], smooth), "tap-smoothness"),
    ]


def _spectra(spectrum: Any) -> list[str]:
    entry = dig(spectrum, "images")
    if entry is None:
        return ["–"] * 4
    numbers = [summary_text(entry["alpha"], 3), summary_text(entry["r2"], 4)]
    return [*numbers, verdicts_text(entry.get("verdict")) or "–", windows_text(entry["window"])]

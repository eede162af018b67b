"""``report.html`` of an evaluation: a network that a user brought, beside the published reference models.

Numbers of two spaces never share a column. Where the network takes raw pixels, the references stand beside it under the
threats to raw pixels, and with critical distances in units of each image's norm; all else of it has tables of its own.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.models import label
from experiments.plan import BATTERY
from experiments.report import evidence_tables, sections
from experiments.report.claims import Results
from experiments.report.diagnostics_table import diagnostics_tables
from experiments.report.glossary import what_words_mean
from experiments.report.numbers import dig, number_text, present, summary_text, told, verdicts_text
from experiments.report.page import Html, bullets, document, paragraph, picture, safe, section, table, with_own_ids
from experiments.report.tables import (
    NORMS,
    critical_table,
    models_of,
    spectra_table,
    titled,
    windows_text,
)
from experiments.threats import threat_labels
from jax_bioadv.styles import measure_name

CAPTIONS = {
    "taps": (
        "Spectra of the representations",
        "Eigenvalues of the covariance of each tap against their rank, on test images and on white noise. A power law "
        "is a straight line here; dashed the fit, over the shaded window. ◇ marks where two power laws meet, with the "
        "exponents in the legend, if they describe the spectrum from n = 1 better than one, as they do mouse V1's "
        "(band).",
    ),
    "robustness": (
        "Robustness",
        "Above: the share of the images classified correctly that survives a perturbation of strength ε. Below: each "
        "image's critical L₂ distance (box: quartiles, whiskers: 5 and 95 %).",
    ),
    "threats": (
        "Robust accuracy in the worst case",
        "The share of the first images that no attack of the battery turns, beside the reference models under the same "
        "threat. White markers: single attacks; lines: accuracy without attack.",
    ),
    "landscape": (
        "Smoothness and decisions around an image",
        "On the first of the planes on which boundaries are measured, through a test image (○). Left: the norm of the "
        "last tap's Jacobian, estimated along random directions, the same at all points, where the tap has many "
        "dimensions: the representation is smooth where it is small and changes little. Right: the class that is "
        "decided for, with contours of the largest softmax output. Distances are in the units of the images.",
    ),
    "corruptions": (
        "Corrupted images",
        "Left: accuracy against the severity of corruptions, over all kinds; 0 is the image itself. Look for a curve "
        "that falls less, not for one that starts lower. Right: accuracy over all severities, kind by kind. Bars are "
        "95 % intervals over images, of the references over seeds and images.",
    ),
}
IN_NORMS = (
    "Critical distances are in units of each image's own norm, in which the references' images have length 1: a "
    "perturbation of this network's image, found in raw pixels and kept within [0, 1] but under Gaussian noise, "
    "divided by that norm."
)
PUBLISHED = (
    "The reference models were trained and measured before, not here: they are those published in results/{from}, of "
    "{n_seeds} seeds; they take {images}. ± is the 95 % interval over seeds and test images, of one network over test "
    "images alone."
)
# Figures of few panels are not blown up; the names of models leave room for numbers.
STYLE = Html(
    "<style>figure img { width: auto; max-width: 100%; } "
    "@media (max-width: 44rem) { .scroll td:first-child { white-space: normal; } }</style>"
)
# Strengths that differ by less, as rounded ones do, are the same.
SAME = 1e-4
_ACCURACY = ("test_accuracy", "test_accuracy_interval", "test_accuracy_overall")
_SPACES = {"raw": "raw pixels in [0, 1]", "unit": "images divided by their own norm"}


def render(results: Results, figures: Path) -> str:
    """The page for a results dictionary and the directory that holds the PNG files."""
    pictures = [picture(figures / f"{name}.png", *one) for name, one in CAPTIONS.items()]
    body = [
        _header(results),
        section("figures", "Figures", *(with_own_ids(one, "figure") for one in pictures)),
        section("beside", "Beside the reference models", *_beside(results)),
        section("inside", "Representations", *_inside(results)),
        section("network", "The network by itself", *(with_own_ids(one, "alone") for one in _alone(results))),
        section("notes", "What is to be known", bullets([*_about(results), *dig(results, "notes")])),
        sections.stages(results),
        what_words_mean(),
    ]
    return document(f"{label(dig(results, 'network', 'name'))}: smooth, a power law, robust?", body)


def _header(results: Results) -> Html:
    network, data = dig(results, "network"), dig(results, "dataset")
    facts = {
        "made by": network["build"],
        "parameters": f"{network['parameters']:,}".replace(",", "\u202f"),
        "taps": ", ".join(network["taps"]),
        "takes": _SPACES[network["space"]] + (", normalised" if network["mean"] else ""),
        "data": f"{data['name']}, {data['n_test']} test images",
        "preset": dig(results, "preset"),
    }
    lead = "Is its representation smooth, a power law, robust? Measured as the models of arXiv 2405.00679."
    title = f"<h1>{safe(label(network['name']))}</h1>"
    return Html(f'<header>{STYLE}{title}<p class="soft">{safe(lead)}</p>{sections.facts_list(facts)}</header>')


def with_references(results: Results, *keys: str) -> dict[str, Any]:
    """Results whose models are the network's and the references', with these of their entries alone."""
    everyone = {**(dig(results, "references", "models") or {}), **results["models"]}
    kept = {name: {key: one[key] for key in keys if key in one} for name, one in everyone.items()}
    return {**results, "models": kept}


def same_threats(results: Results) -> dict[str, Any]:
    """Accuracies, and those under the threats that the network was measured under, at the same strength."""
    [own] = (model["robust_accuracy"] for model in results["models"].values())
    whole = with_references(results, *_ACCURACY, "robust_accuracy")
    for entry in whole["models"].values():
        entry["robust_accuracy"] = {
            threat: one
            for threat, one in entry.get("robust_accuracy", {}).items()
            if threat in own and math.isclose(one["epsilon"], own[threat]["epsilon"], rel_tol=SAME)
        }
    return whole


def same_corruptions(results: Results) -> dict[str, Any]:
    """Decisions on corrupted images, of the references only where the same set of corruptions was used."""
    whole, own = with_references(results, "corruptions"), evidence_tables.corruption_source(results)
    for entry in whole["models"].values():
        if (dig(entry, "corruptions", "source") or "made_here") != own:
            entry.pop("corruptions", None)
    return whole


def _beside(results: Results) -> list[Html]:
    """Tables of what has one meaning for all of them."""
    references, raw = dig(results, "references"), results["network"]["space"] == "raw"
    threats, distances = same_threats(results), _in_norms(results)
    words = "There are no reference models for these data; the notes say why."
    if references is not None:
        words = PUBLISHED.format(**references, n_seeds=len(references["seeds"]), images=_SPACES[references["space"]])
    parts = [paragraph(words), _at_a_glance(threats, distances), *evidence_tables.threat_tables(threats)]
    parts += map(paragraph, _protocols(results))
    parts += [critical_table(distances, "critical_l2"), *([paragraph(IN_NORMS)] if raw else [])]
    parts += [evidence_tables.corruptions_table(same_corruptions(results))]
    if references is None:
        return parts
    if raw:
        words = "Exponents have no unit, but hang on the images that a network takes: those of the references alone."
        return [*parts, paragraph(words), spectra_table({**results, "models": references["models"]})]
    whole = with_references(results, "spectrum", "critical_linf", "masking", "smoothness", "boundaries", "certified_l2")
    parts += [spectra_table(whole), critical_table(whole, "critical_linf"), evidence_tables.masking_table(whole)]
    parts += [evidence_tables.smoothness_table(whole), evidence_tables.boundaries_table(whole)]
    return [*parts, evidence_tables.bounds_table(whole)]


def _protocols(results: Results) -> list[str]:
    """How the references were attacked where that was otherwise."""
    [own] = (model["robust_accuracy"] for model in results["models"].values())
    chosen, published = results["settings"]["threats"], dig(results, "references", "threats")
    if published is None:
        return []
    said = [
        f"The references were attacked at ε = {published[threat]:g} under {threat_labels([threat])[threat]}: "
        f"--threats.{threat.replace('_', '-')} {published[threat]:g} sets this network beside them."
        for threat in own
        if not math.isclose(published[threat], chosen[threat], rel_tol=SAME)
    ]
    if any(published[name] != chosen[name] for name in BATTERY):
        said.append(f"Of the references: {evidence_tables.BUDGETS.format(**published)}")
    return said


def _at_a_glance(threats: Results, distances: Results) -> Html:
    """Accuracy, what is left of it under the worst of all attacks, and the shortest perturbations."""
    shown = threat_labels(evidence_tables.seen(threats["models"], "robust_accuracy"))
    rows = [
        [
            label(name),
            told(one, "test_accuracy"),
            *(told(one, "robust_accuracy", threat, "worst_case") for threat in shown),
            told(distances["models"][name], "critical_l2", "minimum_norm", "median"),
        ]
        for name, one in models_of(threats).items()
    ]
    head = ["", "test accuracy", *shown.values(), "median L₂ of the shortest, in norms of the image"]
    return Html(f"<h3>At a glance</h3>{table(head, rows)}")


def _in_norms(results: Results) -> dict[str, Any]:
    """Critical L2 distances in units of the image's norm."""
    whole = with_references(results, "critical_l2", "critical_l2_in_norms")
    for entry in whole["models"].values():
        entry["critical_l2"] = entry.get("critical_l2_in_norms", entry.get("critical_l2"))
    return whole


def _inside(results: Results) -> list[Html]:
    """Spectra and smoothness of each tap."""
    [model] = results["models"].values()
    rows, smooth = [], []
    measures = list(dict.fromkeys(name for tap in model["taps"].values() for name in tap["smoothness"]))
    for name, tap in model["taps"].items():
        for what, spectrum in (("", tap["spectrum"]), (", positions", tap.get("positions"))):
            if spectrum is None:
                continue
            row = [name + what]
            for kind in ("images", "noise"):
                entry = spectrum[kind]
                row += [summary_text(entry["alpha"], 3, (entry["stderr"] or [None])[0]), summary_text(entry["r2"], 4)]
                row += [verdicts_text(entry.get("verdict")) or "–", windows_text(entry["window"])]
            rows.append(row)
        smooth.append(
            [name, told(tap, "jacobian_norm", "activation"), *(told(tap, "smoothness", one) for one in measures)]
        )
    groups = [("", 1), ("on test images", 4), ("on white noise", 4)]
    head = [""] + ["α", "r²", "verdict", "window of n"] * 2
    words = (
        "A spectrum is that of all values of a representation; of a map also that of the channels, every position of "
        "every image being a sample. ± is the regression's standard error. Found by: "
        + "; ".join(f"{name}: {_found_by(tap)}" for name, tap in model["taps"].items() if "found_by" in tap)
        + "."
    )
    return [
        titled("Covariance spectra", table(head, rows, groups), "tap-spectra"),
        paragraph(words),
        titled(
            "Smoothness",
            table(["", "‖∂a/∂x‖", *(measure_name(one).removesuffix(", logits") for one in measures)], smooth),
            "tap-smoothness",
        ),
        paragraph("Means (‖∂a/∂x‖) and medians over the images examined, with 95 % intervals over them."),
    ]


def _found_by(tap: Mapping[str, Any]) -> str:
    found = tap["found_by"]["images"]
    sides = {"features": "covariance", "samples": "products of the images", "sketch": "random sketch"}
    return (
        f"{sides[found['side']]} of {number_text(found['features'])} values on {number_text(found['samples'])} images"
    )


def _alone(results: Results) -> list[Html]:
    """All that was measured of it, in its own space."""
    [attacked] = (model["n_attacked"] for model in results["models"].values())
    words = (
        f"Lengths and ε are in {_SPACES[results['network']['space']]}. Critical distances are those of the first "
        f"{summary_text(attacked, 4)} test images that are classified correctly; power laws are of the last tap."
    )
    tables = [*(critical_table(results, norm) for norm in NORMS)]
    tables += [evidence_tables.masking_table(results), *diagnostics_tables(results)]
    tables += [evidence_tables.smoothness_table(results), evidence_tables.boundaries_table(results)]
    bounded = any(present(dig(model, "certified_l2", "lipschitz", "median")) for model in results["models"].values())
    return [paragraph(words), *tables, *([evidence_tables.bounds_table(results)] if bounded else [])]


def _about(results: Results) -> list[str]:
    """How the network's space stands to the references'."""
    if results["network"]["space"] == "unit":
        return ["ε and lengths are in the space of the reference models, whose images are divided by their own norm."]
    return [
        "ε, radii and lengths are in raw pixels: grids of ε and radii are those of the preset times an image's median "
        "norm, strengths of threats are the usual ones. Perturbed images stay within [0, 1] but under Gaussian noise.",
        "White noise has the mean and the variance of the pixels of the test images.",
        "The reference models divide raw pixels by the image's norm inside, where they are attacked on raw pixels.",
    ]

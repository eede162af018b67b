"""The tables of measured numbers: accuracy and smoothness, spectra, critical distances."""

from typing import Any

from experiments.attacks import attack_labels
from experiments.models import in_order, label
from experiments.report.claims import Results
from experiments.report.glossary import way_to
from experiments.report.numbers import NOT_AVAILABLE, centre, dig, percent_text, summary_text, told
from experiments.report.page import Html, paragraph, safe, table

LONG = 9
"""Tables of more rows, the head among them, are folded: the paper's five models fit, with the baselines."""
NORMS = {"critical_l2": "L₂", "critical_linf": "L∞"}


def models_of(results: Results) -> dict[str, Any]:
    """The models of a run, in the paper's order; a network that was brought comes before them."""
    models, own = dig(results, "models") or {}, dig(results, "network", "name")
    return {model: models[model] for model in sorted(in_order(models), key=lambda name: name != own)}


def titled(title: str, body: Html, anchor: str = "") -> Html:
    """A table under its heading, to which ``anchor`` leads, with the way to its word; a long one is folded."""
    named = f' id="{safe(anchor)}"' if anchor else ""
    body = Html(body + way_to(anchor))
    if body.count("<tr") <= LONG:
        return Html(f"<h3{named}>{safe(title)}</h3>{body}")
    return Html(f'<details class="fold"{named}><summary>{safe(title)}</summary>{body}</details>')


def _converged(flags: Any, absent: str = NOT_AVAILABLE) -> str:
    if flags is None:
        return absent
    entries = [flag for flag in (flags if isinstance(flags, list) else [flags]) if flag is not None]
    return f"{sum(map(bool, entries))} of {len(entries)}" if entries else absent


def accuracy_table(results: Results) -> Html:
    """Accuracy, convergence, pruning and smoothness of each model."""
    head = [
        "model", "test accuracy", "images attacked", "converged seeds", "decoder converged", "pruned units",
        "‖∂a/∂x‖ activation", "‖∂h/∂x‖ pre-activation",
    ]  # fmt: skip
    rows = [
        [
            label(name),
            told(model, "test_accuracy"),
            summary_text(dig(model, "n_attacked"), 4),
            _converged(dig(model, "converged")),
            _converged(dig(model, "decoder_converged"), "–"),
            summary_text(dig(model, "pruned_units")),
            told(model, "jacobian_norm", "activation"),
            summary_text(dig(model, "jacobian_norm", "preactivation")),
        ]
        for name, model in models_of(results).items()
    ]
    return titled("Accuracy and smoothness", table(head, rows), "accuracies")


def windows_text(windows: Any) -> str:
    """The windows of n that fits used."""
    distinct = sorted({f"{pair[0]}–{pair[1]}" for pair in windows or [] if pair is not None})
    return ", ".join(distinct) or NOT_AVAILABLE


def spectra_table(results: Results) -> Html:
    """Exponents, straightness and windows, on images and on noise, of models and baselines."""
    kinds, rows = ("images", "noise"), []
    for name, entry in {**(dig(results, "baselines") or {}), **models_of(results)}.items():
        row = [label(name)]
        for kind in kinds:
            spectrum = dig(entry, "spectrum", kind)
            row += [
                summary_text(dig(spectrum, "alpha"), 3, centre(dig(spectrum, "stderr"))),
                summary_text(dig(spectrum, "r2"), 4),
                windows_text(dig(spectrum, "window")),
            ]
        rows.append(row)
    groups = [("", 1), ("on test images", 3), ("on white noise", 3)]
    return titled("Covariance spectra", table([""] + ["α", "r²", "window of n"] * 2, rows, groups), "laws")


def critical_table(results: Results, norm: str) -> Html:
    """Median critical distances in one norm and the share of images never flipped, per attack."""
    models = models_of(results)
    attacks = attack_labels(attack for model in models.values() for attack in dig(model, norm) or {})
    title = f"Median critical distance, {NORMS.get(norm, norm)}"
    if not attacks:
        return titled(title, paragraph("Not available in this run."), norm)
    rows = []
    for name, model in models.items():
        row = [label(name)]
        for attack in attacks:
            entry = dig(model, norm, attack)
            row += [told(entry, "median"), percent_text(centre(dig(entry, "censored")))]
        rows.append(row)
    groups = [("", 1), *((name, 2) for name in attacks.values())]
    head = [""] + ["median", "never flipped"] * len(attacks)
    return titled(title, table(head, rows, groups), norm)

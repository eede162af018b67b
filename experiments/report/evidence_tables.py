"""The tables of evidence: comparisons, threat models, masking, bounds, smoothness, boundaries and corruptions."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.attacks import attack_labels
from experiments.models import PAPER_MODELS, label
from experiments.report.claims import Results
from experiments.report.claims.comparing import with_interval
from experiments.report.numbers import (
    NOT_AVAILABLE,
    dig,
    near_first,
    p_text,
    percent_text,
    present,
    signed_text,
    summary_text,
    told,
)
from experiments.report.page import Html, paragraph, table
from experiments.report.tables import models_of, titled
from experiments.threats import threat_labels
from jax_bioadv.figures import corruption_name
from jax_bioadv.styles import measure_name

SHARES = "Shares of all these images, misclassified ones among them."
BUDGETS = (
    "Budgets for each image: {steps} steps of APGD with either loss and of PGD, transferred from the paper's other "
    "models; targeted APGD {targets} classes × {target_steps} steps, the minimum-norm attack {targets} × "
    "{minimum_norm_steps}; {restarts} restart(s); the Square attack {queries} queries."
)
_CORRUPTED_BY = {
    "made_here": "The corruptions are made here and are not CIFAR-10-C.",
    "cifar10_c": "The corrupted images are those of CIFAR-10-C.",
}
BOUNDS = {"lipschitz": "certified: Lipschitz", "relaxation": "certified: relaxation", "upper": "found by an attack"}


def _absent(title: str, anchor: str) -> Html:
    return titled(title, paragraph("Not available in this run."), anchor)


def seen(models: Mapping[str, Any], *path: str) -> list[str]:
    """The keys below a path that any of the models has, in the order in which they come."""
    return list(dict.fromkeys(key for model in models.values() for key in dig(model, *path) or {}))


def _compared(pair: Mapping[str, Any] | None, sign: float) -> list[str]:
    share = dig(pair, "superiority")
    if pair is None or "log_ratio" not in pair or (pair["log_ratio"] is None and share is None):
        return [NOT_AVAILABLE, "", ""]
    farther = percent_text(None if share is None else share if sign > 0 else 1 - share)
    return [with_interval(pair, sign), farther, p_text(dig(pair, "p_corrected")).removeprefix("= ")]


def comparisons_table(results: Results, anchor: str, title: str, pairs: Iterable[tuple[str, str]]) -> Html:
    """Ratio of critical distances, share of images on which the first is farther, corrected p, for each attack."""
    found = {
        (dig(pair, "attack"), dig(pair, "first"), dig(pair, "second")): pair
        for pair in dig(results, "comparisons") or []
    }
    attacks = attack_labels(str(attack) for attack, _, _ in found)
    rows = []
    for first, second in pairs:
        row = [f"{label(first)} / {label(second)}"]
        for attack in attacks:
            forth, back = found.get((attack, first, second)), found.get((attack, second, first))
            row += _compared(back, -1.0) if forth is None else _compared(forth, 1.0)
        if any(cell not in (NOT_AVAILABLE, "") for cell in row[1:]):
            rows.append(row)
    if not rows:
        return _absent(title, anchor)
    groups = [("", 1), *((name, 3) for name in attacks.values())]
    return titled(
        title, table(["critical distances"] + ["ratio", "farther on", "p"] * len(attacks), rows, groups), anchor
    )


def comparison_tables(results: Results) -> list[Html]:
    """The five models with each other, and the Krotov–Hopfield network with the controls."""
    controls = [model for model in models_of(results) if model not in PAPER_MODELS]
    words = (
        "Ratio of critical distances, paired over images, averaged over seeds, with its 95 % interval over seeds and "
        "images; the share of images on which the first is farther than the second (50 %: no difference); p, by which "
        "that interval stops to hold 1, after Holm's correction for all pairs of the attack."
    )
    return [
        comparisons_table(results, "compared", "The five models compared", itertools.combinations(PAPER_MODELS, 2)),
        comparisons_table(
            results, "controls", "Krotov–Hopfield compared with the controls", [("kh", model) for model in controls]
        ),
        paragraph(words),
    ]


def threat_table(results: Results, threat: str, name: str, anchor: str) -> Html:
    """Robust accuracy of each model under one threat model, attack by attack and in the worst case."""
    entries = {
        model: entry for model, row in models_of(results).items() if (entry := dig(row, "robust_accuracy", threat))
    }
    attacks = attack_labels(seen(entries, "attacks"))
    rows = [
        [
            label(model),
            told(entry, "worst_case"),
            told(entry, "clean"),
            *(told(entry, "attacks", attack) for attack in attacks),
        ]
        for model, entry in entries.items()
    ]
    first: Mapping[str, Any] = next(iter(entries.values()), {})
    counts = dict.fromkeys(int(count) for entry in entries.values() for count in present(dig(entry, "images")))
    others = "references" if dig(results, "network") is not None else "controls"
    images = f" or, for {others}, ".join(map(str, counts)) or NOT_AVAILABLE
    epsilon = dig(first, "epsilon")
    strength = f"ε = {NOT_AVAILABLE if epsilon is None else f'{epsilon:.3g}'}, {images} images"
    head = ["", "worst case", "no attack", *attacks.values()]
    return titled(f"Robust accuracy: {name}, {strength}", table(head, rows), anchor)


def threat_tables(results: Results) -> list[Html]:
    """A table for each threat model."""
    threats = threat_labels(seen(models_of(results), "robust_accuracy"))
    if not threats:
        return [_absent("Robust accuracy", "threats")]
    anchors = ["threats", *list(threats)[1:]]
    tables = [threat_table(results, *of, anchor) for of, anchor in zip(threats.items(), anchors, strict=True)]
    budget = dig(results, "settings", "threats")
    return [*tables, paragraph(f"{SHARES} {BUDGETS.format(**budget)}")] if budget is not None else tables


def _flagged(entry: Any) -> str:
    text = summary_text(dig(entry, "value"))
    return f"{text} ⚠" if any(flag for flag in dig(entry, "suspect") or [] if flag is not None) else text


def masking_table(results: Results) -> Html:
    """The checks for masked gradients, with their numbers and the verdict."""
    title, models = "Signs of masked gradients", models_of(results)
    checks = [check for check in seen(models, "masking") if check != "verdict"]
    if not checks:
        return _absent(title, "masked")
    rows = [
        [
            label(name),
            "; ".join(sorted({v.replace("_", " ") for v in dig(model, "masking", "verdict") or [] if v is not None}))
            or NOT_AVAILABLE,
            *(_flagged(dig(model, "masking", check)) for check in checks),
        ]
        for name, model in models.items()
    ]
    words = "Shares of the images examined, and differences of such shares; ± is over seeds alone."
    body = table(["", "verdict", *(check.replace("_", " ") for check in checks)], rows)
    return titled(title, Html(body + paragraph(words)), "masked")


def bounds_table(results: Results) -> Html:
    """Median certified distances, the shortest that attacks found, their ratio, and violations."""
    title, models = "Bounds on the L₂ distance to the nearest adversarial image (medians)", models_of(results)
    bounds = [bound for bound in BOUNDS if bound in seen(models, "certified_l2")]
    if not bounds:
        return _absent(title, "certified")
    rows = []
    for name, model in models.items():
        entry = dig(model, "certified_l2")
        medians = [told(entry, bound, "median") for bound in bounds]
        rows.append([label(name), *medians, told(entry, "gap"), summary_text(dig(entry, "violations"))])
    head = ["", *(BOUNDS[bound] for bound in bounds), "attack / certificate", "images that violate it"]
    return titled(title, table(head, rows), "certified")


def smoothness_table(results: Results) -> Html:
    """Every measure of smoothness."""
    title, models = "Measures of smoothness", models_of(results)
    measures = seen(models, "smoothness")
    if not measures:
        return _absent(title, "smoothness")
    rows = [
        [
            label(name),
            *(told(model, "smoothness", measure) for measure in measures),
        ]
        for name, model in models.items()
    ]
    return titled(title, table(["", *(measure_name(measure) for measure in measures)], rows), "smoothness")


def correlations_table(results: Results) -> Html:
    """Spearman's rank correlation of each measure with the critical distances, over models and seeds."""
    title = "What goes with robustness: Spearman's ρ over models and seeds"
    entries: Sequence[Mapping[str, Any]] = dig(results, "correlations") or []
    found = {(str(dig(one, "measure")), str(dig(one, "attack"))): one for one in entries}
    if not found:
        return _absent(title, "correlated")
    attacks = attack_labels(attack for _, attack in found)
    rows = []
    for measure in dict.fromkeys(measure for measure, _ in found):
        row = [measure_name(measure)]
        for attack in attacks:
            one = found.get((measure, attack), {})
            rho, ends = dig(one, "spearman"), dig(one, "interval")
            text = NOT_AVAILABLE if rho is None else signed_text(rho)
            if ends is not None and None not in ends:
                text += f" [{signed_text(ends[0])}, {signed_text(ends[1])}]"
            p = p_text(dig(one, "p_corrected"), bool(dig(one, "p_at_floor")))
            row += [text, p.removeprefix("= ")]
        rows.append(row)
    groups = [("", 1), *((name, 2) for name in attacks.values())]
    return titled(title, table([""] + ["ρ", "p"] * len(attacks), rows, groups), "correlated")


def boundaries_table(results: Results) -> Html:
    """Length and curvature of decision boundaries on planes through test images."""
    title, models = "Decision boundaries on random planes through test images", models_of(results)
    radii = near_first(seen(models, "boundaries"))
    if not radii:
        return _absent(title, "planes")
    columns = ("length", "curvature", "regions", "flips")
    rows = [
        [label(name), *(told(model, "boundaries", r, column) for r in radii for column in columns)]
        for name, model in models.items()
    ]
    groups = [("", 1), *((radius.replace("_", " "), len(columns)) for radius in radii)]
    head = [""] + ["length", "curvature", "regions", "planes with a boundary"] * len(radii)
    return titled(title, table(head, rows, groups), "planes")


def corruption_source(results: Results) -> str:
    """What corrupted the images, which is the same for all models of a run."""
    found = (dig(model, "corruptions", "source") for model in models_of(results).values())
    return next(filter(None, found), "made_here")


def corruptions_table(results: Results) -> Html:
    """Accuracy on corrupted images, over all of them and corruption by corruption."""
    title, models = "Accuracy on corrupted images", models_of(results)
    names = seen(models, "corruptions", "by_corruption")
    if not names:
        return _absent(title, "corrupted")
    columns = [(key,) for key in ("clean", "accuracy", "overturned")] + [("by_corruption", name) for name in names]
    rows = [
        [label(name), *(told(model, "corruptions", *path) for path in columns)]
        for name, model in models.items()
        if dig(model, "corruptions", "by_corruption")
    ]
    counts = dict.fromkeys(int(n) for model in models.values() for n in present(dig(model, "corruptions", "images")))
    images = " or ".join(map(str, counts))
    words = (
        f"The first {images} test images. Means over five severities, and over all corruptions; overturned: of the "
        "decisions on corrupted images the share that is wrong where the one on the image itself is right. "
        f"{_CORRUPTED_BY[corruption_source(results)]} What divides images by their norm does so after they are "
        "corrupted, which undoes a part of contrast and brightness."
    )
    head = ["", "not corrupted", "all", "overturned", *(corruption_name(name) for name in names)]
    return titled(title, Html(table(head, rows) + paragraph(words)), "corrupted")

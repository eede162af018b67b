"""The tables of question 1."""

from collections.abc import Mapping
from typing import Any

from experiments.models import label
from experiments.questions.deciding import alignments
from experiments.questions.why.adding import ADDING, adds
from experiments.questions.why.plan import START
from experiments.report.claims import Results
from experiments.report.evidence_tables import comparisons_table
from experiments.report.numbers import NOT_AVAILABLE, dig, number_text, summary_text
from experiments.report.page import Html, paragraph, table
from experiments.report.tables import accuracy_table, critical_table, models_of, spectra_table, windows_text
from jax_bioadv.analysis.broken_power_law import MOUSE_V1

EXPONENTS = "Exponents and their sum"
REST = "The fixed point"
SETTINGS = "Other settings of the rule"
LAWS = "Spectra as single and as broken power laws"
ROBUSTNESS = "Robustness"


def tables(results: Results) -> Mapping[str, Html]:
    """All of them, by title."""
    attacked = {name: one for name, one in models_of(results).items() if "test_accuracy" in one}
    those: dict[str, Any] = {**results, "models": attacked}
    pairs = [(START, model) for model in attacked if model != START]
    robust = [
        accuracy_table(those),
        critical_table(those, "critical_l2"),
        comparisons_table(results, "compared", f"Compared with {label(START)}", pairs),
    ]
    return {
        EXPONENTS: Html(_exponents(results) + _said()),
        REST: _rest(results),
        SETTINGS: _settings(results),
        ROBUSTNESS: Html("".join(robust)),
        LAWS: Html(_broken(results) + spectra_table(results)),
    }


def _exponents(results: Results) -> Html:
    verdicts = {True: "yes", False: "no", None: "open"}
    rows = [
        [
            label(model),
            *(summary_text(dig(entry, key)) for key in ("measured", "images", "layer", "inputs", "sum", "missing")),
            verdicts[adds(entry)],
            *(summary_text(dig(entry, key)) for key in ("diagonal", "unaligned", "nearby", "by_chance")),
            windows_text(dig(entry, "window")),
        ]
        for model, entry in alignments(results).items()
    ]
    head = [
        "", "measured", "of V C Vᵀ", "on noise", "of the images", "sum", "missing", "add", "of σ² vᵀCv",
        "random vectors", "aligned share", "by chance", "window of n",
    ]  # fmt: skip
    groups = [("", 1), ("α on images", 2), ("α that are added", 5), ("other predictions", 2), ("singular vectors", 2)]
    return table(head, rows, [*groups, ("", 1)])


def _said() -> Html:
    return paragraph(
        "All exponents of a row are over one window. “of V C Vᵀ” takes C from the training images; “measured” is the "
        "pre-activation on test images, by their own covariance. “missing” is the first less the sum: the exponent of "
        "λ_n / (σ_n² c_n). They "
        "add "
        f"if it is below {ADDING:.0%} of α on images. “of σ² vᵀCv” takes the variance of the images along the n-th "
        "singular vector, “random vectors” the singular values with vectors drawn at random. The aligned share of a "
        "vector lies in principal directions of ranks n / 1.5 to 1.5 n. ± is the 95 % interval over seeds."
    )


def _rest(results: Results) -> Html:
    rows = []
    for name, entry in (dig(results, "rest") or {}).items():
        shares = ("explained", "explained_without_push")
        keys = (*shares, *(f"{key}_often" for key in shares), "rows_with_one", "rows", "median_won", "pushes_a_win")
        row = [label(name), *(summary_text(dig(entry, key)) for key in keys)]
        for on in ("layer", "images"):
            row += [summary_text(dig(entry, kind, on)) for kind in ("trained", "predicted", "won", "linear")]
        rows.append(row)
    kinds = ["V", "of the fixed point", "of the means won", "W"]
    words = ["explained", "without push"]
    counts = ["rows with one", "rows", "images won", "pushes a win"]
    groups = [
        ("", 1),
        ("of all rows", 2),
        ("of the half that wins most", 2),
        ("", 4),
        ("α on noise", 4),
        ("α on images", 4),
    ]
    return table(["", *words, *words, *counts, *kinds, *kinds], rows, groups)


def _settings(results: Results) -> Html:
    keys = ("layer", "images", "sum", "missing", "nearby")
    rows = [
        [name, *(summary_text(dig(entry, key)) for key in keys), windows_text(dig(entry, "window"))]
        for name, entry in (dig(results, "variants") or {}).items()
    ]
    return table(["", "α on noise", "α on images", "sum", "missing", "aligned share", "window of n"], rows)


def _broken(results: Results) -> Html:
    keys = ("first_alpha", "break_at", "second_alpha", "delta_bic")
    recorded = [MOUSE_V1[key] for key in keys[:3]]
    rows = [["mouse V1", *(f"{middle:g} ({low:g} to {high:g})" for middle, low, high in recorded), "", "", ""]]
    for model, entry in models_of(results).items():
        numbers = [summary_text(dig(entry, "broken", key)) for key in keys]
        rows.append(
            [label(model), *numbers, *(summary_text(dig(entry, key)) for key in ("participation_ratio", "rank_me"))]
        )
    head = ["", "α before", "break at n", "α after", "ΔBIC", "participation ratio", "RankMe"]
    said = paragraph(
        "On test images, from n = 1; ΔBIC is what a single law is worse by. Mouse V1 after Pospisil & Pillow (PNAS "
        "2025),"
        f" median and range of seven recordings: a break is no mark against a layer. Of a layer with "
        f"fewer eigenvalues than a break needs it is {NOT_AVAILABLE} ({number_text(8)} bins of log n)."
    )
    return Html(table(head, rows) + said)

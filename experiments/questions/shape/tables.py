"""The tables of question 3."""

from collections.abc import Mapping

from experiments.models import label
from experiments.questions.shape.adding import MEASURED, reached
from experiments.questions.shape.causes import NAMES
from experiments.report.claims import Results
from experiments.report.evidence_tables import comparisons_table, threat_table
from experiments.report.numbers import NOT_AVAILABLE, dig, number_text, p_text, summary_text
from experiments.report.page import Html, paragraph, table
from experiments.report.tables import accuracy_table, critical_table, models_of, spectra_table, windows_text
from experiments.threats import THREAT_LABELS

EXPONENTS = "Exponents, wanted and found"
ROBUSTNESS = "Robustness"
PARTIAL = "What goes with critical distances"


def tables(results: Results) -> Mapping[str, Html]:
    """All of them, by title."""
    tried = dig(results, "settings", "threats", "names") or []
    pairs = dict.fromkeys((pair["first"], pair["second"]) for pair in dig(results, "comparisons") or [])
    robust = [
        accuracy_table(results),
        critical_table(results, "critical_l2"),
        comparisons_table(results, "compared", "Compared on the same images", pairs),
        *(threat_table(results, name, words, name) for name, words in THREAT_LABELS.items() if name in tried),
    ]
    return {
        EXPONENTS: Html(_exponents(results) + _said() + spectra_table(results)),
        ROBUSTNESS: Html("".join(robust)),
        PARTIAL: _partial(results),
    }


def _exponents(results: Results) -> Html:
    verdicts = {True: "yes", False: "no", None: "open"}
    rows = []
    for model, entry in models_of(results).items():
        found = dig(entry, "alignment") or {}
        row = [label(model)]
        for kind, key in MEASURED.items():
            wanted = dig(entry, "target", kind)
            answer = "" if wanted is None else verdicts[reached(results, model, kind)]
            row += [summary_text(found.get(key)), "" if wanted is None else summary_text(wanted), answer]
        row += [summary_text(found.get("inputs")), summary_text(found.get("missing"))]
        row += [summary_text(dig(entry, "predicted_noise")), summary_text(found.get("gain"))]
        rows.append([*row, summary_text(found.get("nearby")), windows_text(found.get("window"))])
    head = ["", *["found", "wanted", "reached"] * 2, "α", "missing", "α on noise", "along the images'", "share", "n"]
    groups = [
        *(("", 1), ("α on test images", 3), ("α on noise", 3), ("of the images", 1), ("from the sum", 1)),
        *(("if aligned", 1), ("noise", 1), ("aligned", 1), ("window", 1)),
    ]
    return table(head, rows, groups)


def _said() -> Html:
    return paragraph(
        "An exponent is reached if it misses the one wanted by less than 20 %, whether or not this is halved or raised "
        "by half. “if aligned” is what would be left for noise if the layer had this spectrum on images and singular "
        "vectors along theirs: the exponent of λ_n / c_n, the largest first. “along the images'” is the exponent of "
        "the variance on noise along the directions of the spectrum on images, in their order; below 0 it rises. ± is "
        "the 95 % interval over seeds."
    )


def _partial(results: Results) -> Html:
    rows = []
    for one in dig(results, "partial") or []:
        low, high = (number_text(end, 2) for end in one["interval"])
        given = ", ".join(NAMES[name] for name in one["given"])
        number = f"{number_text(one['spearman'], 2)} [{low}, {high}]"
        rows.append([NAMES[one["measure"]], given, number, p_text(one["p_corrected"], one["p_at_floor"])])
    said = paragraph(
        "Partial rank correlations with the median distance of the minimum-norm attack over all networks and seeds, "
        "clustered by the kind of network, whatever the weight of its penalty; p after Holm's correction for this "
        f"table. {'' if rows else NOT_AVAILABLE.capitalize() + ': there are too few kinds.'}"
    )
    return Html(table(["", "given", "ρ", "p"], rows) + said)

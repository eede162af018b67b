"""How much of a power law each spectrum is: tables of the fit's diagnostics, on images and on white noise."""

from typing import Any

from experiments.models import label
from experiments.report.claims import Results
from experiments.report.claims.spectra import INPUTS
from experiments.report.numbers import (
    NOT_AVAILABLE,
    centre,
    dig,
    number_text,
    percent_text,
    summary_text,
    verdicts_text,
)
from experiments.report.page import Html, paragraph, table
from experiments.report.tables import models_of, titled
from jax_bioadv.analysis.power_law import EXPONENT_TOLERANCE

WORDS = (
    "Verdict of the diagnostics of log λ against log n in the fit's window; curvature is the second derivative, 0 for "
    f"a power law. A power law's α differs by no more than {EXPONENT_TOLERANCE:.0%} between the halves of the window; "
    "where it does, the verdict names the alternative that fits best. Broken is no mark against a model: the spectra "
    "of mouse V1 are, with a break near n = 15, where the window begins. ΔBIC: above 0 the data prefer the "
    "alternative, a curved or broken (at n) power law or an exponential. Held out: directions from training images, "
    "variances along them on test images; for a layer on noise, directions of noise without end. Weighted: with "
    "weights 1/n. ± is over seeds alone, for one seed the regression's standard error."
)
HEAD = [
    "", "verdict", "α", "r²", "curvature", "α over windows", "change of α", "largest deviation", "ΔBIC curved",
    "ΔBIC exponential", "ΔBIC broken", "broken at n", "α held out", "verdict held out", "α weighted",
]  # fmt: skip


def _verdicts(entry: Any) -> str:
    return verdicts_text(dig(entry, "verdict")) or NOT_AVAILABLE


def _range(pairs: Any) -> str:
    ends = [pair for pair in pairs or [] if pair is not None and None not in pair]
    if not ends:
        return NOT_AVAILABLE
    return f"{number_text(min(low for low, _ in ends))} to {number_text(max(high for _, high in ends))}"


def _alpha(entry: Any) -> str:
    return summary_text(dig(entry, "alpha"), 3, centre(dig(entry, "stderr")))


def diagnostics_table(results: Results, kind: str) -> Html:
    """One row per model and baseline whose spectrum on this kind of input was examined."""
    title, rows = f"Is it a power law? Spectra on {INPUTS.get(kind, kind)}", []
    for name, entry in {**(dig(results, "baselines") or {}), **models_of(results)}.items():
        spectrum = dig(entry, "spectrum", kind)
        if dig(spectrum, "verdict") is None:
            continue
        held_out, weighted = (dig(entry, "spectrum", f"{kind}_{what}") for what in ("held_out", "weighted"))
        rows.append(
            [
                label(name),
                _verdicts(spectrum),
                _alpha(spectrum),
                summary_text(dig(spectrum, "r2"), 4),
                summary_text(dig(spectrum, "curvature"), 2, centre(dig(spectrum, "curvature_stderr"))),
                _range(dig(spectrum, "alpha_range")),
                percent_text(centre(dig(spectrum, "exponent_change"))),
                summary_text(dig(spectrum, "max_deviation"), 2),
                summary_text(dig(spectrum, "curved_delta_bic")),
                summary_text(dig(spectrum, "exponential_delta_bic")),
                summary_text(dig(spectrum, "broken_delta_bic")),
                summary_text(dig(spectrum, "break_at")),
                _alpha(held_out) if held_out else "—",
                _verdicts(held_out) if held_out else "—",
                _alpha(weighted),
            ]
        )
    return titled(title, table(HEAD, rows) if rows else paragraph("Not available in this run."), f"law-{kind}")


def diagnostics_tables(results: Results) -> list[Html]:
    """On images and on white noise, with what the columns mean."""
    return [*(diagnostics_table(results, kind) for kind in INPUTS), paragraph(WORDS)]

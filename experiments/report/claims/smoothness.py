"""Claims about smoothness: of representations and decision boundaries, and what of it goes with robustness."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.attacks import attack_label
from experiments.models import label
from experiments.report.claims.comparing import (
    SIGNIFICANCE,
    Difference,
    Results,
    compare,
    controls_of,
    measured,
    standing,
)
from experiments.report.claims.judging import judge
from experiments.report.claims.robustness import RIVALS
from experiments.report.claims.spectra import is_power_law, spectrum_text
from experiments.report.claims.verdicts import Finding, Verdict, names, undecided
from experiments.report.numbers import centre, dig, near_first, p_text, signed_text
from jax_bioadv.analysis import statistics
from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.styles import measure_name

LARGER_IS_SMOOTHER = ("margin_over_gradient",)
NO_SMOOTHNESS = ("alpha_images", "alpha_noise", "test_accuracy")
OF_LOGITS = (
    "logit_jacobian_spectral", "relative_logit_jacobian", "loss_curvature", "loss_hessian_spectral", "margin_curvature",
    "margin_over_gradient", "lipschitz_local", "lipschitz_global", "relative_lipschitz_local",
)  # fmt: skip
"""Measures of the whole network; the last linear map and the margin have a part in them."""
FEWEST_MODELS = 5
"""A rank correlation over fewer models tells nothing."""


def jacobian_norm(results: Results, model: str) -> Overall | None:
    """The mean norm of the Jacobian of the hidden activation."""
    return measured(dig(results, "models", model), "jacobian_norm", "activation")


def smoother(results: Results) -> Finding:
    """Paper: the Krotov–Hopfield representation is smoother, by the norm of its Jacobian."""
    ours = jacobian_norm(results, "kh")
    if ours is None:
        return undecided("The norm of the Krotov–Hopfield network's Jacobian is not available.")

    def difference(other: str) -> Difference | None:
        return compare(ours, jacobian_norm(results, other), smaller_is_better=True)

    rivals, controls = standing(RIVALS, difference), standing(controls_of(results), difference)
    finding = judge(rivals, controls, "mean ‖∂a/∂x‖ over test images", "jacobian norm")
    supporting, opposing = list(finding.supporting), list(finding.opposing)
    for measure in dig(results, "models", "kh", "smoothness") or {}:
        one, other = (measured(dig(results, "models", m), "smoothness", measure) for m in ("kh", "bp"))
        found = compare(one, other, smaller_is_better=measure not in LARGER_IS_SMOOTHER)
        if found is not None and measure != "jacobian_frobenius":
            _book(found, f"{measure_name(measure)}, against backprop", supporting, opposing)
    return finding._replace(supporting=tuple(supporting), opposing=tuple(opposing))


def _book(found: Difference, what: str, supporting: list[str], opposing: list[str]) -> None:
    """A line for the claim if the first is better; against it if it is worse, or not told apart."""
    (supporting if found.outcome > 0 else opposing).append(
        f"{what}{'' if found.outcome else ', not told apart'}: {found.text}"
    )


def regularizers_smooth_without_power_law(results: Results) -> Finding:
    """Paper: weight decay and the Jacobian penalty give smoothness, but no power law."""
    supporting: list[str] = []
    opposing: list[str] = []
    missing: list[str] = []
    unsettled: list[str] = []
    against: dict[Hashable, str] = {}
    for model in ("l2", "jacobian"):
        found = compare(jacobian_norm(results, model), jacobian_norm(results, "bp"), smaller_is_better=True)
        if found is None:
            missing.append(f"the Jacobian norms of {names([model])} and backprop")
        elif found.outcome == 0:
            unsettled.append(f"{names([model])} is not told apart from backprop in smoothness")
        else:
            words = f"{names([model])}: mean ‖∂a/∂x‖ {found.text} without regularization"
            (supporting if found.outcome > 0 else opposing).append(words)
            if found.outcome < 0:
                against["jacobian norm", frozenset((model, "bp"))] = model
        for kind, inputs in (("images", "on images"), ("noise", "on noise")):
            law = is_power_law(results, model, kind)
            entry = dig(results, "models", model, "spectrum", kind)
            if law is None:
                missing.append(f"one verdict on the spectrum of {names([model])} {inputs}")
            else:
                (opposing if law else supporting).append(f"{names([model])} {inputs}: {spectrum_text(entry)}")
                if law:
                    against["law", model, kind] = model
    if opposing:
        said = f"Against it: {'; '.join(opposing)}."
        models = tuple(dict.fromkeys((*against.values(), "bp")))
        numbers = frozenset(against)
        return Finding(Verdict.CONTRADICTS, said, tuple(supporting), tuple(opposing), models, numbers)
    if missing or unsettled:
        said = "; ".join([*unsettled, *([f"not available: {', '.join(missing)}"] if missing else [])])
        return undecided(f"{said[0].upper()}{said[1:]}.", supporting)
    return Finding(Verdict.AGREES, f"{'; '.join(supporting)}.", tuple(supporting), (), ("l2", "jacobian", "bp"))


def smoother_boundaries(results: Results) -> Finding:
    """Paper: the Krotov–Hopfield network's decision boundaries are smoother."""
    radii = near_first(dig(results, "models", "kh", "boundaries") or {})
    if not radii:
        return undecided("The boundaries' lengths on planes through test images are not available.")

    def compared(other: str, radius: str, what: str) -> Difference | None:
        ours, theirs = (measured(dig(results, "models", m), "boundaries", radius, what) for m in ("kh", other))
        return compare(ours, theirs, smaller_is_better=True)

    def nearest(other: str) -> Difference | None:
        return compared(other, radii[0], "length")

    rivals, controls = standing(RIVALS, nearest), standing(controls_of(results), nearest)
    quantity = f"boundary length per plane of {radii[0].replace('_', ' ')}"
    finding = judge(rivals, controls, quantity, "boundary length")
    supporting, opposing = list(finding.supporting), list(finding.opposing)
    others = [(radius, what, rival) for radius in radii for what in ("length", "curvature") for rival in RIVALS]
    for radius, what, rival in others:
        found = compared(rival, radius, what)
        if found is not None and (radius, what) != (radii[0], "length"):
            where = f"{what} at {radius.replace('_', ' ')}, against {label(rival)}"
            _book(found, where, supporting, opposing)
    return finding._replace(supporting=tuple(supporting), opposing=tuple(opposing))


def _expected(measure: str) -> int:
    return 1 if measure in LARGER_IS_SMOOTHER else -1


def _told(one: Mapping[str, Any]) -> str:
    text = f"ρ = {signed_text(one['spearman'])}"
    ends = dig(one, "interval")
    text += f" [{signed_text(ends[0])}, {signed_text(ends[1])}]" if ends and None not in ends else ""
    p = dig(one, "p_corrected")
    return text + (f", p {p_text(p, bool(dig(one, 'p_at_floor')))}" if p is not None else "")


def smoothness_goes_with_robustness(results: Results) -> Finding:
    """The paper's question: are smoother representations more robust, over all models and seeds?"""
    entries = [one for one in dig(results, "correlations") or [] if dig(one, "spearman") is not None]
    entries = [one for one in entries if dig(one, "measure") not in NO_SMOOTHNESS]
    if not entries:
        return undecided(f"It takes the rank correlations of {FEWEST_MODELS} models and more.")
    supporting: list[str] = []
    opposing: list[str] = []
    right: dict[str, dict[str, int]] = {}
    for one in entries:
        p = dig(one, "p_corrected")
        sign = int(np.sign(one["spearman"])) * _expected(one["measure"]) * (p is not None and p < SIGNIFICANCE)
        right.setdefault(one["measure"], {})[one["attack"]] = sign
        line = f"{measure_name(one['measure'])}, {attack_label(one['attack'])}: {_told(one)}"
        (supporting if sign > 0 else opposing).append(line)
    said = "; ".join(_best(entries, kind) for kind in ("the representation", "the logits", "boundaries"))
    said = f"{said[0].upper()}{said[1:]}"
    evidence = (tuple(supporting), tuple(opposing))
    own = right.get("jacobian_frobenius", {})
    if not own:
        return undecided(f"{said}; ‖∂a/∂x‖, the paper's own measure, is not available.", *evidence)
    kept, total = sum(sign > 0 for sign in own.values()), len(own)
    told = "; ".join(
        f"{attack_label(one['attack'])} {_told(one)}" for one in entries if one["measure"] == "jacobian_frobenius"
    )
    said += f"; ‖∂a/∂x‖, the paper's own measure, goes with robustness under {kept} of {total} attacks ({told})"
    if min(own.values()) < 0:
        return Finding(Verdict.FAILS, f"{said}, and against it under others.", *evidence)
    if kept < total:
        return undecided(f"{said}.", *evidence)
    return Finding(Verdict.HOLDS, f"{said}.", *evidence)


def _kind(measure: str) -> str:
    """What a measure is one of."""
    if measure.startswith("boundary_"):
        return "boundaries"
    return "the logits" if measure in OF_LOGITS else "the representation"


def _best(entries: Sequence[Mapping[str, Any]], kind: str) -> str:
    """The measure of a kind that goes best with robustness."""
    of_kind = [one for one in entries if _kind(one["measure"]) == kind]
    if not of_kind:
        return f"no measure of {kind}"
    best = max(of_kind, key=lambda one: one["spearman"] * _expected(one["measure"]))
    return (
        f"of {kind}, {measure_name(best['measure'])} goes best with it ({_told(best)}, {attack_label(best['attack'])})"
    )


def exponents_and_boundaries(results: Results) -> Finding:
    """Open question of the paper: does the geometry of the decision boundary follow the spectrum?"""
    models = dig(results, "models") or {}
    radii = near_first({radius for model in models for radius in dig(models, model, "boundaries") or {}})
    found = {}
    for radius in radii:
        rows = {
            model: (alpha, length)
            for model in models
            if (alpha := centre(dig(models, model, "spectrum", "images", "alpha"))) is not None
            and (length := centre(dig(models, model, "boundaries", radius, "length"))) is not None
        }
        if len(rows) >= FEWEST_MODELS and all(len(set(column)) > 1 for column in zip(*rows.values(), strict=True)):
            alphas, lengths = zip(*rows.values(), strict=True)
            found[radius] = statistics.rank_correlation(alphas, lengths, list(rows))
    if not found:
        return undecided(f"It takes {FEWEST_MODELS} models with exponents and boundary lengths.")
    corrected = dict(zip(found, statistics.holm([one.p_value for one in found.values()]), strict=True))
    told, signs = {}, {}
    for radius, one in found.items():
        p = corrected[radius]
        text = f"{radius.replace('_', ' ')}: ρ = {signed_text(one.spearman)}, p {p_text(p, one.at_floor)}"
        told[radius] = f"{text} over {one.models} models"
        signs[radius] = int(np.sign(one.spearman)) if p is not None and p < SIGNIFICANCE else 0
    said = f"Rank correlation of α with the length, {'; '.join(told.values())}."
    supporting = tuple(told[radius] for radius, sign in signs.items() if sign < 0)
    opposing = tuple(told[radius] for radius, sign in signs.items() if sign >= 0)
    if all(sign < 0 for sign in signs.values()):
        return Finding(Verdict.HOLDS, said, supporting)
    if any(sign > 0 for sign in signs.values()):
        return Finding(Verdict.FAILS, said, supporting, opposing)
    return undecided(said, supporting, opposing)


def jacobian_regularizer_smooths(results: Results) -> Finding:
    """Check: the Jacobian penalty must lower the Jacobian norm below that of plain backpropagation."""
    found = compare(jacobian_norm(results, "jacobian"), jacobian_norm(results, "bp"), smaller_is_better=True)
    if found is None:
        return undecided(f"The Jacobian norms of {label('jacobian')} and {label('bp')} are needed.")
    text = f"mean ‖∂a/∂x‖ over test images {found.text} without the penalty"
    sentence = f"{text[0].upper()}{text[1:]}."
    if found.outcome == 0:
        return undecided(f"{sentence[:-1]}: not told apart.", (), (text,))
    if found.outcome > 0:
        return Finding(Verdict.HOLDS, sentence, (text,))
    against = frozenset([("jacobian norm", frozenset(("jacobian", "bp")))])
    return Finding(Verdict.FAILS, sentence, (), (text,), against=against)

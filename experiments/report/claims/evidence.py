"""Claims about the evidence itself: masked gradients, certified bounds, and whether learning did any of it."""

from experiments.attacks import ATTACKS, attack_label
from experiments.models import label
from experiments.report.claims.comparing import LESS, MARGIN, MORE, Results, compare, measured, robuster
from experiments.report.claims.verdicts import Finding, Verdict, names, undecided
from experiments.report.numbers import centre, dig, number_text, percent_text, present

START = "kh_start"
SPARED = 0.02
"""PGD may spare so large a share of the images more than FGSM, whose grids end at different lengths (our choice)."""


def no_masking(results: Results) -> Finding:
    """Evidence: checks for masked gradients, model by model."""
    supporting, opposing, unknown = [], [], []
    for model in dig(results, "models") or {}:
        checks = dig(results, "models", model, "masking") or {}
        verdicts = [verdict.replace("_", " ") for verdict in dig(checks, "verdict") or [] if verdict is not None]
        flags = {
            check: [flag for flag in dig(checks, check, "suspect") or [] if flag is not None]
            for check in checks
            if check != "verdict"
        }
        if not verdicts and not any(flags.values()):
            unknown.append(model)
            continue
        if not any(flags.values()):
            flags = {"a check": ["suspect" in verdict for verdict in verdicts]}
        struck = [_flagged(check, seeds) for check, seeds in flags.items() if 2 * sum(seeds) > len(seeds)]
        odd = [_flagged(check, seeds) for check, seeds in flags.items() if 0 < 2 * sum(seeds) <= len(seeds)]
        if struck:
            opposing.append(f"{label(model)}: suspect: {', '.join(struck)}")
        else:
            supporting.append(f"{label(model)}: {'only ' + ', '.join(odd) if odd else 'no check is suspicious'}")
    if opposing:
        said_of = f"{len(opposing)} of {len(opposing) + len(supporting)} models are suspect: {'; '.join(opposing)}"
        return Finding(Verdict.FAILS, f"{said_of}.", tuple(supporting), tuple(opposing))
    if not supporting:
        return undecided("The checks for masked gradients are not available.")
    if unknown:
        missing = f"No check is suspicious in most seeds for {len(supporting)} models; not checked: {names(unknown)}."
        return undecided(missing, supporting)
    said = f"No check is suspicious in most seeds for any of {len(supporting)} models{_largest_share(results)}."
    return Finding(Verdict.HOLDS, said, tuple(supporting))


def _flagged(check: str, seeds: list[bool]) -> str:
    return f"{check.replace('_', ' ')} in {sum(seeds)} of {len(seeds)} seeds"


def _largest_share(results: Results) -> str:
    """The check and the model that come nearest to masking, and how many images could show it."""
    shares = [
        (share, check, model)
        for model in dig(results, "models") or {}
        for check in dig(results, "models", model, "masking") or {}
        if check != "verdict"
        and (share := centre(dig(results, "models", model, "masking", check, "value"))) is not None
    ]
    images = dig(results, "settings", "masking", "images")
    if not shares or images is None:
        return ""
    share, check, model = max(shares)
    told = f"; the largest mean share is {100 * share:.1f} % ({check.replace('_', ' ')}, {label(model)})"
    return f"{told}, of {images} images a seed"


def gradient_attacks_beat_noise(results: Results) -> Finding:
    """Check for gradient masking: PGD must flip within a shorter distance than noise, and no fewer images than FGSM."""
    supporting: list[str] = []
    opposing: list[str] = []
    unreached: list[str] = []
    unsettled: list[str] = []
    spares_no_more: list[bool | None] = []  # None where one of both attacks is missing
    for model in dig(results, "models") or {}:
        entry = dig(results, "models", model, "critical_l2")
        noise, pgd = (measured(entry, attack, "median") for attack in ("gaussian", "pgd"))
        spared, spared_once = centre(dig(entry, "pgd", "censored")), centre(dig(entry, "fgsm", "censored"))
        more = None if spared is None or spared_once is None else spared - spared_once
        spares_no_more.append(None if more is None else more < LESS * SPARED)
        if more is not None and more > MORE * SPARED:
            shares = f"PGD spares {percent_text(spared)}, FGSM {percent_text(spared_once)}"
            opposing.append(f"{label(model)}: {shares}")
        elif more is not None and more >= LESS * SPARED:
            unsettled.append(model)
        elif (found := compare(noise, pgd)) is None or pgd is None:
            continue
        elif pgd.infinite:
            # PGD's range of ε ends at shorter perturbations than that of the noise: not reached is not masked.
            unreached.append(model)
        elif found.outcome > 0 or found.has_no_lead():
            (supporting if found.outcome > 0 else opposing).append(f"{label(model)}: noise {found.text} by PGD")
        else:
            unsettled.append(model)
    if opposing:
        said = f"A gradient attack does worse than a weaker one on {'; '.join(opposing)}"
        return Finding(
            Verdict.FAILS,
            f"{said}: robustness to it proves nothing there.",
            tuple(supporting),
            tuple(opposing),
        )
    if unreached:
        said = f"PGD's range of ε ends before half of the images flip for {names(unreached)}"
        return undecided(f"{said}; for {len(supporting)} other models the median is shorter under PGD.", supporting)
    if unsettled:
        said = f"PGD is not told apart from noise, or from FGSM, for {len(unsettled)} models: {names(unsettled)}"
        return undecided(f"{said}.", supporting)
    if not supporting:
        return undecided("No model has medians under both Gaussian noise and PGD.")
    said = f"For all {len(supporting)} models the median critical L₂ distance is shorter under PGD than under noise"
    said += ", and PGD spares no more images than FGSM" if all(spares_no_more) else ""
    return Finding(Verdict.HOLDS, f"{said}.", tuple(supporting))


def bounds_are_consistent(results: Results) -> Finding:
    """Evidence: no image may have an adversarial perturbation shorter than its certified distance."""
    supporting: list[str] = []
    opposing: list[str] = []
    for model in dig(results, "models") or {}:
        violations = present(dig(results, "models", model, "certified_l2", "violations"))
        gap = centre(dig(results, "models", model, "certified_l2", "gap"))
        if violations:
            told = f"{label(model)}: {int(sum(violations))} images violate their bound"
            told += f", attack / certificate {number_text(gap)}" if gap is not None else ""
            (opposing if sum(violations) else supporting).append(told)
    if opposing:
        return Finding(Verdict.FAILS, f"{'; '.join(opposing)}.", tuple(supporting), tuple(opposing))
    if not supporting:
        return undecided("Certified distances are not available.")
    gaps = [
        gap
        for model in dig(results, "models") or {}
        if (gap := centre(dig(results, "models", model, "certified_l2", "gap"))) is not None
    ]
    spread = f"; attacks reach {number_text(min(gaps))} to {number_text(max(gaps))} times as far" if gaps else ""
    said = f"No image violates its bound in any of {len(supporting)} models{spread}."
    return Finding(Verdict.HOLDS, said, tuple(supporting))


def learning_beats_its_start(results: Results) -> Finding:
    """Check: Krotov–Hopfield learning must give more robustness than training images as rows, without learning."""
    found = {
        attack_label(attack): one
        for attack in (*ATTACKS, "minimum_norm")
        if (one := robuster(results, attack, "kh", START)) is not None
    }
    if not found:
        return undecided(f"The critical distances of {names(['kh', START])} are needed.")
    lines = {name: f"{name}: {one.text}" for name, one in found.items()}
    better = [name for name, one in found.items() if one.outcome > 0]
    supporting = tuple(lines[name] for name in better)
    opposing = tuple(lines[name] for name in found if name not in better)
    said = "; ".join(f"{name}: {one.short}" for name, one in found.items())
    if not opposing:
        return Finding(Verdict.HOLDS, f"{said}.", supporting)
    if all(one.has_no_lead() or one.outcome < 0 for one in found.values()):
        return Finding(Verdict.FAILS, f"{said}: learning adds less than {MARGIN:.0%}.", (), opposing)
    return undecided(f"{said}.", supporting, opposing)

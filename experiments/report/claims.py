"""What holds: each claim is a pure function from a results dictionary to a verdict and the sentence that says why.

Claims of the paper (arXiv 2405.00679) end in *agrees*, *contradicts the paper* or *cannot tell*; our own checks, for
what is known to go wrong, in *holds*, *does not hold* or *cannot tell*. Where two numbers are compared:

* with two seeds or more for both, by Welch's t-test on their logarithms at 5 %, divided by the number of comparisons;
  where a number is infinite, by whether all seeds of one lie above all seeds of the other;
* with fewer, by whether their 95 % intervals over images (``median_interval``) are apart. That says something about
  these two networks, not about the rules that made them, and without intervals it stays undecided.
"""

import itertools
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import scipy.stats

from experiments.published import ROBUSTNESS_ORDER, SPECTRAL_TARGET_ALPHA, STRAIGHT_ON
from experiments.report.numbers import centre, dig, number_text, percent_text, present, signed_text
from jax_bioadv.figures import MODEL_NAMES, display_name

Results = Mapping[str, Any]
ATTACKS = {"gaussian": "Gaussian noise", "fgsm": "FGSM", "pgd": "PGD"}
INPUTS = {"images": "test images", "noise": "white noise"}
STRAIGHT = 0.99
"""A spectrum counts as straight if the regression in its window explains this share of the variance (our choice)."""
_SAME_ALPHA = 0.02
_SAME_NORM = 0.05


class Verdict(Enum):
    """How a claim came out."""

    AGREES = "agrees with the paper"
    CONTRADICTS = "contradicts the paper"
    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "cannot tell"


class Claim(NamedTuple):
    """A claim with its verdict and the numbers that it rests on, in one sentence or two."""

    title: str
    verdict: Verdict
    sentence: str


class Measured(NamedTuple):
    """Numbers of one model: one per seed that is there, and the interval over images that holds those of all seeds."""

    seeds: list[float]
    interval: tuple[float, float] | None


def measured(entry: Any) -> Measured:
    """Read ``{"median": […], "median_interval": [[low, high], …]}``; the interval may be missing."""
    intervals = [pair for pair in (dig(entry, "median_interval") or []) if pair is not None and None not in pair]
    seeds = present(dig(entry, "median"))
    if len(intervals) < len(seeds) or not seeds:
        return Measured(seeds, None)
    return Measured(seeds, (min(float(low) for low, _ in intervals), max(float(high) for _, high in intervals)))


def larger(first: Measured, second: Measured, significance: float = 0.05) -> int:
    """1 if the first is larger beyond doubt, −1 if the second is, 0 if the numbers cannot tell."""
    if not first.seeds or not second.seeds:
        return 0
    if min(len(first.seeds), len(second.seeds)) < 2:
        if first.interval is None or second.interval is None:
            return 0
        return int(first.interval[0] > second.interval[1]) - int(second.interval[0] > first.interval[1])
    values = (*first.seeds, *second.seeds)
    constant = len(set(first.seeds)) == 1 and len(set(second.seeds)) == 1
    if constant or not all(0 < value < math.inf for value in values):
        return int(min(first.seeds) > max(second.seeds)) - int(min(second.seeds) > max(first.seeds))
    test = scipy.stats.ttest_ind(
        [math.log(value) for value in first.seeds], [math.log(value) for value in second.seeds], equal_var=False
    )
    return 0 if test.pvalue >= significance else 1 if test.statistic > 0 else -1


def _seed_remark(seeds: int) -> str:
    if seeds < 2:
        return " One seed: intervals over images, so this is about these networks and not about how they were trained."
    return f" {seeds} seeds."


def _ranking(centres: Mapping[str, float]) -> str:
    ranked = sorted(centres, key=lambda model: -centres[model])
    return " > ".join(f"{display_name(model)} ({number_text(centres[model])})" for model in ranked)


def robustness_order(results: Results, attack: str) -> Claim:
    """Paper: kh > l2 > jacobian > bp > spectral, under each attack, by the median critical L₂ distance."""
    title = f"Order of robustness under {ATTACKS.get(attack, attack)}"
    models = {
        model: numbers
        for model in ROBUSTNESS_ORDER
        if (numbers := measured(dig(results, "models", model, "critical_l2", attack))).seeds
    }
    if len(models) < 2:
        return Claim(title, Verdict.UNDECIDED, "Fewer than two of the paper's models have a median critical distance.")
    pairs = list(itertools.combinations(models, 2))
    outcome = {pair: larger(models[pair[0]], models[pair[1]], 0.05 / len(pairs)) for pair in pairs}
    against = [pair for pair in pairs if outcome[pair] < 0]
    open_pairs = [pair for pair in itertools.pairwise(models) if outcome[pair] == 0]
    centres = {model: value for model, numbers in models.items() if (value := centre(numbers.seeds)) is not None}
    sentence = f"Median critical L₂ distances: {_ranking(centres)}."
    missing = [display_name(model) for model in ROBUSTNESS_ORDER if model not in models]
    if missing:
        sentence += f" Not available: {', '.join(missing)}."
    sentence += _seed_remark(min(len(numbers.seeds) for numbers in models.values()))
    if against:
        said = "; ".join(f"{display_name(one)} is less robust than {display_name(other)}" for one, other in against)
        return Claim(title, Verdict.CONTRADICTS, f"{sentence} Against the paper's order: {said}.")
    if open_pairs or missing:
        said = "; ".join(f"{display_name(one)} and {display_name(other)}" for one, other in open_pairs)
        return Claim(title, Verdict.UNDECIDED, sentence + (f" Not told apart: {said}." if said else ""))
    return Claim(title, Verdict.AGREES, sentence)


def straight_power_laws(results: Results, kind: str) -> Claim:
    """Paper: on images kh and spectral keep a straight power law, on white noise kh alone; the other models do not."""
    title = f"Straight power laws on {INPUTS.get(kind, kind)}"
    r2 = {model: present(dig(results, "models", model, "spectrum", kind, "r2")) for model in MODEL_NAMES}
    known = {model: values for model, values in r2.items() if values}
    if "kh" not in known or len(known) < 2:
        return Claim(title, Verdict.UNDECIDED, "No r² for the Krotov–Hopfield layer and another model to compare with.")
    straight = {model: all(value >= STRAIGHT for value in values) for model, values in known.items()}
    mixed = [model for model in known if not straight[model] and any(value >= STRAIGHT for value in known[model])]
    against = [m for m in known if m not in mixed and straight[m] != (m in STRAIGHT_ON.get(kind, ()))]
    listed = ", ".join(f"{display_name(m)} {number_text(centre(values), 4)}" for m, values in known.items())
    sentence = f"r² of the fit in its window: {listed}. We call r² ≥ {STRAIGHT} straight; the paper gives no threshold."
    missing = [display_name(model) for model in MODEL_NAMES if model not in known]
    if against:
        said = "; ".join(f"{display_name(m)} is {'' if straight[m] else 'not '}straight" for m in against)
        return Claim(title, Verdict.CONTRADICTS, f"{sentence} Against the paper: {said}.")
    if mixed or missing:
        said = f" Seeds differ for {', '.join(display_name(m) for m in mixed)}." if mixed else ""
        said += f" Not available: {', '.join(missing)}." if missing else ""
        return Claim(title, Verdict.UNDECIDED, sentence + said)
    return Claim(title, Verdict.AGREES, sentence)


def smoother_is_more_robust(results: Results, attack: str) -> Claim:
    """The paper's question: does the rank order of robustness follow that of smoothness, over all models?"""
    title = f"Smoother representations are more robust to {ATTACKS.get(attack, attack)}"
    pairs = {}
    for model in dig(results, "models") or {}:
        norm = centre(dig(results, "models", model, "jacobian_norm", "activation"))
        distance = centre(dig(results, "models", model, "critical_l2", attack, "median"))
        if norm is not None and distance is not None:
            pairs[model] = (norm, distance)
    norms, distances = [norm for norm, _ in pairs.values()], [distance for _, distance in pairs.values()]
    if len(pairs) < 4 or len(set(norms)) < 2 or len(set(distances)) < 2:
        return Claim(title, Verdict.UNDECIDED, "It takes four models with different Jacobian norms and distances.")
    correlation = float(scipy.stats.spearmanr(norms, distances).statistic)
    listed = ", ".join(f"{display_name(model)} {number_text(norm)}" for model, (norm, _) in pairs.items())
    sentence = (
        f"Spearman's rank correlation of the mean ‖∂a/∂x‖ with the median critical L₂ distance is "
        f"{signed_text(correlation)} over {len(pairs)} models ({listed}). "
        "The norm is the hidden activation's; a decoder can undo its scale."
    )
    verdict = Verdict.HOLDS if correlation <= -0.9 else Verdict.FAILS if correlation >= 0 else Verdict.UNDECIDED
    return Claim(title, verdict, sentence)


def jacobian_regularizer_smooths(results: Results) -> Claim:
    """Check: the Jacobian penalty must lower the Jacobian norm below that of plain backpropagation."""
    title = "The Jacobian penalty makes the layer smoother than plain backprop"
    regularized, plain = (
        present(dig(results, "models", model, "jacobian_norm", "activation")) for model in ("jacobian", "bp")
    )
    low, high = centre(regularized), centre(plain)
    if low is None or high is None:
        return Claim(title, Verdict.UNDECIDED, "The Jacobian norms of both models are needed.")
    sentence = f"Mean ‖∂a/∂x‖ over test images: {number_text(low)} with the penalty, {number_text(high)} without."
    if min(len(regularized), len(plain)) < 2:
        apart = abs(low - high) > _SAME_NORM * max(low, high)
        outcome = 0 if not apart else 1 if low < high else -1
        sentence += f" One seed: a difference below {_SAME_NORM:.0%} counts as none."
    else:
        outcome = larger(Measured(plain, None), Measured(regularized, None))
    return Claim(title, {1: Verdict.HOLDS, 0: Verdict.UNDECIDED, -1: Verdict.FAILS}[outcome], sentence)


def spectral_regularizer_moves(results: Results) -> Claim:
    """Check: the spectral regularizer must bring α nearer to its target than the untrained network's α is."""
    title = "The spectral regularizer brings the exponent nearer to its target"
    entry = dig(results, "models", "spectral", "spectrum", "images")
    untrained = dig(results, "baselines", "untrained", "spectrum", "images")
    ours, start = centre(dig(entry, "alpha")), centre(dig(untrained, "alpha"))
    if ours is None or start is None:
        return Claim(title, Verdict.UNDECIDED, "The exponents of both networks are needed.")
    given = dig(results, "settings", "spectral", "exponent")
    target = float(given) if given is not None else SPECTRAL_TARGET_ALPHA
    errors = (centre(dig(entry, "stderr")) or 0.0, centre(dig(untrained, "stderr")) or 0.0)
    doubt = max(_SAME_ALPHA, 2 * math.hypot(*errors))
    sentence = f"α on test images: {ours:.2f} after training, {start:.2f} untrained, target {target:.2f}."
    if abs(ours - start) <= doubt:
        said = " The trained exponent is that of the untrained network: the regularizer moved nothing."
        return Claim(title, Verdict.FAILS, sentence + said)
    gain = abs(start - target) - abs(ours - target)
    if abs(gain) <= doubt:
        return Claim(title, Verdict.UNDECIDED, f"{sentence} Both are equally far from it.")
    return Claim(title, Verdict.HOLDS if gain > 0 else Verdict.FAILS, sentence)


def gradient_attacks_beat_noise(results: Results) -> Claim:
    """Check for gradient masking: PGD must flip within a shorter distance than noise, and no fewer images than FGSM."""
    title = "Gradient attacks are stronger than random noise (no sign of gradient masking)"
    suspects, unreached, compared = [], [], 0
    for model in dig(results, "models") or {}:
        entry = dig(results, "models", model, "critical_l2")
        noise, pgd = centre(dig(entry, "gaussian", "median")), centre(dig(entry, "pgd", "median"))
        spared, spared_once = centre(dig(entry, "pgd", "censored")), centre(dig(entry, "fgsm", "censored"))
        if spared is not None and spared_once is not None and spared > spared_once + 0.02:
            shares = f"PGD spares {percent_text(spared)}, FGSM {percent_text(spared_once)}"
            suspects.append(f"{display_name(model)} ({shares})")
        elif noise is None or pgd is None:
            continue
        elif math.isinf(pgd):
            # PGD's range of ε ends at shorter perturbations than that of the noise: not reached is not masked.
            unreached.append(display_name(model))
        elif pgd >= noise:
            suspects.append(f"{display_name(model)} (PGD {number_text(pgd)}, noise {number_text(noise)})")
        else:
            compared += 1
    if suspects:
        said = "A gradient attack does worse than a weaker attack on " + "; ".join(suspects)
        return Claim(title, Verdict.FAILS, f"{said}. Robustness to gradient attacks proves nothing there.")
    if unreached:
        said = f"PGD's range of ε ends before half of the images flip for {', '.join(unreached)}"
        return Claim(title, Verdict.UNDECIDED, f"{said}; for {compared} other models the median is shorter under PGD.")
    if not compared:
        return Claim(title, Verdict.UNDECIDED, "No model has medians under both Gaussian noise and PGD.")
    said = "For every model the median critical L₂ distance is shorter under PGD than under noise"
    return Claim(title, Verdict.HOLDS, f"{said}, and PGD spares no more images than FGSM.")


def learning_beats_control(results: Results, control: str, attack: str) -> Claim:
    """Check: Krotov–Hopfield learning must give more robustness than the same network without that learning."""
    title = f"Krotov–Hopfield learning beats the control “{display_name(control)}” under {ATTACKS.get(attack, attack)}"
    ours = measured(dig(results, "models", "kh", "critical_l2", attack))
    other = measured(dig(results, "models", control, "critical_l2", attack))
    first, second = centre(ours.seeds), centre(other.seeds)
    if first is None or second is None:
        return Claim(title, Verdict.UNDECIDED, "The median critical distances of both are needed.")
    sentence = f"Median critical L₂ distance {number_text(first)} against {number_text(second)}."
    sentence += _seed_remark(min(len(ours.seeds), len(other.seeds)))
    verdicts = {1: Verdict.HOLDS, 0: Verdict.UNDECIDED, -1: Verdict.FAILS}
    return Claim(title, verdicts[larger(ours, other)], sentence)


def all_claims(results: Results) -> list[Claim]:
    """Every claim, in the order of the report. Models with ``"control": true`` are compared with kh."""
    models = dig(results, "models") or {}
    attacks = [attack for attack in ATTACKS if any(dig(models, m, "critical_l2", attack) for m in models)]
    controls = [model for model in models if dig(models, model, "control") is True]
    return [
        *(robustness_order(results, attack) for attack in attacks or ATTACKS),
        *(straight_power_laws(results, kind) for kind in INPUTS),
        *(smoother_is_more_robust(results, attack) for attack in attacks or ATTACKS),
        jacobian_regularizer_smooths(results),
        spectral_regularizer_moves(results),
        gradient_attacks_beat_noise(results),
        *(learning_beats_control(results, control, attack) for control in controls for attack in attacks),
    ]

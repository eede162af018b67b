"""What holds: one record for each claim, with its words and a pure function from results to what was found on it.

Claims of the paper (arXiv 2405.00679) end in *agrees*, *holds at this size*, *agrees, but so do controls*,
*contradicts the paper* or *cannot tell*; those about the evidence and our own checks in *holds*, *does not hold* or
*cannot tell*. When two numbers differ is decided in :mod:`comparing`, what a verdict may say of the paper in
:mod:`settling`.
"""

from functools import partial

from experiments.attacks import ATTACKS, attack_label
from experiments.models import label
from experiments.report.claims import corruptions, evidence, robustness, smoothness, spectra, spectral
from experiments.report.claims.comparing import Results
from experiments.report.claims.settling import once_a_number, settle, with_its_reach
from experiments.report.claims.verdicts import Claim, Finding, Verdict, names
from experiments.report.numbers import dig
from experiments.results.published import ROBUSTNESS_ORDER, STRAIGHT_ON

__all__ = ["CLAIMS", "GROUPS", "Claim", "Finding", "Results", "Verdict", "claims_by_group", "findings"]


def _robust(attack: str, called: str = "") -> Claim:
    name = called or attack_label(attack)
    figures = ("figure1", "figure5") if attack in ATTACKS else ("figure5",)
    return Claim(
        f"robust-{attack}".replace("_", "-"),
        f"The Krotov–Hopfield network is more robust to {name} than the other four",
        f"KH is the most robust to {name}",
        partial(robustness.more_robust, attack=attack),
        (*figures, "compared"),
    )


def _straight(kind: str, words: str) -> Claim:
    those = names(STRAIGHT_ON[kind])
    return Claim(
        f"power-law-{kind}",
        f"On {spectra.INPUTS[kind]} the spectrum is a power law for {those}, and for no other of the five",
        words,
        partial(spectra.power_laws, kind=kind),
        ("figure3", f"law-{kind}"),
    )


_PAPER = (
    Claim(
        "smoother",
        "The Krotov–Hopfield representation is smoother than every other",
        "KH is the smoothest",
        smoothness.smoother,
        ("figure4", "smoothness"),
    ),
    _robust("gaussian"),
    _robust("fgsm"),
    _robust("pgd"),
    Claim(
        "order",
        f"The order of robustness is {' > '.join(map(label, ROBUSTNESS_ORDER))}",
        "order of robustness",
        robustness.robustness_order,
        ("figure1", "compared"),
    ),
    Claim(
        "price",
        "The Krotov–Hopfield network trades accuracy for robustness",
        "robustness has its price in accuracy",
        robustness.accuracy_for_robustness,
        ("figureA2", "accuracies"),
    ),
    _straight("images", "power law on images: KH, spectral"),
    _straight("noise", "power law on white noise: KH alone"),
    Claim(
        "steep",
        "The Krotov–Hopfield exponent on images lies above that of the images themselves",
        "KH steeper than the data",
        spectra.exponents_above_the_data,
        ("figure2", "laws"),
    ),
    Claim(
        "pruning",
        "Pruning units that stayed noise costs no accuracy and straightens the spectrum",
        "pruning does no harm",
        spectra.pruning_is_harmless,
        ("figureA1", "laws"),
    ),
    Claim(
        "spectral",
        "Spectral regularization gives a power law on images and fails on white noise",
        "spectral fails on white noise",
        spectral.spectral_fails_on_noise,
        ("figure3", "law-noise"),
    ),
    Claim(
        "apart",
        "Weight and Jacobian regularization make the layer smooth without giving it a power law",
        "smooth without power law",
        smoothness.regularizers_smooth_without_power_law,
        ("figure3", "smoothness"),
    ),
    Claim(
        "boundaries",
        "The Krotov–Hopfield network's decision boundaries are smoother than every other",
        "KH has the smoothest boundaries",
        smoothness.smoother_boundaries,
        ("figure4", "planes"),
    ),
)
_EVIDENCE = (
    _robust("minimum_norm", "the minimum-norm attack"),
    Claim(
        "worst",
        "The order of robustness is the same under the worst case of all attacks, in both spaces",
        "same order in the worst case",
        robustness.order_in_the_worst_case,
        ("figure6", "threats"),
    ),
    Claim(
        "masking",
        "No model owes its robustness to masked gradients",
        "no masked gradients",
        evidence.no_masking,
        ("masked",),
    ),
    Claim(
        "bounds",
        "Certified distances lie below those that attacks find",
        "certificates below attacks",
        evidence.bounds_are_consistent,
        ("figure7", "certified"),
    ),
    Claim(
        "goes-with",
        "The smoother a representation, the more robust it is",
        "smoothness with robustness",
        smoothness.smoothness_goes_with_robustness,
        ("figure8", "correlated"),
    ),
    Claim(
        "exponents",
        "The steeper the spectrum on images, the shorter the decision boundary",
        "exponents, boundaries, robustness",
        smoothness.exponents_and_boundaries,
        ("figure8", "correlated"),
    ),
    Claim(
        "corruptions",
        "Corruption overturns fewer decisions of the Krotov–Hopfield network than of any other, controls included",
        "KH withstands corruptions best",
        corruptions.withstands_corruptions,
        ("figure9", "corrupted"),
    ),
    Claim(
        "smooth-corruptions",
        "The smoother a representation, the fewer of its decisions corruption overturns",
        "smoothness against corruptions",
        corruptions.smoothness_against_corruptions,
        ("figure9", "corrupted"),
    ),
)
_CHECKS = (
    Claim(
        "learning",
        "Krotov–Hopfield learning makes the network more robust than training images as synapses",
        "learning beats images as rows",
        evidence.learning_beats_its_start,
        ("controls",),
    ),
    Claim(
        "attacks",
        "Gradient attacks are stronger than random noise",
        "gradient attacks beat noise",
        evidence.gradient_attacks_beat_noise,
        ("figure1", "critical_l2"),
    ),
    Claim(
        "jacobian",
        "The Jacobian penalty makes the layer smoother than plain backprop",
        "Jacobian penalty smooths",
        smoothness.jacobian_regularizer_smooths,
        ("smoothness",),
    ),
    Claim(
        "moves",
        "The spectral regularizer brings the exponent nearer to its target",
        "spectral penalty moves α",
        spectral.spectral_regularizer_moves,
        ("figure3", "laws"),
    ),
)
GROUPS = {"The paper's claims": _PAPER, "The evidence": _EVIDENCE, "Our own checks": _CHECKS}
"""Every claim, in the order of the report."""
CLAIMS = tuple(claim for group in GROUPS.values() for claim in group)


def findings(results: Results) -> dict[str, Finding]:
    """What was found on every claim, by its title, in the order of :data:`CLAIMS`."""
    seeds = len(dig(results, "seeds") or [])
    settled = once_a_number({claim.title: settle(results, claim.judge(results)) for claim in CLAIMS})
    return {title: with_its_reach(finding, seeds) for title, finding in settled.items()}


def claims_by_group(results: Results) -> dict[str, list[tuple[Claim, Finding]]]:
    """All claims and what was found on them, under the headings of the report."""
    found = findings(results)
    return {heading: [(claim, found[claim.title]) for claim in group] for heading, group in GROUPS.items()}

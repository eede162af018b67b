"""The attacks over many strengths: one record each. Where the ε of an attack come from stands here.

What all attacks are called stands here too, those of one strength among them, which experiments/measuring/threats.py
makes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from experiments.settings.measurements import AttackSettings
from jax_bioadv import attacks
from jax_bioadv.analysis.robustness import epsilon_grid
from jax_bioadv.styles import named

# The published grid of the Gaussian attack; with new noise at every ε the result depends on it.
PUBLISHED_NOISE_RANGE = (1e-6, 8.25)


@dataclass(frozen=True)
class SweptAttack:
    """One attack.

    Attributes:
        name: as results.json has it; also the purpose of its random key.
        label: as figures and tables show it.
        strength: what its ε measures.
        reads: the settings of the group ``attacks`` that it reads, besides how many images it gets.
        attack: makes it.
        epsilons: its strengths.
        images: at most so many images are attacked.
        searched: whether a search may find the critical perturbations: a larger ε flips whatever a smaller one does.
        of_controls: whether controls are attacked too.
    """

    name: str
    label: str
    strength: str
    reads: tuple[str, ...]
    attack: Callable[[AttackSettings], attacks.Attack]
    epsilons: Callable[[AttackSettings], np.ndarray]
    images: str = "images"
    searched: bool = True
    of_controls: bool = True


def gaussian(settings: AttackSettings) -> attacks.Attack:
    return attacks.gaussian()


def gaussian_epsilons(settings: AttackSettings) -> np.ndarray:
    return epsilon_grid(settings.gaussian_low, settings.gaussian_high, settings.epsilons)


def published_noise(settings: AttackSettings) -> attacks.Attack:
    """New noise at every ε, as published: the first flip is a minimum over draws."""
    return attacks.gaussian(protocol="published")


def published_epsilons(settings: AttackSettings) -> np.ndarray:
    return epsilon_grid(*PUBLISHED_NOISE_RANGE, settings.published_epsilons)


def fgsm(settings: AttackSettings) -> attacks.Attack:
    return attacks.fgsm()


def pgd(settings: AttackSettings) -> attacks.Attack:
    return attacks.pgd(steps=settings.pgd_steps)


def gradient_epsilons(settings: AttackSettings) -> np.ndarray:
    return epsilon_grid(settings.gradient_low, settings.gradient_high, settings.epsilons)


_GRID = ("epsilons", "method")
NOISE = "noise s.d."
_RECORDS = (
    SweptAttack(
        "gaussian", "Gaussian noise", NOISE, (*_GRID, "gaussian_low", "gaussian_high"), gaussian, gaussian_epsilons
    ),
    SweptAttack("fgsm", "FGSM", "L∞", (*_GRID, "gradient_low", "gradient_high"), fgsm, gradient_epsilons),
    SweptAttack("pgd", "PGD", "L∞", (*_GRID, "gradient_low", "gradient_high", "pgd_steps"), pgd, gradient_epsilons),
    SweptAttack(
        "gaussian_published",
        "published noise",
        NOISE,
        ("published_epsilons",),
        published_noise,
        published_epsilons,
        images="published_images",
        searched=False,
        of_controls=False,
    ),
)
SWEPT_ATTACKS: Mapping[str, SweptAttack] = {attack.name: attack for attack in _RECORDS}
# Those of the paper, by which models are compared.
ATTACKS = tuple(name for name, attack in SWEPT_ATTACKS.items() if attack.searched)
PUBLISHED_NOISE = "gaussian_published"
ATTACK_LABELS: Mapping[str, str] = {
    **{name: SWEPT_ATTACKS[name].label for name in ATTACKS},
    "minimum_norm": "minimum norm",
    "apgd_ce": "APGD-CE",
    "apgd_dlr": "APGD-DLR",
    "apgd_targeted": "APGD targeted",
    "square": "Square",
    "transfer": "transfer",
    PUBLISHED_NOISE: SWEPT_ATTACKS[PUBLISHED_NOISE].label,
}
"""What attacks are called, in the order of figures and tables: the paper's, then the stronger ones."""
ATTACK_STRENGTHS: Mapping[str, str] = {name: attack.strength for name, attack in SWEPT_ATTACKS.items()}


def attack_labels(attacks: Iterable[str]) -> dict[str, str]:
    """Attacks as figures and tables show them, in their order; others by their own names, behind."""
    return named(attacks, ATTACK_LABELS)


def attack_label(attack: str) -> str:
    """One attack as figures and tables show it."""
    return attack_labels([attack])[attack]


def short_label(attack: str) -> str:
    """The same in one word, where room is scarce."""
    return attack_label(attack).split()[0]

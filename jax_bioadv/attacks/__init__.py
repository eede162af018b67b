"""Adversarial attacks: batched, jit-able functions of (key, logits function, images, labels, epsilon).

Three attacks of Holzhausen et al., arXiv 2405.00679, on flattened images of unit L_p norm: Gaussian noise, the fast
gradient sign method (Goodfellow et al., arXiv 1412.6572) and projected gradient descent (Madry et al., arXiv
1706.06083). Stronger ones, to tell robustness from masked gradients: Auto-PGD (Croce & Hein, arXiv 2003.01690), the
smallest perturbation, the Square Attack without gradients (Andriushchenko et al., arXiv 1912.00049), transfer from
another model, and the worst of several. Each is built by a constructor that checks its settings, and is used alone or
in :func:`jax_bioadv.analysis.robustness.epsilon_sweep`; the classifier is a module or a function of images::

    attack = pgd(norm=2, steps=40)
    adversarial = attack(jax.random.key(0), model, images, labels, 0.5)
    adversarial.success  # per image

:func:`autoattack` runs the standard ensemble of four, each on what withstood those before.
"""

from jax_bioadv.attacks.attack import Adversarial, Attack, LogitsFunction, StepSize
from jax_bioadv.attacks.auto_attack import AutoAttack, autoattack
from jax_bioadv.attacks.auto_attack_outcome import AutoAttackOutcome
from jax_bioadv.attacks.auto_projected_gradient_descent import apgd
from jax_bioadv.attacks.fast_gradient_sign import fgsm
from jax_bioadv.attacks.gaussian_noise import gaussian
from jax_bioadv.attacks.minimum_norm import MinimumNorm, minimum_norm, minimum_norm_perturbations
from jax_bioadv.attacks.projected_gradient_descent import pgd
from jax_bioadv.attacks.square import square
from jax_bioadv.attacks.transfer import transfer
from jax_bioadv.attacks.worst_case import any_success, worst_case

__all__ = [
    "Adversarial",
    "Attack",
    "AutoAttack",
    "AutoAttackOutcome",
    "LogitsFunction",
    "MinimumNorm",
    "StepSize",
    "any_success",
    "apgd",
    "autoattack",
    "fgsm",
    "gaussian",
    "minimum_norm",
    "minimum_norm_perturbations",
    "pgd",
    "square",
    "transfer",
    "worst_case",
]

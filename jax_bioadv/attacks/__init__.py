"""Adversarial attacks: batched, jit-able functions of (key, logits function, images, labels, epsilon).

Three attacks of Holzhausen et al., arXiv 2405.00679, on flattened images of unit L_p norm: Gaussian noise, the fast
gradient sign method (Goodfellow et al., arXiv 1412.6572) and projected gradient descent (Madry et al., arXiv
1706.06083). Each is built by a constructor that checks its settings, and is used alone or in
:func:`jax_bioadv.analysis.robustness.epsilon_sweep`::

    attack = pgd(norm=2, steps=40)
    adversarial = attack(jax.random.key(0), logits_function(model), images, labels, 0.5)
    adversarial.success  # per image
"""

from jax_bioadv.attacks.attack import Adversarial, Attack, LogitsFunction, StepSize
from jax_bioadv.attacks.fast_gradient_sign import fgsm
from jax_bioadv.attacks.gaussian_noise import gaussian
from jax_bioadv.attacks.projected_gradient_descent import pgd

__all__ = ["Adversarial", "Attack", "LogitsFunction", "StepSize", "fgsm", "gaussian", "pgd"]

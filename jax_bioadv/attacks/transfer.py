"""Transfer: perturbations made against one model, judged on another (Papernot et al., arXiv 1605.07277).

A model that masks its gradients is open to adversarial images of a model that does not. ::

    attack = transfer(pgd(norm=2, steps=40), logits_function(source))
    attack(key, logits_function(attacked), images, labels, 0.5).success  # on the attacked model
"""

from typing import Any

from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.attack import Attack, LogitsFunction
from jax_bioadv.attacks.batch import check_same_classes
from jax_bioadv.models import as_pytree


def transfer(attack: Attack, source_logits: LogitsFunction) -> Attack:
    """The attack made on a source model; the model that it is called with decides whether it succeeded.

    Args:
        attack: from :mod:`jax_bioadv.attacks`; one that moves every image, such as ``pgd`` or ``fgsm``. What the source
            gets wrong as it is, ``apgd`` and ``minimum_norm`` leave unchanged.
        source_logits: the classifier to make perturbations against, a model or a function, for the same images and
            classes. A model is taken with its weights of now; sources of one shape share a compilation.

    Returns:
        The attack, which reports gradients that vanished on the source.

    Raises:
        ValueError: when attacking a model of other classes than the source's.
    """
    attack, source = attack.as_pytree(), as_pytree(source_logits)
    return attack._replace(
        prepare=Partial(_prepare, attack.prepare, source), perturb=Partial(_perturb, attack.perturb, source)
    )


def _prepare(
    prepare: Partial,
    source: Partial,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> Any:
    return prepare(keys, check_same_classes(source, logits_function, images), images, labels)


def _perturb(
    perturb: Partial,
    source: Partial,
    prepared: Any,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    return perturb(prepared, keys, check_same_classes(source, logits_function, images), images, labels, epsilon)

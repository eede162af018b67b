"""What AutoAttack leaves of a classifier, part by part, as a record for a JSON file, and what speaks against it.

The flags are those that the published code raises, beside one: whether an attack computes a gradient or optimises when
it is asked for logits (a defence at inference, which gradients see through a program only in part) cannot be seen from
outside a JAX function. Of such a classifier AutoAttack is no upper bound worth having.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# Of logits divided by their length, as published; rounding is some hundred times less.
RANDOMISED_BEYOND = 1e-4
# By which a sum of probabilities may miss 1, as published.
PROBABILITY_ROUNDING = 1e-5
# The share of all images that the attack without gradients may flip after those with, as published.
BLACK_BOX_SHARE = 0.002

logger = logging.getLogger("jax_bioadv")


class PartOutcome(NamedTuple):
    """What one attack did, by image; ``gradients`` and ``queries`` (without one) are its budget for an image.

    ``attacked``: had withstood all before. ``flipped``: withstood no longer. ``gradient_vanished``: a gradient was zero
    or not finite on the way. ``seconds``: of the clock on the wall, compilation included.
    """

    attacked: Bool[np.ndarray, " images"]
    flipped: Bool[np.ndarray, " images"]
    gradient_vanished: Bool[np.ndarray, " images"]
    seconds: float
    gradients: int
    queries: int


class AutoAttackOutcome(NamedTuple):
    """What AutoAttack leaves of a classifier.

    ``images``: perturbed where a part flipped them, else as they were. ``correct``: right before any attack;
    ``robust``: after all of them. ``parts``: by name, in the order in which they ran. ``flags``: reasons not to believe
    the result, by name. ``settings``, ``image_indices``: of the attack, and what the images are called in the record.
    """

    images: Float[np.ndarray, "images inputs"]
    correct: Bool[np.ndarray, " images"]
    robust: Bool[np.ndarray, " images"]
    parts: dict[str, PartOutcome]
    flags: dict[str, str]
    settings: dict[str, Any]
    image_indices: Int[np.ndarray, " images"]

    @property
    def clean_accuracy(self) -> float:
        """Share of the images that are classified correctly before any attack."""
        return float(np.mean(self.correct))

    @property
    def robust_accuracy(self) -> float:
        """Share of the images that are classified correctly whatever the attacks do."""
        return float(np.mean(self.robust))

    def record(self) -> dict[str, Any]:
        """Everything but the pixels, as JSON knows it: images by their indices, budgets per image."""
        return {
            "settings": self.settings,
            "images": len(self.correct),
            "clean_accuracy": self.clean_accuracy,
            "robust_accuracy": self.robust_accuracy,
            "misclassified": self._named(~self.correct),
            "robust": self._named(self.robust),
            "parts": {
                name: {
                    "attacked": int(part.attacked.sum()),
                    "flipped": self._named(part.flipped),
                    "gradient_vanished": self._named(part.gradient_vanished),
                    "robust_accuracy": float(np.mean(part.attacked & ~part.flipped)),
                    "seconds": part.seconds,
                    "gradients": part.gradients,
                    "queries": part.queries,
                }
                for name, part in self.parts.items()
            },
            "flags": self.flags,
        }

    def _named(self, chosen: Bool[np.ndarray, " images"]) -> list[int]:
        return list(map(int, self.image_indices[chosen]))


def same_logits(logits: Float[np.ndarray, "images classes"], others: Float[np.ndarray, "images classes"]) -> bool:
    """Whether logits are the same but for rounding."""
    ours, theirs = (each / (np.linalg.norm(each, axis=1, keepdims=True) + 1e-10) for each in (logits, others))
    return bool(np.max(np.linalg.norm(ours - theirs, axis=1)) <= RANDOMISED_BEYOND)


def classifier_flags(
    logits: Float[np.ndarray, "images classes"],
    first: Float[np.ndarray, "some classes"],
    again: Float[np.ndarray, "some classes"],
) -> dict[str, str]:
    """What logits of images as they are say against a classifier.

    Args:
        logits: of all images.
        first: of some images.
        again: of the same images, asked for once more and in another order.

    Returns:
        ``randomised``, ``probabilities``, ``few_classes``: those that are raised, in words.
    """
    sums, classes = logits.sum(axis=1), logits.shape[1]
    flags = {
        "randomised": (
            not same_logits(first, again),
            "logits change from one call to the next or with the other images of a batch; average them over the noise "
            "(attacks need the expectation), and leave training mode",
        ),
        "probabilities": (
            logits.min() >= 0 and logits.max() <= 1 and np.max(np.abs(sums - 1)) <= PROBABILITY_ROUNDING,
            "logits are probabilities; give what goes into the softmax, or gradients are lost to rounding",
        ),
        "few_classes": (
            classes < 4,
            f"the targeted ratio of differences needs 4 classes, of {classes} there is "
            + ("the one without targets" if classes == 3 else "no ratio"),
        ),
    }
    return _raised(flags)


def outcome_flags(parts: Mapping[str, PartOutcome]) -> dict[str, str]:
    """What the parts say against the result: ``zero_gradients``, ``black_box``, those that are raised, in words."""
    vanished = np.any([part.gradient_vanished for part in parts.values()], axis=0)
    by_scores = int(parts["square"].flipped.sum()) if "square" in parts else 0
    flags = {
        "zero_gradients": (
            vanished.any(),
            f"a gradient was zero or not finite for {vanished.sum()} of {len(vanished)} images, of which attacks with "
            "gradients say nothing; look for saturation and rounding",
        ),
        "black_box": (
            by_scores > BLACK_BOX_SHARE * len(vanished),
            f"{by_scores} of {len(vanished)} images withstand all gradients and fall to scores alone: gradients are "
            "masked; adapt an attack to this classifier",
        ),
    }
    return _raised(flags)


def _raised(flags: Mapping[str, tuple[Any, str]]) -> dict[str, str]:
    raised = {name: words for name, (suspect, words) in flags.items() if suspect}
    for name, words in raised.items():
        logger.warning("%s: %s", name, words)
    return raised

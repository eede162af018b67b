"""Is a model robust, or is its gradient of no use to the attacks? Signs of gradient masking, by number and verdict.

Checks of Athalye et al., arXiv 1802.00420, and Carlini et al., arXiv 1902.06705. Gradients must not vanish; many steps
must not do worse than one; more steps and other starts must not do much better; attacks that do not use the model's
gradient must not succeed where those that do fail; and without a bound on the perturbation every image must fall.
ReLU(h)^4.5, flat near zero, gives reason to ask. ::

    outcomes = masking_outcomes(key, logits_function(model), images, labels, epsilon=0.1, norm=2)
    checks = diagnose_masking(outcomes)
    masking_verdict(checks)  # "no sign of masking" or "suspect: black_box, unbounded"

Passing is no proof, and failing is none of masking: it says that attacks with the gradient miss what is there, so that
robustness measured with them is too high. In a handful of dimensions, scores may simply search better.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Key

from jax_bioadv.analysis.robustness import Sweep, correctly_classified, epsilon_sweep
from jax_bioadv.attacks.attack import Attack, LogitsFunction
from jax_bioadv.attacks.batch import checked_batch
from jax_bioadv.attacks.projected_gradient_descent import pgd
from jax_bioadv.attacks.square import square
from jax_bioadv.attacks.transfer import transfer
from jax_bioadv.attacks.worst_case import any_success


class Outcomes(NamedTuple):
    """What came of each attack on the same images at one epsilon; all by image, in the same order.

    ``correct``: right before any attack; the others are not looked at. ``gradient_vanished``: zero or not finite at the
    image; ``iterates_vanished``: anywhere along the iterative attack. Then whether an attack succeeded: one gradient
    step, the iterative attack, the same with twice the steps, from random starts, by scores alone, and with a ball that
    covers all images there are. ``transferred``: from other models, None if there were none.
    """

    correct: Bool[np.ndarray, " images"]
    gradient_vanished: Bool[np.ndarray, " images"]
    iterates_vanished: Bool[np.ndarray, " images"]
    single_step: Bool[np.ndarray, " images"]
    iterative: Bool[np.ndarray, " images"]
    twice_the_steps: Bool[np.ndarray, " images"]
    random_starts: Bool[np.ndarray, " images"]
    black_box: Bool[np.ndarray, " images"]
    unbounded: Bool[np.ndarray, " images"]
    transferred: Bool[np.ndarray, " images"] | None = None


class Check(NamedTuple):
    """A share of the correctly classified images, whether it is larger than chance allows, and what it means."""

    value: float
    suspect: bool
    explanation: str


def diagnose_masking(outcomes: Outcomes, slack: float = 0.01) -> dict[str, Check]:
    """Judges outcomes of attacks on one model.

    A share is suspect above ``slack`` and above two standard errors of McNemar's test, ``2 sqrt(discordant) / n`` for n
    images of which ``discordant`` fare differently in the two cases compared. Where they all differ in one direction,
    these are four images.

    Args:
        outcomes: from :func:`masking_outcomes`, or of attacks of one's own.
        slack: share that means nothing, however many images there are.

    Returns:
        The checks by name: ``vanished_gradients``, ``vanished_iterates``, ``single_step``, ``more_steps``,
        ``random_starts``, ``black_box``, ``unbounded``, and ``transfer`` if there was any.

    Raises:
        ValueError: if no image is classified correctly, or for a slack that is not a share.
    """
    if not 0 <= slack < 1:
        raise ValueError(f"slack must be a share, at least 0 and below 1; got {slack}")
    if not np.any(outcomes.correct):
        raise ValueError("no image is classified correctly, so that no attack says anything")
    correct = np.asarray(outcomes.correct)
    fields = outcomes._asdict().items()
    given = outcomes._replace(**{name: np.asarray(each)[correct] for name, each in fields if each is not None})
    white_box = any_success([given.iterative, given.twice_the_steps, given.random_starts])
    never = np.zeros_like(white_box)
    compared = {
        "vanished_gradients": (given.gradient_vanished, never, "have no gradient"),
        "vanished_iterates": (
            given.iterates_vanished & ~given.iterative,
            never,
            "lose their gradient along the iterative attack and do not fall to it",
        ),
        "single_step": (given.single_step, given.iterative, "more fall to one step than to many, which should find it"),
        "more_steps": (given.twice_the_steps, given.iterative, "more fall to twice the steps: not converged"),
        "random_starts": (given.random_starts & ~given.iterative, never, "fall from random starts alone"),
        "black_box": (given.black_box & ~white_box, never, "fall to scores, and to no gradient"),
        "unbounded": (~given.unbounded, never, "do not even fall to perturbations without bound"),
    }
    if given.transferred is not None:
        compared["transfer"] = (
            given.transferred & ~white_box,
            never,
            "fall to gradients of others, and not to its own",
        )
    return {name: _check(more, less, slack, meaning) for name, (more, less, meaning) in compared.items()}


def masking_verdict(checks: Mapping[str, Check]) -> str:
    """``"no sign of masking"``, or ``"suspect: "`` and the names of the checks that are."""
    suspects = [name for name, check in checks.items() if check.suspect]
    return f"suspect: {', '.join(suspects)}" if suspects else "no sign of masking"


def masking_outcomes(
    key: Key[Array, ""],
    logits_function: LogitsFunction,
    images: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    *,
    norm: float | int = math.inf,
    bounds: tuple[float, float] = (0.0, 1.0),
    image_shape: tuple[int, int, int] = (32, 32, 3),
    steps: int = 20,
    restarts: int = 1,
    queries: int = 100,
    sources: Sequence[LogitsFunction] = (),
    image_block: int = 2048,
) -> Outcomes:
    """Attacks a model in the ways that :func:`diagnose_masking` compares.

    It costs ``4·steps + steps·restarts + 1`` gradients and ``queries`` evaluations for each image, and ``steps``
    gradients more for each source. Models of one shape share all compilations, if the images are about as many.

    Args:
        key: seed of all randomness.
        logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
        images: (images, inputs) within the bounds; a few hundred show what there is to see.
        labels: (images,), their classes.
        epsilon: radius at which the attacks are compared; some images should fall and some not.
        norm: 2 or infinity.
        bounds: range of the pixels, which the perturbation without bound may use up.
        image_shape: (height, width, channels) of the flattened images, for the attack by scores.
        steps: of the iterative attack; each of ``2.5 epsilon / steps``, so that it can reach all of the ball, however
            large. (The default of :func:`pgd`, the published 0.01, cannot.)
        restarts: random starts.
        queries: of the attack by scores.
        sources: other models of the same images and classes, or functions.
        image_block: most images in one batch.

    Returns:
        What came of it, by image.

    Raises:
        ValueError: for settings or input that an attack refuses.
    """
    largest = (bounds[1] - bounds[0]) * (1.0 if norm == math.inf else math.prod(image_shape) ** (1 / norm))
    logits_function, images, labels = checked_batch(logits_function, images, labels, bounds)
    sources = [checked_batch(source, images, labels, bounds).logits_function for source in sources]

    def steepest(steps: int, **options: Any) -> Attack:
        return pgd(norm, steps, _ShareOfRadius(2.5 / steps), bounds, **options)

    iterative = steepest(steps)

    def at(attack: Attack, epsilon: float) -> Sweep:
        return epsilon_sweep(
            attack, key, logits_function, images, labels, [epsilon], epsilon_block=1, image_block=image_block
        )

    def success(attack: Attack) -> Bool[np.ndarray, " images"]:
        return at(attack, epsilon).success[0]

    black_box = success(square(norm, queries, image_shape, bounds=bounds))
    one, many = at(pgd(norm, 1, _ShareOfRadius(1.0), bounds), epsilon), at(iterative, epsilon)
    correct = np.zeros(len(black_box), bool)
    correct[correctly_classified(logits_function, images, labels)] = True
    return Outcomes(
        correct=correct,
        gradient_vanished=one.gradient_vanished,
        iterates_vanished=many.gradient_vanished,
        single_step=one.success[0],
        iterative=many.success[0],
        twice_the_steps=success(steepest(2 * steps)),
        random_starts=success(steepest(steps, random_start=True, restarts=restarts)),
        black_box=black_box,
        unbounded=at(pgd(norm, steps, _ShareOfRadius(0.25), bounds, clip_each_step=True), largest).success[0],
        transferred=any_success([success(transfer(iterative, source)) for source in sources]) if sources else None,
    )


def _check(more: Bool[np.ndarray, " images"], less: Bool[np.ndarray, " images"], slack: float, meaning: str) -> Check:
    """How many more images the first case has than the second."""
    images, gained, lost = len(more), int(np.sum(more & ~less)), int(np.sum(less & ~more))
    value, tolerance = (gained - lost) / images, max(slack, 2 * math.sqrt(gained + lost) / images)
    explanation = f"{value:.1%} of {images} images {meaning} (tolerance {tolerance:.1%})"
    return Check(value, value > tolerance, explanation)


@dataclass(frozen=True)
class _ShareOfRadius:
    """A step size that attacks of one share have in common, and so a compilation."""

    share: float

    def __call__(self, epsilon: Array) -> Array:
        return self.share * epsilon

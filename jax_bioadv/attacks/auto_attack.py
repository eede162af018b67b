"""AutoAttack in one call: four attacks without tuning, each on what withstood those before (arXiv 2003.01690).

Auto-PGD on the cross-entropy, Auto-PGD on the targeted ratio of differences of logits, the smallest perturbation, and
the Square Attack: three that use gradients and do not fail together, and one that needs none. The budget is that of the
``standard`` version of Croce & Hein: 100 gradients, twice 9 targets of 100 gradients, and 5 000 queries. ::

    attack = autoattack(math.inf, 8 / 255)
    found = attack(jax.random.key(0), model, images, labels, folder=Path("runs/autoattack"))
    found.robust_accuracy
    found.flags  # reasons not to believe it, by name
    found.record()  # for a JSON file

What differs from the published code: climbs start at the image, not at a random point; the smallest perturbation is
that of :mod:`jax_bioadv.attacks.minimum_norm`, which projects as FAB does and has another way back; squares shrink by
the whole published schedule, of which that code runs the first half.

There is no L1. In it Auto-PGD is another attack, whose steps choose how many pixels they change and whose projection is
onto the ball and the cube at once (arXiv 2103.01208); this one, clipped, would see robustness where there is none.
"""

import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from jax_bioadv.attacks.attack import Adversarial, Attack, LogitsFunction, attack_keys, checked_bounds, checked_counts
from jax_bioadv.attacks.auto_attack_folder import AutoAttackFolder
from jax_bioadv.attacks.auto_attack_outcome import AutoAttackOutcome, PartOutcome, classifier_flags, outcome_flags
from jax_bioadv.attacks.auto_projected_gradient_descent import apgd
from jax_bioadv.attacks.batch import Batch, checked_batch, checked_image_indices, checked_image_shape
from jax_bioadv.attacks.minimum_norm import minimum_norm
from jax_bioadv.attacks.square import square
from jax_bioadv.blocks import blocks_of_three_lengths, over_blocks
from jax_bioadv.models import as_pytree

Progress = Callable[[str, int, int], object]
"""Called with the name of a part, how many images it has attacked, and how many it is to attack."""


class Part(NamedTuple):
    """One of the attacks, and what it spends on an image: gradients, and queries without one."""

    attack: Attack
    gradients: int
    queries: int


class AutoAttack(NamedTuple):
    """The attack and its budget, from :func:`autoattack`; call it on a classifier."""

    norm: float
    epsilon: float
    steps: int
    targets: int
    queries: int
    image_shape: tuple[int, int, int]
    bounds: tuple[float, float] | None

    def __call__(
        self,
        key: Key[Array, ""],
        logits_function: LogitsFunction,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        image_indices: ArrayLike | None = None,
        image_block: int = 256,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> AutoAttackOutcome:
        """Attacks images that are classified correctly until they fall, or all parts are through.

        Batches are of three sizes, so that a part is compiled three times at most, for all classifiers of one shape.

        Args:
            key: seed of all randomness.
            logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
            images: (images, inputs), floating, finite, within the bounds.
            labels: (images,), integers that name a logit.
            image_indices: (images,), an integer per image that decides its randomness and is its name in the record; by
                default its position.
            image_block: most images in one batch.
            folder: where outcomes of parts are kept, and the record; a call with the same arguments goes on from there.
            progress: called after every batch.

        Returns:
            What is left of the classifier; what speaks against that is logged, too.

        Raises:
            ValueError: for input that does not fit the description above, logits that are not finite, a single class,
                or a folder that holds an attack of something else; all before anything is attacked.
            StorageError: the folder cannot be written, or holds a broken file.
        """
        given = checked_batch(logits_function, images, labels, self.bounds)
        if given.images.shape[1] != math.prod(self.image_shape):
            raise ValueError(
                f"images of {given.images.shape[1]} values cannot be of shape {self.image_shape}; "
                "set image_shape=(height, width, channels)"
            )
        numbers = np.finfo(given.images.dtype)
        if not float(numbers.tiny) <= self.epsilon <= float(numbers.max):
            raise ValueError(f"epsilon must be positive and finite as {given.images.dtype} too, got {self.epsilon}")
        indices = checked_image_indices(image_indices, len(given.labels))
        logits = _logits_of(given, image_block)
        parts = self.parts(logits.shape[1])
        flags = classifier_flags(logits, *_asked_again(logits_function, given, logits, image_block))
        asked: dict[str, Any] = {
            "settings": json.dumps(self.settings()),
            "key": jax.random.key_data(key),
            "image indices": indices,
        }
        kept = AutoAttackFolder(folder, {**asked, "images": given.images, "labels": given.labels}, logits)
        correct = np.argmax(kept.logits, axis=1) == given.labels
        perturbed, robust, outcomes = np.array(given.images), correct.copy(), {}
        for number, (name, part) in enumerate(parts.items()):
            attacked = np.flatnonzero(robust)
            found = kept.read(name)
            if found is None:
                report = None if progress is None else partial(progress, name)
                part_key = jax.random.fold_in(key, number)
                found = _run(part.attack, part_key, given, indices, attacked, self.epsilon, image_block, report)
                kept.write(name, found)
            flipped = attacked[found["success"]]
            outcomes[name] = PartOutcome(
                attacked=robust.copy(),
                flipped=_marked(flipped, len(robust)),
                gradient_vanished=_marked(attacked[found["gradient_vanished"]], len(robust)),
                seconds=float(found["seconds"]),
                gradients=part.gradients,
                queries=part.queries,
            )
            perturbed[flipped], robust[flipped] = found["images"], False
        flags |= outcome_flags(outcomes)
        outcome = AutoAttackOutcome(perturbed, correct, robust, outcomes, flags, self.settings(), indices)
        kept.write_record(outcome.record())
        return outcome

    def parts(self, classes: int) -> dict[str, Part]:
        """The attacks by name, in the order in which they run, for a number of classes.

        Of fewer than ten classes all wrong ones are targets. Of three there is the ratio without targets alone, and of
        two no ratio, which would see what the cross-entropy sees.

        Raises:
            ValueError: for fewer than two classes.
        """
        if classes < 2:
            raise ValueError(f"there must be at least 2 classes, the logits have {classes}")
        climb, targets = partial(apgd, self.norm, self.steps, bounds=self.bounds), min(self.targets, classes - 1)
        parts = {"apgd_ce": Part(climb("cross_entropy"), self.steps, 0)}
        if classes == 3:
            parts["apgd_dlr"] = Part(climb("dlr"), self.steps, 0)
        if classes > 3:
            parts["apgd_targeted"] = Part(climb("targeted_dlr", targets=targets), targets * self.steps, 0)
        shortest = minimum_norm(self.norm, self.steps, targets, self.bounds)
        parts["minimum_norm"] = Part(shortest, classes + targets * self.steps, 0)
        by_scores = square(self.norm, self.queries, self.image_shape, bounds=self.bounds)
        return {**parts, "square": Part(by_scores, 0, self.queries)}

    def settings(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        norm = "linf" if self.norm == math.inf else "l2"
        bounds = None if self.bounds is None else list(self.bounds)
        return {**self._asdict(), "norm": norm, "image_shape": list(self.image_shape), "bounds": bounds}


def autoattack(
    norm: float | int,
    epsilon: float,
    *,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    bounds: tuple[float, float] | None = (0.0, 1.0),
    steps: int = 100,
    targets: int = 9,
    queries: int = 5000,
) -> AutoAttack:
    """AutoAttack, with the standard budget unless another is given.

    Args:
        norm: 2 or infinity.
        epsilon: radius of the ball in the units of the images, positive.
        image_shape: (height, width, channels) of the flattened images.
        bounds: range that images must lie in, None if there is none.
        steps: gradients of each climb, and of the minimum norm for each target.
        targets: classes to aim at; all wrong ones if there are not as many.
        queries: of the Square Attack.

    Returns:
        The attack, to be called on a classifier.

    Raises:
        ValueError: for a setting out of range.
    """
    if float(norm) not in (2, math.inf):
        raise ValueError(
            f"norm must be 2 or infinity, got {norm}: Auto-PGD in L1 is another attack, and there is no Square Attack "
            "in it here; pgd climbs in balls of other norms"
        )
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon must be finite and positive, got {epsilon}")
    steps, targets, queries = checked_counts(steps=steps, targets=targets, queries=queries)
    shape = checked_image_shape(image_shape)
    attack = AutoAttack(float(norm), float(epsilon), steps, targets, queries, shape, checked_bounds(bounds))
    attack.parts(classes=2 + attack.targets)  # each of which looks at its settings
    return attack


def _run(
    attack: Attack,
    key: Key[Array, ""],
    given: Batch,
    indices: Int[np.ndarray, " images"],
    attacked: Int[np.ndarray, " attacked"],
    epsilon: float,
    image_block: int,
    progress: Callable[[int, int], object] | None,
) -> dict[str, np.ndarray]:
    """One part on the images that are left: which fall, their perturbed images, and where gradients vanish."""
    count, done, began = len(attacked), 0, time.perf_counter()

    def of_block(block: np.ndarray) -> Adversarial:
        nonlocal done
        rows = attacked[block]
        batch = given.images[rows], given.labels[rows], np.asarray(epsilon, given.images.dtype)
        found = jax.device_get(_attack_block(attack, key, indices[rows], given.logits_function, *batch))
        done = min(done + len(block), count)
        if progress is not None:
            progress(done, count)
        return found

    perturbed, success, vanished = np.asarray(given.images[:0]), np.zeros(0, bool), np.zeros(0, bool)
    if count:
        perturbed, success, vanished = over_blocks(of_block, count, blocks_of_three_lengths(count, image_block))
    return {
        "success": success,
        "images": perturbed[success],
        "gradient_vanished": vanished,
        "seconds": np.asarray(time.perf_counter() - began),
    }


@jax.jit
def _attack_block(
    attack: Attack,
    key: Key[Array, ""],
    indices: Integer[Array, " batch"],
    logits_function: Partial,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> Adversarial:
    keys = attack_keys(key, indices)
    prepared = attack.prepare(keys.prepare, logits_function, images, labels)
    return attack.at_epsilon(prepared, keys.perturb, logits_function, images, labels, epsilon, 0)


def _logits_of(given: Batch, image_block: int) -> Float[np.ndarray, "images classes"]:
    count = len(given.labels)
    logits = over_blocks(
        lambda rows: _logits(given.logits_function, given.images[rows]),
        count,
        blocks_of_three_lengths(count, image_block),
    )
    broken = int(np.sum(~np.isfinite(logits).all(axis=1)))
    if broken:
        raise ValueError(f"logits of {broken} images are not finite; look for NaN among the weights, or for overflow")
    return logits


@jax.jit
def _logits(function: Partial, images: Float[Array, "batch inputs"]) -> Float[Array, "batch classes"]:
    return function(images)


def _asked_again(
    logits_function: LogitsFunction, given: Batch, logits: Float[np.ndarray, "images classes"], image_block: int
) -> tuple[Float[np.ndarray, "some classes"], Float[np.ndarray, "some classes"]]:
    """Logits of some images, and once more, in other places and company and with what functions read from outside."""
    some = min(len(logits), image_block)
    rows = np.resize(np.arange(some)[some // 2 :][::-1], some)
    again = Batch(as_pytree(logits_function), given.images[rows], given.labels[rows])
    return logits[rows], _logits_of(again, image_block)


def _marked(rows: Int[np.ndarray, " rows"], images: int) -> Bool[np.ndarray, " images"]:
    return np.isin(np.arange(images), rows)

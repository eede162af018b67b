"""Sweeps over ε under Gaussian noise, FGSM and PGD, and the critical perturbations under PGD."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import eager_attacks
from benchmarks.eager_network import EagerNetwork, choose_device, compiled, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, present, relative, share_different
from benchmarks.timing import Contestant, Part
from benchmarks.workload import Sizes, Workload, weights_of
from jax_bioadv import attacks
from jax_bioadv.analysis.critical import CriticalSearch, critical_search, search_evaluations
from jax_bioadv.analysis.robustness import Sweep, epsilon_grid, epsilon_sweep
from jax_bioadv.models import logits_function

GAUSSIAN_RANGE, GRADIENT_RANGE, STEPS = (1e-6, 8.25), (1e-6, 10**-1.5), 20
# Images that an ε leaves on the boundary up to rounding; under PGD rounding also turns signs of vanishing gradients.
FLIP_TOLERANCE = {"gaussian": 2e-3, "fgsm": 2e-3, "pgd": 1e-2}
LENGTH_TOLERANCE = 1e-2


class _Sides:
    """The trained network on both sides, the images that it takes correctly, and the grid of ε."""

    def __init__(self, workload: Workload, span: tuple[float, float], every: int):
        sizes = workload.sizes
        self.images, self.labels = (jnp.asarray(array) for array in workload.attacked)
        self.logits = logits_function(workload.trained_network)
        self.grid = epsilon_grid(*span, sizes.epsilons)
        self.timed = self.grid[::-every][::-1]  # the largest ε is among them
        self.times = len(self.grid) / len(self.timed)
        self.timed_in_words = f"{len(self.timed)} of {len(self.grid)} ε"
        self.device = choose_device()
        weights = weights_of(workload.trained_network)
        self.network = EagerNetwork(weights, self.device)
        self.untrainable = EagerNetwork(weights, self.device).requires_grad_(False)
        their_images, their_labels = tensor(self.images, self.device), tensor(self.labels, self.device).long()
        self.their_images, self.their_labels = their_images, their_labels
        self.batches = loader(their_images, their_labels, sizes.batch_size)

    def ours(self, attack: attacks.Attack) -> Callable[[], Sweep]:
        return lambda: epsilon_sweep(attack, jax.random.key(6), self.logits, self.images, self.labels, self.timed)

    def eager(self, attack: eager_attacks.Attack) -> Callable[[], eager_attacks.Sweep]:
        return finished(lambda: eager_attacks.sweep(attack, self.network, self.batches, self.timed), self.device)

    def contestant(self, label: str, run: Callable[[], Any], *more: Part) -> Contestant:
        return Contestant(label, (Part(run, self.times), *more), self.timed_in_words)

    def prepared_once(self, attack: attacks.Attack) -> Part:
        """What a sweep does once, whatever the number of its ε; extrapolation has counted it too often."""
        keys = attacks.attack.attack_keys(jax.random.key(6), jnp.arange(len(self.images))).prepare
        prepare = jax.jit(lambda *arguments: attack.prepare(*arguments))
        return Part(lambda: jax.block_until_ready(prepare(keys, self.logits, self.images, self.labels)), 1 - self.times)

    def lean_gradient(self, compile_it: bool = False) -> eager_attacks.Gradient:
        def logits(images: Any) -> Any:
            return self.untrainable(images)[0]

        return eager_attacks.lean_gradient(compiled(logits) if compile_it else logits)


def _work(sizes: Sizes, products: float, evaluations: float) -> Work:
    """Products of a batch with the layer, in either direction; per evaluation of an ε the weights and images once."""
    layer = sizes.inputs * sizes.hidden
    return Work(2.0 * sizes.attacked * layer * products, 4.0 * (layer + sizes.attacked * sizes.inputs) * evaluations)


def _agree(kind: str, results: Results) -> list[Check]:
    ours: Sweep = results["ours"][0]
    checks = []
    for name in present(results, "eager", "lean", "compiled"):
        theirs: eager_attacks.Sweep = results[name][0]
        flips = share_different(ours.success, theirs.success)
        checks += [
            Check(f"share of the flips that differ, {name}", flips, FLIP_TOLERANCE[kind]),
            Check(f"lengths of the perturbations, {name}", relative(ours.l2, theirs.l2), LENGTH_TOLERANCE),
        ]
    return checks


def build_gaussian(workload: Workload) -> Row:
    sides = _Sides(workload, GAUSSIAN_RANGE, workload.sizes.every_fgsm)
    fixed = attacks.gaussian()
    keys = attacks.attack.attack_keys(jax.random.key(6), jnp.arange(len(sides.images)))
    noise = tensor(fixed.prepare(keys.prepare, sides.logits, sides.images, sides.labels), sides.device)
    contestants = {
        "eager": sides.contestant("eager PyTorch, new noise at every ε", sides.eager(eager_attacks.gaussian())),
        "lean": sides.contestant(
            "lean eager PyTorch, one direction per image",
            sides.eager(eager_attacks.gaussian(noise, workload.sizes.batch_size)),
        ),
        "ours": sides.contestant("ours, one direction per image", sides.ours(fixed)),
        "ours, new noise": sides.contestant(
            "ours, new noise at every ε", sides.ours(attacks.gaussian(protocol="published"))
        ),
    }

    def agree(results: Results) -> list[Check]:
        # New noise can only be compared in distribution: relative accuracies of as many images at every ε.
        same_noise = _agree("gaussian", {name: results[name] for name in ("ours", "lean")})
        new = results["eager"][0].success.mean(axis=1) - results["ours, new noise"][0].success.mean(axis=1)
        bound = 5 * (0.5 / sizes.attacked) ** 0.5
        return [*same_noise, Check("relative accuracies, eager", float(np.abs(new).max()), bound)]

    sizes = workload.sizes
    note = "As published, eager PyTorch draws new noise at every ε; ours does too with protocol='published'."
    return Row(contestants, agree, _work(sizes, sizes.epsilons, sizes.epsilons), note)


GRADIENT_NOTE = (
    "Eager PyTorch computes the gradients of the trainable weights in every attack, by loss.backward(), as the "
    "published FGSM does, and we take it that its PGD did; the lean one the images' alone. Attacked: the "
    "backpropagation network, on {attacked} images with its own predictions as labels. "
)


def _gradient_row(
    workload: Workload,
    kind: str,
    every: int,
    ours: attacks.Attack,
    theirs: Callable[[eager_attacks.Gradient], eager_attacks.Attack],
    products: float,
    evaluations: float,
    note: str,
) -> Row:
    sides = _Sides(workload, GRADIENT_RANGE, every)
    contestants = {
        "eager": sides.contestant(
            "eager PyTorch", sides.eager(theirs(eager_attacks.published_gradient(sides.network)))
        ),
        "lean": sides.contestant(
            "lean eager PyTorch: gradients of the images alone", sides.eager(theirs(sides.lean_gradient()))
        ),
        "compiled": sides.contestant(
            "the lean one under torch.compile", sides.eager(theirs(sides.lean_gradient(compile_it=True)))
        ),
        "ours": sides.contestant("ours", sides.ours(ours), sides.prepared_once(ours)),
    }
    text = GRADIENT_NOTE.format(attacked=workload.sizes.attacked) + note
    work = _work(workload.sizes, products, evaluations)
    return Row(contestants, lambda results: _agree(kind, results), work, text)


def build_fgsm(workload: Workload) -> Row:
    sizes = workload.sizes
    note = "PyTorch takes the gradient anew for every ε, ours once (timed apart and counted once)."
    products, evaluations = 2 + sizes.epsilons, 1 + sizes.epsilons
    return _gradient_row(
        workload, "fgsm", sizes.every_fgsm, attacks.fgsm(), eager_attacks.fgsm, products, evaluations, note
    )


def _pgd(gradient: eager_attacks.Gradient) -> eager_attacks.Attack:
    return eager_attacks.pgd(gradient, STEPS)


def build_pgd(workload: Workload) -> Row:
    sizes = workload.sizes
    products = 2 + sizes.epsilons * (2 * (STEPS - 1) + 1)
    note = f"{STEPS} steps on the same ε by all."
    attack = attacks.pgd(steps=STEPS)
    return _gradient_row(workload, "pgd", sizes.every_pgd, attack, _pgd, products, sizes.epsilons * STEPS, note)


def build_critical(workload: Workload) -> Row:
    sizes = workload.sizes
    sides = _Sides(workload, GRADIENT_RANGE, sizes.every_pgd)
    attack = attacks.pgd(steps=STEPS)

    def ours() -> CriticalSearch:
        return critical_search(attack, jax.random.key(6), sides.logits, sides.images, sides.labels, sides.grid)

    searched = sizes.searched

    def lean() -> tuple[np.ndarray, np.ndarray]:
        images, labels = sides.their_images[:searched], sides.their_labels[:searched]
        return eager_attacks.lean_critical_search(sides.lean_gradient(), sides.untrainable, images, labels, sides.grid)

    contestants = {
        "eager": sides.contestant(
            "eager PyTorch: the whole grid",
            sides.eager(_pgd(eager_attacks.published_gradient(sides.network))),
        ),
        "lean": Contestant(
            "lean eager PyTorch: our search, gradients of the images alone",
            (Part(finished(lean, sides.device), sizes.attacked / searched),),
            f"{searched} of {sizes.attacked} images",
        ),
        "ours": Contestant("ours: a search on the same grid", (Part(ours),)),
    }

    def agree(results: Results) -> list[Check]:
        """Against the timed ε of the eager sweep: the first success is bracketed by it and the ε before."""
        found: CriticalSearch = results["ours"][0]
        first_index = np.where(
            results["eager"][0].success.any(axis=0), results["eager"][0].success.argmax(axis=0), len(sides.timed)
        )
        bounds = np.concatenate([[0.0], sides.timed, [np.inf]])
        inside = (found.critical_epsilon > bounds[first_index]) & (found.critical_epsilon <= bounds[first_index + 1])
        their_epsilon, their_l2 = results["lean"][0]
        same = np.isclose(found.critical_epsilon[:searched], their_epsilon, rtol=1e-5)
        flipped = same & ~found.censored[:searched]
        lengths = relative(found.l2[:searched][flipped], their_l2[flipped])
        return [
            Check("share of critical ε outside the eager sweep's bracket", float(np.mean(~inside)), 1e-2),
            Check("share of critical ε that differ, lean", float(np.mean(~same)), 2e-2),
            Check("critical L2 lengths, lean", lengths, LENGTH_TOLERANCE),
        ]

    attempts = search_evaluations(len(sides.grid))
    products = 2 + attempts * (2 * (STEPS - 1) + 1)
    note = (
        f"The same critical perturbations of the grid's {len(sides.grid)} ε: PyTorch by attacking at every one of them "
        f"(extrapolated), ours by {attempts} attacks on each image (real time). The lean PyTorch one searches too."
    )
    text = GRADIENT_NOTE.format(attacked=sizes.attacked) + note
    return Row(contestants, agree, _work(sizes, products, attempts * STEPS), text)


STAGES = {
    "gaussian_sweep": Stage("Gaussian sweep, 400 ε", build_gaussian),
    "fgsm_sweep": Stage("FGSM sweep, 400 ε", build_fgsm),
    "pgd_sweep": Stage("PGD sweep, 400 ε", build_pgd),
    "pgd_critical": Stage("critical perturbations under PGD, 400 ε", build_critical),
}

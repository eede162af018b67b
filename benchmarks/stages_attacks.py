"""Sweeps over ε under Gaussian noise, FGSM and PGD, and the critical perturbations under PGD."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import eager_attacks
from benchmarks.eager_network import EagerNetwork, choose_device, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import PYTORCH, Check, Results, Row, Stage, present, relative, share_different
from benchmarks.timing import Contestant, Part
from benchmarks.torch_compile import compiled
from benchmarks.workload import Sizes, Workload, weights_of
from jax_bioadv import attacks
from jax_bioadv.analysis.critical import CriticalSearch, critical_search, search_evaluations
from jax_bioadv.analysis.robustness import Sweep, epsilon_grid, epsilon_sweep
from jax_bioadv.models import logits_function

GAUSSIAN_RANGE, GRADIENT_RANGE, STEPS = (1e-6, 8.25), (1e-6, 10**-1.5), 20
# Of a batch with the layer, in an attack whose first gradient is there: two per further step, one for what comes of it.
PRODUCTS = 2 * (STEPS - 1) + 1
# Images that an ε leaves on the boundary up to rounding; under PGD rounding also turns signs of vanishing gradients.
FLIP_TOLERANCE = {"gaussian": 2e-3, "fgsm": 2e-3, "pgd": 1e-2}
LENGTH_TOLERANCE = 1e-2


class _Sides:
    """The trained network on both sides, the images that it takes correctly, and the grid of ε."""

    def __init__(self, workload: Workload, span: tuple[float, float], every: int, attacked: int | None = None):
        sizes = workload.sizes
        self.images, self.labels = (jnp.asarray(array[:attacked]) for array in workload.attacked)
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
        self.pieces = list(zip(*(part.split(sizes.batch_size) for part in (their_images, their_labels)), strict=True))
        self.mode = workload.compile_mode

    def their_logits(self, images: Any) -> Any:
        """Of the network whose weights need no gradients."""
        return self.untrainable(images)[0]

    def ours(self, attack: attacks.Attack) -> Callable[[], Sweep]:
        return lambda: epsilon_sweep(attack, jax.random.key(6), self.logits, self.images, self.labels, self.timed)

    def eager(self, attack: eager_attacks.Attack) -> Callable[[], eager_attacks.Sweep]:
        def logits(images: Any) -> Any:
            return self.network(images)[0]

        return finished(lambda: eager_attacks.sweep(attack, logits, self.batches, self.timed), self.device)

    def lean(self, attack: eager_attacks.Attack) -> Callable[[], eager_attacks.Sweep]:
        return finished(lambda: eager_attacks.sweep(attack, self.their_logits, self.pieces, self.timed), self.device)

    def signs(self) -> list[Any]:
        """Of the gradient at the images, batch by batch."""
        gradient = eager_attacks.lean_gradient(self.their_logits)
        return [gradient(*piece).sign() for piece in self.pieces]

    def same(
        self, evaluate: eager_attacks.Evaluate, directions: Callable[[], list[Any]]
    ) -> Callable[[], eager_attacks.Sweep]:
        return finished(lambda: eager_attacks.sweep_along(evaluate, self.pieces, directions(), self.timed), self.device)

    def contestant(self, label: str, run: Callable[[], Any], *more: Part) -> Contestant:
        return Contestant(label, (Part(run, self.times), *more), self.timed_in_words)

    def prepared_once(self, attack: attacks.Attack) -> Part:
        """What a sweep does once, whatever the number of its ε; extrapolation has counted it too often."""
        keys = attacks.attack.attack_keys(jax.random.key(6), jnp.arange(len(self.images))).prepare
        prepare = jax.jit(lambda *arguments: attack.prepare(*arguments))
        return Part(lambda: jax.block_until_ready(prepare(keys, self.logits, self.images, self.labels)), 1 - self.times)

    def signs_once(self) -> Part:
        """The same of their signs."""
        return Part(finished(self.signs, self.device), 1 - self.times)

    def ascent(self, compile_it: bool = False) -> eager_attacks.Evaluate:
        """PGD; compiled, its step and the look at what comes of it."""
        step, logits = eager_attacks.ascent_step(self.their_logits), self.their_logits
        if compile_it:
            step, logits = compiled(step, self.mode), compiled(logits, self.mode)
        return eager_attacks.ascent(step, logits, STEPS)


def _work(sizes: Sizes, products: float, evaluations: float) -> Work:
    """Products of a batch with the layer, in either direction; per evaluation of an ε the weights and images once."""
    layer = sizes.inputs * sizes.hidden
    return Work(2.0 * sizes.attacked * layer * products, 4.0 * (layer + sizes.attacked * sizes.inputs) * evaluations)


def _agree(kind: str, results: Results) -> list[Check]:
    ours: Sweep = results["ours"][0]
    checks = []
    for name in present(results, *PYTORCH):
        theirs: eager_attacks.Sweep = results[name][0]
        flips = share_different(ours.success, theirs.success)
        checks += [
            Check(f"share of the flips that differ, {name}", flips, FLIP_TOLERANCE[kind]),
            Check(f"lengths of the perturbations, {name}", relative(ours.l2, theirs.l2), LENGTH_TOLERANCE),
        ]
    return checks


SAME_LABEL = "PyTorch with our algorithm"
COMPILED_LABEL = "the same under torch.compile"


def build_gaussian(workload: Workload) -> Row:
    sides = _Sides(workload, GAUSSIAN_RANGE, workload.sizes.every_fgsm)
    fixed = attacks.gaussian()
    keys = attacks.attack.attack_keys(jax.random.key(6), jnp.arange(len(sides.images)))
    noise = tensor(fixed.prepare(keys.prepare, sides.logits, sides.images, sides.labels), sides.device)
    pieces = list(noise.split(workload.sizes.batch_size))
    evaluate = eager_attacks.along(sides.their_logits, clip=False)
    contestants = {
        "eager": sides.contestant("eager PyTorch, new noise at every ε", sides.eager(eager_attacks.gaussian())),
        "same": sides.contestant(SAME_LABEL, sides.same(evaluate, lambda: pieces)),
        "compiled": sides.contestant(COMPILED_LABEL, sides.same(compiled(evaluate, sides.mode), lambda: pieces)),
        "ours": sides.contestant("ours, one direction per image", sides.ours(fixed)),
        "ours, new noise": sides.contestant(
            "ours, new noise at every ε", sides.ours(attacks.gaussian(protocol="published"))
        ),
    }

    def agree(results: Results) -> list[Check]:
        # New noise can only be compared in distribution: relative accuracies of as many images at every ε.
        same_noise = _agree("gaussian", {name: results[name] for name in results if name != "eager"})
        new = results["eager"][0].success.mean(axis=1) - results["ours, new noise"][0].success.mean(axis=1)
        bound = 5 * (0.5 / sizes.attacked) ** 0.5
        return [*same_noise, Check("relative accuracies, eager", float(np.abs(new).max()), bound)]

    sizes = workload.sizes
    note = (
        "As published, eager PyTorch draws new noise at every ε; ours does too with protocol='published'. Our "
        "algorithm: one direction per image for all ε."
    )
    return Row(contestants, agree, _work(sizes, sizes.epsilons, sizes.epsilons), note)


GRADIENT_NOTE = (
    "Eager PyTorch computes the gradients of the trainable weights in every attack, by loss.backward(), as the "
    "published FGSM does, and we take it that its PGD did; the others the images' alone. Attacked: the "
    "backpropagation network, on {attacked} images with its own predictions as labels. Our algorithm: the gradient at "
    "the images once, for all ε. "
)


def build_fgsm(workload: Workload) -> Row:
    sizes, sides = workload.sizes, _Sides(workload, GRADIENT_RANGE, workload.sizes.every_fgsm)
    attack, evaluate = attacks.fgsm(), eager_attacks.along(sides.their_logits, clip=True)
    published = eager_attacks.fgsm(eager_attacks.published_gradient(sides.network))
    lean = eager_attacks.fgsm(eager_attacks.lean_gradient(sides.their_logits))
    fused = compiled(evaluate, sides.mode)
    contestants = {
        "eager": sides.contestant("eager PyTorch", sides.eager(published)),
        "lean": sides.contestant("lean PyTorch, the gradient anew for every ε", sides.lean(lean)),
        "same": sides.contestant(SAME_LABEL, sides.same(evaluate, sides.signs), sides.signs_once()),
        "compiled": sides.contestant(COMPILED_LABEL, sides.same(fused, sides.signs), sides.signs_once()),
        "ours": sides.contestant("ours", sides.ours(attack), sides.prepared_once(attack)),
    }
    note = GRADIENT_NOTE.format(attacked=sizes.attacked) + "Timed apart, the gradient counts once in a whole sweep."
    work = _work(sizes, 2 + sizes.epsilons, 1 + sizes.epsilons)
    return Row(contestants, lambda results: _agree("fgsm", results), work, note)


def build_pgd(workload: Workload) -> Row:
    sizes, sides = workload.sizes, _Sides(workload, GRADIENT_RANGE, workload.sizes.every_pgd)
    attack = attacks.pgd(steps=STEPS)
    published = eager_attacks.pgd(eager_attacks.published_gradient(sides.network), STEPS)
    same, fused = sides.ascent(), sides.ascent(compile_it=True)
    contestants = {
        "eager": sides.contestant("eager PyTorch", sides.eager(published)),
        "same": sides.contestant(SAME_LABEL, sides.same(same, sides.signs), sides.signs_once()),
        "compiled": sides.contestant(COMPILED_LABEL, sides.same(fused, sides.signs), sides.signs_once()),
        "ours": sides.contestant("ours", sides.ours(attack), sides.prepared_once(attack)),
    }
    note = GRADIENT_NOTE.format(attacked=sizes.attacked) + f"{STEPS} steps on the same ε by all."
    work = _work(sizes, 2 + sizes.epsilons * PRODUCTS, sizes.epsilons * STEPS)
    return Row(contestants, lambda results: _agree("pgd", results), work, note)


def build_critical(workload: Workload) -> Row:
    sizes, searched = workload.sizes, workload.sizes.searched
    sides = _Sides(workload, GRADIENT_RANGE, sizes.every_pgd, searched)
    attack, share = attacks.pgd(steps=STEPS), sizes.attacked / searched
    published = eager_attacks.pgd(eager_attacks.published_gradient(sides.network), STEPS)
    images = f"{searched} of {sizes.attacked} images"

    def ours() -> CriticalSearch:
        return critical_search(attack, jax.random.key(6), sides.logits, sides.images, sides.labels, sides.grid)

    def same(evaluate: eager_attacks.Evaluate) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        def run() -> tuple[np.ndarray, np.ndarray]:
            signs = eager_attacks.lean_gradient(sides.their_logits)(sides.their_images, sides.their_labels).sign()
            return eager_attacks.critical_search(evaluate, sides.their_images, signs, sides.their_labels, sides.grid)

        return finished(run, sides.device)

    contestants = {
        "eager": Contestant(
            "eager PyTorch: the whole grid",
            (Part(sides.eager(published), share * sides.times),),
            f"{images}, {sides.timed_in_words}",
        ),
        "same": Contestant(SAME_LABEL, (Part(same(sides.ascent()), share),), images),
        "compiled": Contestant(COMPILED_LABEL, (Part(same(sides.ascent(compile_it=True)), share),), images),
        "ours": Contestant("ours: a search on the same grid", (Part(ours, share),), images),
    }

    def agree(results: Results) -> list[Check]:
        """Against the timed ε of the eager sweep: the first success is bracketed by it and the ε before."""
        found: CriticalSearch = results["ours"][0]
        success = results["eager"][0].success
        first_index = np.where(success.any(axis=0), success.argmax(axis=0), len(sides.timed))
        bounds = np.concatenate([[0.0], sides.timed, [np.inf]])
        inside = (found.critical_epsilon > bounds[first_index]) & (found.critical_epsilon <= bounds[first_index + 1])
        checks = [Check("share of critical ε outside the eager sweep's bracket", float(np.mean(~inside)), 1e-2)]
        for name in present(results, "same", "compiled"):
            their_epsilon, their_l2 = results[name][0]
            agreeing = np.isclose(found.critical_epsilon, their_epsilon, rtol=1e-5)
            flipped = agreeing & ~found.censored
            lengths = relative(found.l2[flipped], their_l2[flipped])
            checks += [
                Check(f"share of critical ε that differ, {name}", float(np.mean(~agreeing)), 2e-2),
                Check(f"critical L2 lengths, {name}", lengths, LENGTH_TOLERANCE),
            ]
        return checks

    attempts = search_evaluations(len(sides.grid))
    note = (
        f"The same critical perturbations of the grid's {len(sides.grid)} ε: eager PyTorch by attacking at every one "
        f"of them, our algorithm by {attempts} attacks on each image. All take the same {searched} images at a time."
    )
    text = GRADIENT_NOTE.format(attacked=searched) + note
    return Row(contestants, agree, _work(sizes, 2 + attempts * PRODUCTS, attempts * STEPS), text)


STAGES = {
    "gaussian_sweep": Stage("Gaussian sweep, 400 ε", build_gaussian),
    "fgsm_sweep": Stage("FGSM sweep, 400 ε", build_fgsm),
    "pgd_sweep": Stage("PGD sweep, 400 ε", build_pgd),
    "pgd_critical": Stage("critical perturbations under PGD, 400 ε", build_critical),
}

"""Many small Krotov–Hopfield layers: together as a population, or one after another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, relative
from benchmarks.timing import Contestant, Part
from benchmarks.workload import Workload
from jax_bioadv import population
from jax_bioadv.learning import krotov_hopfield
from jax_bioadv.sharding import make_mesh

LEARNING_RATE = 0.02
# Reduced precision may let an image go to another of two nearly equal units, which moves two whole rows.
TOLERANCE = 1e-2


def build(workload: Workload) -> Row:
    sizes = workload.sizes
    hidden, members = min(500, sizes.hidden), sizes.members
    rule = krotov_hopfield.KrotovHopfield()
    mesh = make_mesh(devices=jax.devices()[:1])
    images = population.replicate(workload.timed_images, mesh)
    start = population.distribute({"seed": np.arange(members, dtype=np.int32)}, mesh)

    def begin(member: Any, images: jax.Array) -> krotov_hopfield.State:
        key = jax.random.key(member["seed"])
        return krotov_hopfield.init(key, rule, images, hidden=hidden, start="samples")

    def epoch(state: krotov_hopfield.State, images: jax.Array) -> krotov_hopfield.State:
        options = {"batch_size": sizes.batch_size, "precision": workload.precision}
        return krotov_hopfield.epoch(rule, state, images, LEARNING_RATE, **options)[0]

    states = population.over_members(begin, mesh)(start, images)
    one_by_one = [jax.tree.map(lambda rows, place=place: rows[place], states) for place in range(members)]
    default = population.members_together(mesh)
    alone = jax.jit(epoch)

    def together(at_a_time: int | None) -> Any:
        program = population.over_members(epoch, mesh, at_a_time)
        return lambda: jax.block_until_ready(program(states, images).synapses)

    def after_another() -> Any:
        return jax.block_until_ready([alone(state, images).synapses for state in one_by_one])

    timed = workload.timed_batches_in_words
    contestants = {
        "ours": Contestant("together", (Part(together(default), workload.epoch_share),), timed),
        "one after another": Contestant("one after another", (Part(after_another, workload.epoch_share),), timed),
    }
    if default is not None:
        contestants["all in one vmap"] = Contestant(
            "all in one vmap, as on accelerators", (Part(together(None), workload.epoch_share),), timed
        )

    def agree(results: Results) -> list[Check]:
        first = np.asarray(jnp.stack(results["one after another"][0]))
        return [
            Check(f"synapses, {name}", relative(results[name][0], first), TOLERANCE)
            for name in results
            if name != "one after another"
        ]

    steps = members * sizes.batches
    operations = steps * 2.0 * sizes.batch_size * sizes.inputs * (hidden + 2)
    moved = steps * 4.0 * (2 * hidden + sizes.batch_size) * sizes.inputs
    note = (
        f"{members} layers of {hidden} units, a seed each. On a CPU members run one after another inside the program; "
        "what vmap does to them there stands beside it."
    )
    return Row(contestants, agree, Work(operations, moved), note)


STAGES = {"population": Stage("Krotov–Hopfield population, epoch", build)}

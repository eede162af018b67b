"""Populations: the same function of many seeds and hyper-parameters, in one program, on one device or on many.

A member is a pytree of arrays (a seed, hyper-parameters, a training state); a population is the same pytree with one
more leading axis. :func:`over_members` turns a pure function of one member into one of the population: the members
are shared out over the population axis of a mesh, and on each device they run together in one vmapped program, or one
after another where that is faster. Every function of this package that takes hyper-parameters can be mapped so::

    mesh = make_mesh()
    def epoch_of(member, images):
        rule = KrotovHopfield(delta=member["delta"])
        state, info = epoch(rule, member["state"], images, member["rate"])
        return {**member, "state": state}, info
    run = over_members(epoch_of, mesh)
    members, info = run(distribute(members, mesh), replicate(images, mesh))

A member computes what it would compute alone. On CPUs a Krotov–Hopfield layer is the same bits, as long as its
hyper-parameters are arguments there too; elsewhere, and where a compiler folds a constant into a sum or fuses it
otherwise, it is the same up to rounding. No operation mixes members, so that one that diverges harms no other.

Under ``jax.distributed`` the mesh spans all hosts, each of which runs this same code: :func:`distribute` and
:func:`replicate` take the same values everywhere, and :func:`collect` brings results to every host.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_bioadv.host_memory import free_host_memory
from jax_bioadv.learning.training import Diagnosis, DivergenceError, train
from jax_bioadv.sharding import POPULATION

Watch = Callable[[Any], Diagnosis | None]


def members_together(mesh: Mesh) -> int | None:
    """How many members of a device to vmap: all (None) on accelerators, one on CPUs, which gain nothing by more."""
    return 1 if mesh.devices.flat[0].platform == "cpu" else None


def over_members(
    function: Callable[..., Any], mesh: Mesh, together: int | None = None, *, takes_state: bool = False
) -> Any:
    """The jitted function of a population that a function of one member makes.

    Args:
        function: ``function(member, *shared) -> result``, pure; all results have the same shapes.
        mesh: devices, from :func:`jax_bioadv.sharding.make_mesh`.
        together: members that a device runs as one vmapped program; 1 runs one after another, None all at once.
        takes_state: whether it is ``function(state, member, *shared)``, whose state is used up, so that the next one
            may take its memory.

    Returns:
        ``function(members, *shared) -> results``, or with the members' states before them, where members, states and
        results have a leading axis that is a multiple of the mesh's population axis, as :func:`distribute` sees to.
    """
    leading = 2 if takes_state else 1

    def on_one_device(*arguments: Any) -> Any:
        members, shared = arguments[:leading], arguments[leading:]

        def of_one(member: Any) -> Any:
            return function(*member, *shared)

        if together is None:
            return jax.vmap(of_one)(members)
        return lax.map(of_one, members, batch_size=together if together > 1 else None)

    def on_all_devices(*arguments: Any) -> Any:
        along = PartitionSpec(POPULATION)
        specs = (*(along for _ in range(leading)), *(PartitionSpec() for _ in arguments[leading:]))
        # Only the population axis is split by hand: the compiler splits minibatches over the data axis.
        split = jax.shard_map(
            on_one_device, mesh=mesh, in_specs=specs, out_specs=along, axis_names={POPULATION}, check_vma=False
        )
        return split(*arguments)

    return jax.jit(on_all_devices, donate_argnums=0 if takes_state else ())


def over_one_member(function: Callable[..., Any], *, takes_state: bool = False) -> Any:
    """As :func:`over_members`, for a population of one on one device: the function as it is, with its roundings.

    Args:
        function: ``function(member, *shared) -> result``, pure, or ``function(state, member, *shared)``.
        takes_state: whether it is the latter, whose state is used up.

    Returns:
        The same function of a population, jitted: members, states and results have a leading axis of length 1.
    """
    leading = 2 if takes_state else 1

    def of_one(*arguments: Any) -> Any:
        members = jax.tree.map(itemgetter(0), arguments[:leading])
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], function(*members, *arguments[leading:]))

    return jax.jit(of_one, donate_argnums=0 if takes_state else ())


def _put(array: Any, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, NamedSharding(mesh, spec), lambda index: host[index])


def distribute(members: Any, mesh: Mesh) -> Any:
    """Plain arrays with a leading member axis, shared out over the mesh.

    The last member is repeated until the devices have equally many.
    """
    devices = mesh.shape[POPULATION]

    def place(array: Any) -> jax.Array:
        host = np.asarray(array)
        padding = [(0, -len(host) % devices)] + [(0, 0)] * (host.ndim - 1)
        return _put(np.pad(host, padding, mode="edge"), mesh, PartitionSpec(POPULATION))

    return jax.tree.map(place, members)


def alone_on(mesh: Mesh, member: Any) -> Any:
    """One member as a population on a mesh of one device, where it may hold typed keys and is not copied."""
    along = NamedSharding(mesh, PartitionSpec(POPULATION))
    return jax.tree.map(lambda leaf: jax.device_put(leaf[None], along), member)


def replicate(shared: Any, mesh: Mesh) -> Any:
    """Plain arrays that every device of the mesh holds whole; on one device those that it has already."""

    def place(array: Any) -> jax.Array:
        if isinstance(array, jax.Array) and mesh.size == 1 and array.devices() == set(mesh.devices.flat):
            return array
        return _put(array, mesh, PartitionSpec())

    return jax.tree.map(place, shared)


def collect(results: Any, count: int) -> Any:
    """The first ``count`` members' results as NumPy arrays, on every host."""

    def fetch(array: jax.Array) -> np.ndarray:
        whole = array if array.is_fully_addressable else multihost_utils.process_allgather(array, tiled=True)
        return np.asarray(whole)[:count]

    return jax.tree.map(fetch, results)


class Memory(NamedTuple):
    """Bytes on one device: of a member's arguments and results, of what a running member needs besides, of the rest."""

    resident: int
    scratch: int
    shared: int = 0
    """What the device holds once, however many members there are."""


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def memory_of_one(program: Any, mesh: Mesh, member: Any, *shared: Any, state: Any = None) -> Memory:
    """What the compiler says that one member needs; nothing is run.

    Args:
        program: from :func:`over_members`.
        mesh: the mesh given there.
        member: one member, as arrays or ``jax.ShapeDtypeStruct``.
        *shared: the other arguments, likewise.
        state: the member's state, likewise, where the program takes one.
    """
    devices = mesh.shape[POPULATION]
    along, whole = NamedSharding(mesh, PartitionSpec(POPULATION)), NamedSharding(mesh, PartitionSpec())
    given = (member,) if state is None else (state, member)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((devices, *leaf.shape), leaf.dtype, sharding=along), given)
    rest = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), shared)
    needed = program.lower(*one, *rest).compile().memory_analysis()
    # The compiler does not count arguments that the program leaves unused, but they are on the device all the same.
    return Memory(_bytes(given) + needed.output_size_in_bytes, needed.temp_size_in_bytes, _bytes(rest))


def free_memory(mesh: Mesh) -> int:
    """Bytes that are free on each accelerator, or of the main memory for each CPU device, where they are fewest.

    Of the main memory counts what this process may take: see :func:`jax_bioadv.host_memory.free_host_memory`.

    Every host gets the same number, so that all of them cut a population into the same chunks.
    """
    free = _free_memory_of_this_host(mesh)
    if jax.process_count() == 1:
        return free
    return int(multihost_utils.process_allgather(np.float32(free)).min())


def _free_memory_of_this_host(mesh: Mesh) -> int:
    devices = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    stats = [device.memory_stats() for device in devices]
    if all(stats):
        return int(min(one["bytes_limit"] - one["bytes_in_use"] for one in stats))
    return free_host_memory() // len(devices)


def members_that_fit(needs: Memory, budget: int, mesh: Mesh, together: int | None = None) -> int:
    """How many members may be in memory at a time.

    Args:
        needs: of one member.
        budget: bytes on each device.
        mesh: the devices.
        together: as given to :func:`over_members`.

    Returns:
        A multiple of the mesh's population axis.

    Raises:
        ValueError: not even one member fits.
    """
    left = budget - needs.shared
    if together is None:
        fitting = left // max(needs.resident + needs.scratch, 1)
    else:
        fitting = (left - needs.scratch * together) // max(needs.resident, 1)
    if fitting < 1:
        gib = (needs.shared + needs.resident + needs.scratch * (together or 1)) / 2**30
        raise ValueError(
            f"one member needs {gib:.2f} GiB and the budget is {budget / 2**30:.2f} GiB a device: raise the budget, or "
            "lower the hidden units or the batch size"
        )
    return fitting * mesh.shape[POPULATION]


@cache
def _on_every_device(mesh: Mesh) -> Callable[[Any], Any]:
    return jax.jit(lambda infos: infos, out_shardings=NamedSharding(mesh, PartitionSpec()))


class TrainedPopulation(NamedTuple):
    """The last states (still on the devices), every field of the epochs' infos, and who diverged.

    A population of one that diverged stops there: it has neither states nor history.
    """

    states: Any
    history: dict[str, np.ndarray]
    """Each of shape (members, epochs)."""
    diverged: list[DivergenceError | None]


def train_population(
    epoch: Callable[[Any, int], tuple[Any, Any]],
    states: Any,
    epochs: int,
    mesh: Mesh,
    *,
    watches: Sequence[Watch],
    **options: Any,
) -> TrainedPopulation:
    """Train a population to its end; a member that diverges is marked, and the others go on.

    Args:
        epoch: ``epoch(states, index) -> (states, infos)`` of the population, such as :func:`over_members` gives.
        states: at epoch 0.
        epochs: how many epochs the whole training has.
        mesh: the devices.
        watches: one for each member, as in :func:`jax_bioadv.learning.training.train`; their number is that of the
            members, without those that :func:`distribute` repeated.
        **options: of :func:`jax_bioadv.learning.training.train`: checkpoints, progress and their pace.

    Returns:
        The population, trained.
    """
    everywhere = _on_every_device(mesh)

    def step(states: Any, index: int) -> tuple[Any, Any]:
        states, infos = epoch(states, index)
        return states, everywhere(infos)

    info_type = type(jax.eval_shape(lambda states: epoch(states, 0)[1], states))

    def of_the_only_one(infos: Any) -> Diagnosis | None:
        return watches[0](info_type(*(values[0] for values in infos)))

    alone = len(watches) == 1
    try:
        states, history = train(step, states, epochs, watch=of_the_only_one if alone else lambda infos: None, **options)
    except DivergenceError as error:  # nobody is left
        return TrainedPopulation(None, {}, [error])
    of_members = {name: values[:, : len(watches)].T for name, values in history.items()}

    def first_divergence(member: int) -> DivergenceError | None:
        for index in range(epochs):
            diagnosis = watches[member](info_type(**{name: rows[member, index] for name, rows in of_members.items()}))
            if diagnosis is not None:
                return DivergenceError(index, *diagnosis)
        return None

    return TrainedPopulation(states, of_members, [first_divergence(member) for member in range(len(watches))])

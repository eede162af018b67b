"""The two axes along which work is split over devices: members of a population, and images of a minibatch.

A mesh of devices has both axes, whatever their sizes; on one device both are 1. The learning rules name only the
second, through :func:`over_data`, and run unchanged where there is no mesh. Which axis an operation is split along
decides no result but for the order in which float32 sums are taken (see :mod:`jax_bioadv.population`).
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array

POPULATION = "population"
DATA = "data"


def make_mesh(data: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over devices, those of all hosts by default.

    Args:
        data: devices that share the minibatches of one member; the others split the population.
        devices: the devices to use.

    Returns:
        A mesh with the axes "population" and "data".

    Raises:
        ValueError: the number of devices is no multiple of ``data``.
    """
    chosen = list(jax.devices() if devices is None else devices)
    if data < 1 or not chosen or len(chosen) % data:
        raise ValueError(f"{len(chosen)} devices cannot be split into groups of {data}; choose a divisor")
    grid = np.array(chosen).reshape(len(chosen) // data, data)
    return Mesh(grid, (POPULATION, DATA), axis_types=(AxisType.Auto, AxisType.Auto))


def over_data(batch: Array) -> Array:
    """A minibatch (images, labels or indices, by its leading axis) split over the data axis, if there is a mesh."""
    if DATA not in jax.sharding.get_abstract_mesh().axis_names:
        return batch
    return lax.with_sharding_constraint(batch, PartitionSpec(DATA))

"""Whether the rows of a layer are the means of images that the rule's fixed point says they are."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.measuring.alignment import added
from experiments.settings.groups import LayerSettings
from experiments.settings.measurements import SpectraSettings
from jax_bioadv.analysis.alignment import layer_alignment
from jax_bioadv.learning import krotov_hopfield
from jax_bioadv.learning import krotov_hopfield_fixed_point as rest


def fixed_point(work: Work, *, layer: LayerSettings, spectra: SpectraSettings) -> Outcome:
    """How much of the rows the equation explains, with the push and without, and the spectra that follow from it.

    The step is scaled by the row that changes most, so that rows that win seldom move slowly and are late: ``…_often``
    is of the half that wins the most.

    Each is followed through V = W|W|^(p-2): ``trained`` are the rows themselves, ``predicted`` the equation's, ``won``
    its means without a push, ``linear`` the rows W before they are raised.
    """
    synapses = work.needed["layer"].arrays["synapses"]
    found = rest.fixed_point(layer.rule, synapses, work.images.train)
    values: dict[str, Any] = {
        "rows": len(synapses),
        "rows_with_one": int(found.exists.sum()),
        "median_won": float(np.median(found.won)),
        "pushes_a_win": float(found.pushed[found.exists].sum() / max(found.won[found.exists].sum(), 1)),
    }
    if found.exists.sum() < 2:
        return Outcome(values)
    often = found.exists & (found.won >= np.median(found.won[found.exists]))
    for name, rows in (("explained", found.rows), ("explained_without_push", found.means_of_won)):
        values[name] = rest.explained(synapses, rows, found.exists)
        values[f"{name}_often"] = rest.explained(synapses, rows, often) if often.sum() > 1 else None
    arrays: dict[str, np.ndarray] = {}
    kept = {
        "trained": krotov_hopfield.effective_weights(jnp.asarray(synapses), layer.p),
        "predicted": krotov_hopfield.effective_weights(jnp.asarray(found.rows, jnp.float32), layer.p),
        "won": krotov_hopfield.effective_weights(jnp.asarray(found.means_of_won, jnp.float32), layer.p),
        "linear": jnp.asarray(synapses),
    }
    for name, layer_rows in kept.items():
        kept_rows = np.asarray(layer_rows)[found.exists]
        spectrum = layer_alignment(kept_rows, work.images.principal)
        values[name] = added(spectrum, spectra, len(kept_rows))
        arrays |= {f"{name}/layer": spectrum.layer, f"{name}/images": spectrum.images}
    return Outcome(values, arrays)

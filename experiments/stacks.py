"""The models of the study of depth: one record each, in the order in which figures and tables show them.

All models of a depth are one architecture and differ in how its filters come about. A new one is a record here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from experiments.settings.groups import only
from experiments.training import stacks as training
from jax_bioadv.learning import stage_filters
from jax_bioadv.learning.krotov_hopfield import Start
from jax_bioadv.learning.stage_filters import PATCH_RULE, FiltersOf
from jax_bioadv.styles import SOLID, THIN, ModelStyle

# Of the settings of the study.
Given = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class StackModel:
    """One model.

    Attributes:
        name: as the command line and results.json have it.
        label: as figures and tables show it.
        style: how figures draw it.
        filters: what makes its filters, stage by stage; None where backpropagation trains all of it.
        given: what else that is given of the settings.
        control: whether it is one that claims about the others must beat.
        matches: the model at whose accuracy it stops.
    """

    name: str
    label: str
    style: ModelStyle
    filters: FiltersOf | None = None
    given: Given = lambda settings: {}
    control: bool = True
    matches: str = ""


def _kh(start: Start, pruned: bool = False) -> FiltersOf:
    cut = partial(training.cut_by_mixture, PATCH_RULE) if pruned else None
    rule = partial(stage_filters.by_krotov_hopfield, start=start, cut=cut, epsilon=1e-4)
    return partial(training.on_normalised, rule)


def _jacobian(settings: Any) -> dict[str, Any]:
    return {"jacobian": only(settings.at_tap, "jacobian", "projections")}


def _spectral(settings: Any) -> dict[str, Any]:
    return {"spectral": only(settings.at_tap, "spectral", "refresh_every")}


_RECORDS = (
    # Rules that are local.
    StackModel(
        "soft_hebb",
        "SoftHebb",
        ModelStyle("#56B4E9", "o", SOLID),
        stage_filters.by_soft_hebb,
        control=False,
    ),
    StackModel(
        "kh",
        "Krotov–Hopfield",
        ModelStyle("#0072B2", "o", SOLID),
        _kh("samples"),
        control=False,
    ),
    # From noise, of which some filters stay noise, and these set to zero.
    StackModel(
        "kh_noise",
        "KH from noise",
        ModelStyle("#882255", "d", (0.0, (6.0, 1.6)), THIN),
        _kh("normal"),
    ),
    StackModel(
        "kh_pruned",
        "KH from noise, pruned",
        ModelStyle("#AA4499", "d", SOLID, THIN),
        _kh("normal", pruned=True),
    ),
    # Backpropagation through the same architecture.
    StackModel("bp", "backprop", ModelStyle("#D55E00", "s", (0.0, (6.0, 1.6))), control=False),
    StackModel(
        "l2",
        "L2",
        ModelStyle("#009E73", "^", (0.0, (3.5, 1.2, 1.0, 1.2))),
        given=lambda settings: {"l2": settings.l2},
        control=False,
    ),
    StackModel("jacobian", "Jacobian", ModelStyle("#CC79A7", "D", (0.0, (2.4, 1.2))), given=_jacobian, control=False),
    StackModel("spectral", "spectral", ModelStyle("#E69F00", "v", (0.0, (1.1, 1.1))), given=_spectral, control=False),
    # What nobody has trained, or only on patches.
    StackModel("random", "random filters", ModelStyle("#A6A6A6", "d", SOLID, THIN), stage_filters.at_random),
    StackModel(
        "patches",
        "patches as filters",
        ModelStyle("#6FA3C4", "P", (0.0, (1.0, 2.0)), THIN),
        partial(training.on_normalised, stage_filters.of_patches),
    ),
    StackModel(
        "kmeans",
        "k-means",
        ModelStyle("#7F9F7F", "p", (0.0, (6.0, 1.6)), THIN),
        stage_filters.by_k_means,
    ),
    StackModel(
        "kmeans_whitened",
        "k-means, whitened",
        ModelStyle("#8F83B3", "<", (0.0, (2.4, 1.2)), THIN),
        partial(stage_filters.by_k_means, epsilon=0.1),
    ),
    StackModel(
        "pca",
        "PCA",
        ModelStyle("#A38F6D", "h", (0.0, (3.5, 1.2, 1.0, 1.2)), THIN),
        stage_filters.of_principal_directions,
    ),
    StackModel(
        "bp_matched",
        "backprop, accuracy-matched",
        ModelStyle("#B07F8E", "*", (0.0, (4.5, 1.2, 1.0, 1.2, 1.0, 1.2)), THIN),
        matches="kh",
    ),
    StackModel(
        "adversarial",
        "adversarially trained",
        ModelStyle("#4D4D4D", "H", SOLID, THIN),
        given=lambda settings: {"adversarial": settings.adversarial},
    ),
)
STACK_MODELS: Mapping[str, StackModel] = {model.name: model for model in _RECORDS}

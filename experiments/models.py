"""The models: one record each, in the order in which figures and tables show them.

The five of the paper come first. The others are controls: every claim about the paper's models must beat them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jax_bioadv.figures.style import SOLID, THIN, ModelStyle


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: as the command line and results.json have it.
        label: as figures and tables show it.
        style: how figures draw it.
        control: whether it is no model of the paper, but one that its claims must beat.
        frozen: whether its first layer is made before, and only a decoder trained on it.
        powered: whether its hidden activation has the exponent of the decoder's settings; else it is a plain ReLU.
        swept: whether sweeps train it, side by side with others.
    """

    name: str
    label: str
    style: ModelStyle
    control: bool = True
    frozen: bool = False
    powered: bool = False
    swept: bool = False


_RECORDS = (
    Model(
        "kh",
        "Krotov–Hopfield",
        ModelStyle("#0072B2", "o", SOLID),
        control=False,
        frozen=True,
        powered=True,
        swept=True,
    ),
    Model("bp", "backprop", ModelStyle("#D55E00", "s", (0.0, (6.0, 1.6))), control=False, swept=True),
    Model("l2", "L2", ModelStyle("#009E73", "^", (0.0, (3.5, 1.2, 1.0, 1.2))), control=False, swept=True),
    Model("jacobian", "Jacobian", ModelStyle("#CC79A7", "D", (0.0, (2.4, 1.2))), control=False, swept=True),
    Model("spectral", "spectral", ModelStyle("#E69F00", "v", (0.0, (1.1, 1.1))), control=False, swept=True),
    # The training images that the Krotov–Hopfield rows may have started from.
    Model(
        "kh_start",
        "images as rows",
        ModelStyle("#6FA3C4", "P", (0.0, (1.0, 2.0)), THIN),
        frozen=True,
        powered=True,
        swept=True,
    ),
    # Centroids, which respond to images as Krotov–Hopfield rows do.
    Model("kmeans", "k-means", ModelStyle("#7F9F7F", "p", (0.0, (6.0, 1.6)), THIN), frozen=True, powered=True),
    # The untrained layer of bp.
    Model("random", "random layer", ModelStyle("#A6A6A6", "d", SOLID, THIN), frozen=True),
    # Principal directions of the images, as they are and whitened.
    Model("pca", "PCA", ModelStyle("#A38F6D", "h", (0.0, (3.5, 1.2, 1.0, 1.2)), THIN), frozen=True),
    Model("whitened", "whitened PCA", ModelStyle("#8F83B3", "<", (0.0, (2.4, 1.2)), THIN), frozen=True),
    Model("bp_power", "backprop, KH's power", ModelStyle("#B98672", ">", (0.0, (1.1, 1.1)), THIN), powered=True),
    Model("bp_first_decay", "decay on layer 1", ModelStyle("#6E9696", "X", (0.0, (8.0, 2.0)), THIN)),
    Model(
        "bp_matched",
        "backprop, accuracy-matched",
        ModelStyle("#B07F8E", "*", (0.0, (4.5, 1.2, 1.0, 1.2, 1.0, 1.2)), THIN),
    ),
    Model("adversarial", "adversarially trained", ModelStyle("#4D4D4D", "H", SOLID, THIN)),
)
MODELS: Mapping[str, Model] = {model.name: model for model in _RECORDS}
PAPER_MODELS = tuple(name for name, model in MODELS.items() if not model.control)
CONTROLS = tuple(name for name, model in MODELS.items() if model.control)
FROZEN = tuple(name for name, model in MODELS.items() if model.frozen)
POWERED = tuple(name for name, model in MODELS.items() if model.powered)
SWEPT = tuple(name for name, model in MODELS.items() if model.swept)

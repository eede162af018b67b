"""The models: one record each, in the order in which figures and tables show them.

The five of the paper come first. The others are controls: every claim about the paper's models must beat them. A new
one is a record here, and everything has it: the command line, the plan, every table, figure and claim.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from experiments.settings.groups import JacobianSettings
from experiments.shaped_models import SHAPED_STYLES
from experiments.stacks import STACK_MODELS
from experiments.training import layers, rows_of_one_property
from experiments.training.adversarial import ADVERSARIAL
from experiments.training.mixes import MIX, MIX_SPECTRAL
from experiments.training.networks import NETWORK, matched_network
from jax_bioadv.styles import SOLID, THIN, ModelStyle

# What of the settings a task is given, by the names of its run's arguments.
Given = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class FirstLayer:
    """How a frozen first layer is made.

    Attributes:
        run: ``run(work, *, hidden, seed, **given)``, of which the outcome holds synapses, or a kernel for the encoder.
        given: what else it reads.
        name: of its task, if another one than that of the model.
        seeded: whether it depends on the seed, and is given it.
        learned: whether its rows are synapses of the Krotov–Hopfield rule, which are pruned.
    """

    run: Callable[..., Any]
    given: Given = lambda settings: {}
    name: str = ""
    seeded: bool = True
    learned: bool = False


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: as the command line and results.json have it.
        label: as figures and tables show it.
        style: how figures draw it.
        control: whether it is no model of the paper, but one that its claims must beat.
        powered: whether its hidden activation has the exponent of the decoder's settings; else it is a plain ReLU.
        swept: whether sweeps train it, side by side with others.
        first_layer: a layer made before, on which only a decoder is trained; None where backpropagation trains both.
        run: the training.
        reads: which settings of backpropagation it reads.
        given: what else it is given of the settings.
        matches: the model at whose accuracy it stops.
        largest: the most hidden units that it can have on so many training images of so many pixels, and why.
    """

    name: str
    label: str
    style: ModelStyle
    control: bool = True
    powered: bool = False
    swept: bool = False
    first_layer: FirstLayer | None = None
    run: Callable[..., Any] = NETWORK
    reads: tuple[str, ...] = ("epochs", "batch_size", "learning_rates", "boundaries")
    given: Given = lambda settings: {}
    matches: str = ""
    largest: Callable[[int, int], tuple[int, str]] | None = field(default=None)


def _of_rows(settings: Any) -> dict[str, Any]:
    """The norm that converged rows have."""
    return {"p": settings.layer.p, "radius": settings.layer.radius}


def _two_a_direction(training_images: int, inputs: int) -> tuple[int, str]:
    return 2 * inputs, f"{2 * inputs} units, two for each direction"


def _one_an_image(training_images: int, inputs: int) -> tuple[int, str]:
    return training_images, f"{training_images} units, one for each training image"


_PRINCIPAL = partial(layers.principal_directions, whiten=False)
_WHITENED = partial(layers.principal_directions, whiten=True)
_RECORDS = (
    Model(
        "kh",
        "Krotov–Hopfield",
        ModelStyle("#0072B2", "o", SOLID),
        control=False,
        powered=True,
        swept=True,
        first_layer=FirstLayer(layers.LAYER, lambda settings: {"layer": settings.layer.read}, "layer", learned=True),
    ),
    Model("bp", "backprop", ModelStyle("#D55E00", "s", (0.0, (6.0, 1.6))), control=False, swept=True),
    Model(
        "l2",
        "L2",
        ModelStyle("#009E73", "^", (0.0, (3.5, 1.2, 1.0, 1.2))),
        control=False,
        swept=True,
        given=lambda settings: {"l2": settings.l2},
    ),
    Model(
        "jacobian",
        "Jacobian",
        ModelStyle("#CC79A7", "D", (0.0, (2.4, 1.2))),
        control=False,
        swept=True,
        given=lambda settings: {"jacobian": settings.jacobian},
    ),
    Model(
        "spectral",
        "spectral",
        ModelStyle("#E69F00", "v", (0.0, (1.1, 1.1))),
        control=False,
        swept=True,
        reads=("epochs", "batch_size"),
        given=lambda settings: {"spectral": settings.spectral},
    ),
    # Training images as rows, whatever the layer of kh starts from; where it starts from images, the same.
    Model(
        "kh_start",
        "images as rows",
        ModelStyle("#6FA3C4", "P", (0.0, (1.0, 2.0)), THIN),
        powered=True,
        swept=True,
        first_layer=FirstLayer(layers.images_as_rows, _of_rows, "layer-start", learned=True),
        largest=_one_an_image,
    ),
    # Centroids, which respond to images as Krotov–Hopfield rows do.
    Model(
        "kmeans",
        "k-means",
        ModelStyle("#7F9F7F", "p", (0.0, (6.0, 1.6)), THIN),
        powered=True,
        first_layer=FirstLayer(layers.centroids, lambda settings: {**_of_rows(settings), "kmeans": settings.kmeans}),
        largest=_one_an_image,
    ),
    # The untrained layer of bp.
    Model(
        "random",
        "random layer",
        ModelStyle("#A6A6A6", "d", SOLID, THIN),
        first_layer=FirstLayer(layers.random_layer),
    ),
    # Principal directions of the images, as they are and whitened.
    Model(
        "pca",
        "PCA",
        ModelStyle("#A38F6D", "h", (0.0, (3.5, 1.2, 1.0, 1.2)), THIN),
        first_layer=FirstLayer(_PRINCIPAL, seeded=False),
        largest=_two_a_direction,
    ),
    Model(
        "whitened",
        "whitened PCA",
        ModelStyle("#8F83B3", "<", (0.0, (2.4, 1.2)), THIN),
        first_layer=FirstLayer(_WHITENED, seeded=False),
        largest=_two_a_direction,
    ),
    Model("bp_power", "backprop, KH's power", ModelStyle("#B98672", ">", (0.0, (1.1, 1.1)), THIN), powered=True),
    # On the pre-activation, which is linear in the image, a Jacobian penalty is decay of the first layer.
    Model(
        "bp_first_decay",
        "decay on layer 1",
        ModelStyle("#6E9696", "X", (0.0, (8.0, 2.0)), THIN),
        given=lambda settings: {"jacobian": JacobianSettings(settings.l2.weight, "preactivation")},
    ),
    Model(
        "bp_matched",
        "backprop, accuracy-matched",
        ModelStyle("#B07F8E", "*", (0.0, (4.5, 1.2, 1.0, 1.2, 1.0, 1.2)), THIN),
        run=matched_network,
        matches="kh",
    ),
    # Small, and no match for a full defence.
    Model(
        "adversarial",
        "adversarially trained",
        ModelStyle("#4D4D4D", "H", SOLID, THIN),
        run=ADVERSARIAL,
        reads=("batch_size", "learning_rates", "boundaries"),
        given=lambda settings: {"adversarial": settings.adversarial},
    ),
)


def _one_property(make: rows_of_one_property.Make, label: str, color: str, marker: str) -> Model:
    """Rows that share one property with images."""
    run = partial(rows_of_one_property.of_one_property, make)
    return Model(
        f"rows_{make.__name__}",
        label,
        ModelStyle(color, marker, (0.0, (2.0, 1.0)), THIN),
        powered=True,
        first_layer=FirstLayer(run, _of_rows),
        largest=_one_an_image,
    )


_ROWS = (
    _one_property(rows_of_one_property.signed, "signed images", "#0B7A75", "^"),
    _one_property(rows_of_one_property.scrambled, "phase-scrambled images", "#B5485D", "v"),
    _one_property(rows_of_one_property.gaussian, "images' covariance", "#7B4EA3", "s"),
    _one_property(rows_of_one_property.radial, "images' radial spectrum", "#C08A00", "D"),
    _one_property(rows_of_one_property.blurred, "blurred images", "#3E6FB0", "o"),
    _one_property(rows_of_one_property.sharpened, "high-passed images", "#D2691E", "P"),
    _one_property(rows_of_one_property.shuffled, "shuffled pixels", "#5B8C5A", "X"),
    _one_property(rows_of_one_property.positive, "positive noise", "#8C8C8C", "<"),
    _one_property(rows_of_one_property.white, "white noise rows", "#444444", ">"),
)
# Of many weights at once: experiments/questions asks which mix of penalties is most robust at a given accuracy.
_MIXES = (
    Model(
        "mix",
        "penalties mixed",
        ModelStyle("#D55E00", "o", SOLID, THIN),
        powered=True,
        run=MIX,
        given=lambda settings: {"l2": settings.l2, "jacobian": settings.jacobian},
    ),
    Model(
        "mix_spectral",
        "with a spectral penalty",
        ModelStyle("#E69F00", "v", SOLID, THIN),
        powered=True,
        run=MIX_SPECTRAL,
        reads=("epochs", "batch_size"),
        given=lambda settings: {"l2": settings.l2, "jacobian": settings.jacobian, "spectral": settings.spectral},
    ),
)
MODELS: Mapping[str, Model] = {model.name: model for model in _RECORDS}
ROWS = tuple(model.name for model in _ROWS)
"""Controls that no reproduction has unless it names them: experiments/questions asks what they share with images."""
KNOWN: Mapping[str, Model] = {**MODELS, **{model.name: model for model in (*_ROWS, *_MIXES)}}
"""Every model that can be named."""
PAPER_MODELS = tuple(name for name, model in MODELS.items() if not model.control)
CONTROLS = tuple(name for name, model in MODELS.items() if model.control)
SWEPT = tuple(name for name, model in MODELS.items() if model.swept)


@dataclass(frozen=True)
class Baseline:
    """What models are compared with, but is none: its name, label and style."""

    name: str
    label: str
    style: ModelStyle


BASELINES = (
    Baseline("data", "data", ModelStyle("#222222", "*", SOLID)),
    Baseline("untrained", "untrained", ModelStyle("#7A7A7A", "X", SOLID)),
    Baseline("noise_start", "KH from noise", ModelStyle("#882255", "d", SOLID)),
)
STYLES: Mapping[str, ModelStyle] = {
    **{one.name: one.style._replace(label=one.label) for one in (*BASELINES, *_RECORDS, *_ROWS, *_MIXES)},
    **SHAPED_STYLES,
}
"""How figures draw and call each model and baseline, in their order."""


def label(name: str) -> str:
    """A model, a stack (MODEL-DEPTH) or a baseline as tables show it; one that is not known by its own name."""
    stack, _, depth = name.rpartition("-")
    if stack in STACK_MODELS:
        return f"{STACK_MODELS[stack].label}, depth {depth}"
    if name in STYLES:
        return STYLES[name].label
    return STACK_MODELS[name].label if name in STACK_MODELS else name.replace("_", " ")


def in_order(names: Iterable[str]) -> list[str]:
    """Models as the registry has them, then those of question 3, then all others by name."""
    given, known = set(names), (*KNOWN, *SHAPED_STYLES)
    return [name for name in known if name in given] + sorted(given - set(known))

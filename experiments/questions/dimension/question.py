"""Question 2 as a record: what is expected, how it is tested, and what is decided."""

from collections.abc import Mapping
from functools import partial

from experiments.engine.estimate import products
from experiments.models import label
from experiments.questions.dimension import claims
from experiments.questions.dimension.figures import makers
from experiments.questions.dimension.plan import DimensionPlan
from experiments.questions.dimension.results import collect, pack
from experiments.questions.question import Question
from experiments.report.claims import Claim, Results
from experiments.report.numbers import dig, summary_text
from experiments.report.page import Html, paragraph, table

MEASURED = "What was measured"
_KEYS = {
    "alpha": "α",
    "participation_ratio": "participation ratio",
    "two_nearest": "TwoNN",
    "maximum_likelihood": "maximum likelihood",
}


def tables(results: Results) -> Mapping[str, Html]:
    """By title."""
    rows = []
    for name, entry in (dig(results, "sets") or {}).items():
        rows.append([name, "", *(summary_text(dig(entry, "data", key)) for key in _KEYS), *[""] * len(_KEYS)])
        for model, found in (dig(entry, "models") or {}).items():
            cells = [summary_text(dig(found, kind, key)) for kind in ("preactivation", "activation") for key in _KEYS]
            rows.append([f"{name}, {label(model)}", summary_text(found["test_accuracy"]), *cells])
    groups = [("", 2), ("the data, or before the nonlinearity", len(_KEYS)), ("after it", len(_KEYS))]
    said = paragraph(
        "The data's numbers stand in the rows without a model. A window of which fewer than three eigenvalues are "
        "above rounding has no exponent."
    )
    return {MEASURED: Html(table(["", "test accuracy", *_KEYS.values(), *_KEYS.values()], rows, groups) + said)}


DIMENSION = Question(
    number=2,
    title="How does the exponent follow the data's intrinsic dimension?",
    hypothesis=(
        "A code of a d-dimensional stimulus that can be differentiated has a spectrum that falls faster than n^−(1 + "
        "2/d) (Stringer et al. 2019). If the rule makes smooth codes, its exponent falls with d and stays above that "
        "bound; if it does so because its layer is linear in the data, so do controls."
    ),
    method=(
        "Smooth manifolds of known dimension, random waves over a latent space whose kernel (Matérn, ν = 3/2) gives "
        "the data themselves the exponent 1 + 3/d; white noise; and images with nothing but their mean and leading "
        "principal directions. All have as many pixels as the images, in float32: eight bits would be noise of every "
        "dimension.",
        "The rule, backpropagation and layers that nobody trained, of one size, over seeds; a manifold is the same "
        "for all.",
        "Exponents over one window that ends at a quarter of the layer, before and after the nonlinearity. Before it "
        "the representation is linear, so that its dimension cannot exceed the data's.",
        "The bound is asked where the window finds the data's own exponent: in many dimensions it holds the first few "
        "eigenfunctions alone, and smooth data seem to lie below the bound.",
        "TwoNN and the maximum-likelihood estimator on test points. A few thousand of them are too far apart for many "
        f"dimensions, so that no verdict hangs on more than {claims.MOST}.",
    ),
    plan=DimensionPlan,
    collect=collect,
    pack=pack,
    makers=makers,
    captions={
        "exponents": (
            "Exponents against the dimension of the data",
            "Dotted: theory, for endlessly many points and pixels. Grey: what no code can be that can be "
            "differentiated. Bars are 95 % intervals over seeds.",
        ),
        "dimensions": (
            "What estimators find",
            "Of the data, and of the pre-activation; the line is the true dimension. Bars are 95 % intervals over "
            "seeds.",
        ),
        "spectra": ("Spectra", "Of the data and of the pre-activation, each divided by its largest eigenvalue."),
    },
    claims=(
        Claim(
            "found",
            f"Estimators find the dimension of manifolds of up to {claims.MOST} dimensions",
            "dimensions are found",
            claims.dimension_is_found,
            ("dimensions", MEASURED),
        ),
        Claim(
            "falls",
            "The rule's exponent falls with the dimension of the data",
            "α falls with d",
            claims.exponent_falls,
            ("exponents",),
        ),
        Claim(
            "bound",
            "It stays above 1 + 2/d, as that of a code that can be differentiated must",
            "α above the bound",
            claims.above_the_bound,
            ("exponents",),
        ),
        Claim(
            "others",
            "Backpropagation and every control stay above it as well",
            "others above the bound",
            claims.others_above_the_bound,
            ("exponents", MEASURED),
        ),
        Claim(
            "steeper",
            "It lies above that of the data at every dimension",
            "the rule steepens",
            claims.steeper_than_data,
            ("exponents", "spectra"),
        ),
        Claim(
            "alone",
            "It lies above that of backpropagation and of every control, at every dimension",
            "the rule alone",
            claims.steeper_than_controls,
            ("exponents", MEASURED),
        ),
        Claim(
            "bound-after",
            "After the nonlinearity the rule's exponent stays above 1 + 2/d too",
            "above the bound after ReLU^n",
            partial(claims.above_the_bound, where="activation"),
            (MEASURED,),
        ),
        Claim(
            "steeper-after",
            "After the nonlinearity it lies above that of the data, too",
            "steeper after ReLU^n",
            partial(claims.steeper_than_data, where="activation"),
            (MEASURED,),
        ),
        Claim(
            "kept",
            "The rule's representation has as many dimensions as the data",
            "dimension is kept",
            claims.dimension_is_kept,
            ("dimensions",),
        ),
        Claim(
            "cut",
            "Some directions of the images alone give the rule the exponent of whole images, over the same window",
            "cutting changes nothing",
            claims.cut_leaves_the_exponent,
            ("spectra", MEASURED),
        ),
    ),
    tables=tables,
    changes=(
        "Another kernel: that of these manifolds is of one smoothness, and makes the data's own exponent.",
        "More points or pixels: exponents of a window are those of the limit only where both are many.",
        "A window elsewhere: spectra of few dimensions bend.",
    ),
    counted=products,
)

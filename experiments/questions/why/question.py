"""Question 1 as a record: what is expected, how it is tested, and what is decided."""

from functools import partial

from experiments.questions.question import Question
from experiments.questions.why import adding, resting, sharing
from experiments.questions.why.figures import makers
from experiments.questions.why.plan import WhyPlan, counted
from experiments.questions.why.results import collect, pack
from experiments.questions.why.tables import EXPONENTS, REST, ROBUSTNESS, SETTINGS, tables
from experiments.report.claims import Claim

CLAIMS = (
    Claim(
        "linear",
        "The spectrum on test images is that of V C Vᵀ, with the training images' covariance",
        "V C Vᵀ",
        adding.covariance_predicts,
        (EXPONENTS,),
    ),
    Claim(
        "add",
        "For the Krotov–Hopfield layer exponents add: α on images is α on noise and α of the images",
        "exponents add",
        adding.exponents_add,
        ("adding", EXPONENTS),
    ),
    Claim(
        "vectors",
        "They add because its singular vectors are aligned: with random ones they would not",
        "alignment is needed",
        adding.needs_alignment,
        ("adding", "spectra"),
    ),
    Claim(
        "decides",
        "Over all models, the more directions are aligned the less is missing from the sum",
        "alignment decides",
        adding.alignment_decides,
        ("alignment", EXPONENTS),
    ),
    Claim(
        "along",
        "They add all along training that starts from images",
        "exponents add all along",
        adding.add_along_training,
        ("courses",),
    ),
    Claim(
        "course",
        "Training from noise aligns the layer, and exponents begin to add",
        "training aligns",
        adding.training_aligns,
        ("courses",),
    ),
    Claim(
        "rest",
        "A trained row is a weighted mean of the images that it wins, less Δ times those it is pushed from",
        "rows are means",
        resting.at_rest,
        ("rest", REST),
    ),
    Claim(
        "through",
        "The spectrum of the layer is that of these means, raised to W|W|^(p−2)",
        "means make the spectrum",
        resting.followed_through,
        ("rest", REST),
    ),
    Claim(
        "push",
        "Without the push the spectrum on noise is steeper",
        "push flattens",
        partial(resting.setting_changes, variants=("delta 0",), expected=1),
        ("settings", SETTINGS),
    ),
    Claim(
        "radius",
        "The norm R of the rows changes no exponent",
        "R only scales",
        partial(resting.setting_changes, variants=("radius 2",), expected=0),
        ("settings", SETTINGS),
    ),
    Claim(
        "covariance",
        "Gaussian rows with the images' covariance have the spectrum of images as rows",
        "covariance makes the spectrum",
        sharing.covariance_makes_the_spectrum,
        (EXPONENTS, "rows"),
    ),
    Claim(
        "robust",
        "Gaussian rows with the images' covariance are as robust as images as rows",
        "covariance makes robust",
        sharing.covariance_makes_robust,
        ("robustness", ROBUSTNESS),
    ),
    Claim(
        "follows",
        "Rows with the spectrum of images are as robust as images, rows with another are less",
        "robustness follows the spectrum",
        sharing.robustness_follows,
        ("robustness", ROBUSTNESS, EXPONENTS),
    ),
)
CAPTIONS = {
    "adding": (
        "Exponents that add",
        "Left: where a marker lies on the line, the exponents of the layer on noise and of the images add up to the "
        "one "
        "that is measured; the band is our tolerance. Right: what the same singular values give with singular vectors "
        "drawn at random. Crosses are 95 % intervals over seeds.",
    ),
    "spectra": (
        "Measured spectra, and what alignment would make of them",
        "Dashed: the product of eigenvalues, rank by rank, which no layer's leading products can exceed (Horn). "
        "Dotted: "
        "the same singular values with random vectors. Look which of the two the measured spectrum is parallel to, "
        "within the shaded window.",
    ),
    "alignment": (
        "Alignment, rank by rank",
        "The share of the n-th singular vector that lies in principal directions of ranks n / 1.5 to 1.5 n, smoothed. "
        "1 is "
        "perfect alignment, the dashed line a vector in no direction in particular.",
    ),
    "courses": (
        "Along training",
        "Above: the exponent on images, that on noise, and the sum of the latter and the images' own. Below: the "
        "aligned "
        "share of the directions in the window. Bands are 95 % intervals over seeds.",
    ),
    "rest": (
        "Where the rule comes to rest",
        "a: how much of what tells the rows apart the fixed point explains, with nothing fitted, and means of the "
        "images "
        "won without the push. Images as rows have not learned. Right: the spectra that follow from both.",
    ),
    "settings": (
        "Other settings of the rule",
        "Exponents of layers that differ from the base in one setting; bars are 95 % intervals over seeds.",
    ),
    "rows": ("Rows that share one property with images", "A few rows of each layer; grey is zero."),
    "robustness": (
        "Images as rows against all others",
        "How many times as far images must be moved against the network whose rows are images as against the other, "
        "paired "
        "over images, with 95 % intervals over seeds and images. Right of 1 images as rows are more robust. Hollow: "
        "not "
        "told apart after correction for all pairs.",
    ),
    "broken": (
        "Two exponents and a break, beside mouse V1",
        "A broken power law fitted from n = 1 to the spectra on test images; bars are 95 % intervals over seeds, "
        "bands the "
        "range of seven recordings of V1.",
    ),
}
WHY = Question(
    number=1,
    title="Why does the rule give power laws?",
    hypothesis=(
        "The hidden layer is linear in the image, h = V x, so its spectrum on white noise is that of V Vᵀ and on "
        "images "
        "that of V C Vᵀ, with C the images' covariance. Where the right singular vectors of V follow the images' "
        "principal "
        "directions, rank by rank, eigenvalues multiply and exponents add; where they do not, they cannot. And V has "
        "its "
        "spectrum because the rule comes to rest where every row is a mean of images, so that V inherits their "
        "covariance: "
        "then rows with that covariance and nothing else should do as well."
    ),
    method=(
        "Layers and networks are those of a reproduction with the same settings. Exponents of a layer are fitted over "
        "one "
        "window, so that what is missing from their sum is exactly the exponent of λ_n / (σ_n² c_n).",
        "The same singular values with random singular vectors are the counterfactual without alignment.",
        "Along training: the layer from images and from noise, and backpropagation, are looked at on their way.",
        "The fixed point of the rule predicts each row from the images that it wins and those it is pushed from, with "
        "nothing fitted, and is followed through V = W|W|^(p−2). Images as rows, which have not learned, are the null.",
        "Layers with other Δ, k, p, R and width, in one setting each.",
        "Fixed layers whose rows share one property with images (their covariance, the amplitudes of their "
        "frequencies, a "
        "radial spectrum, coarse or fine structure, the distribution of values, sign), with a trained decoder, by the "
        "same "
        "attacks and paired tests as all controls; images as rows are what they are compared with.",
    ),
    plan=WhyPlan,
    collect=collect,
    pack=pack,
    makers=makers,
    captions=CAPTIONS,
    claims=CLAIMS,
    tables=tables,
    changes=(
        "Exponents are of windows; a layer of another width has another, and a spectrum that bends has no one "
        "exponent.",
        "Layers trained longer: those from noise stop far from convergence in the short presets.",
        "Decoders that have not converged, or at other accuracies: rows of one property differ in both, so that "
        "robustness is compared at the accuracies that the tables show, not at one.",
        "Natural images of other statistics. Here C is that of one data set.",
        "More seeds: what is open may be decided, what is decided should stay.",
    ),
    counted=counted,
)

"""Question 3 as a record: what is expected, how it is tested, and what is decided."""

from experiments.questions.question import Question
from experiments.questions.shape import adding, causes
from experiments.questions.shape.figures import makers
from experiments.questions.shape.plan import ShapePlan, counted
from experiments.questions.shape.results import collect, pack
from experiments.questions.shape.tables import EXPONENTS, PARTIAL, ROBUSTNESS, tables
from experiments.report.claims import Claim

CLAIMS = (
    Claim(
        "sum",
        "Spectral regularization has the exponent on noise that the sum leaves: that of λ_n / c_n",
        "the sum predicts noise",
        adding.the_sum_predicts,
        ("spectra", EXPONENTS),
    ),
    Claim(
        "rises",
        "A layer with the law on images amplifies noise the more, the less images vary in a direction",
        "noise rises",
        adding.noise_rises,
        (EXPONENTS,),
    ),
    Claim(
        "both",
        "A penalty can put both spectra on power laws with exponent 1",
        "both laws at once",
        adding.both_reached,
        ("spectra", EXPONENTS),
    ),
    Claim(
        "longer-law",
        "With both spectra on power laws, a network withstands longer perturbations than with the one on images",
        "both laws are robuster than one",
        causes.longer_than_law_on_images,
        ("distance", ROBUSTNESS),
    ),
    Claim(
        "longer-bp",
        "With both spectra on power laws, it withstands longer ones than networks of the same accuracy without penalty",
        "both laws are robuster than none",
        causes.longer_than_backprop,
        ("distance", ROBUSTNESS),
    ),
    Claim(
        "helps",
        "A network that is given the rule's two spectra withstands longer perturbations than without a penalty",
        "the rule's spectra help",
        causes.copied_is_robuster,
        ("distance", ROBUSTNESS),
    ),
    Claim(
        "copied",
        "A network that is given the rule's two spectra is as robust as the rule",
        "the rule's spectra suffice",
        causes.as_robust_as_the_rule,
        ("rule", "distance", EXPONENTS),
    ),
    Claim(
        "rotated",
        "The rule's layer turned among its units, which leaves all spectra as they are, is as robust",
        "units do not matter",
        causes.rotated_as_robust,
        ("rule", "distance"),
    ),
    Claim(
        "exponents",
        "Over all networks, critical distances follow the exponents once accuracy is accounted for",
        "distance follows exponents",
        causes.distance_follows_exponents,
        ("plane", PARTIAL),
    ),
    Claim(
        "norms",
        "The relative Jacobian accounts for critical distances, and leaves nothing to the exponents",
        "Jacobians account for it",
        causes.norms_account_for_it,
        (PARTIAL,),
    ),
)
CAPTIONS = {
    "spectra": (
        "Spectra on test images and on white noise",
        "Each relative to its first eigenvalue. Dashed: what was wanted, a power law or the spectra of the "
        "Krotov–Hopfield layer of the same seeds. A penalty reached its target where its line lies on the dashed one, "
        "within the shaded window of the fits.",
    ),
    "distance": (
        "Accuracy and critical distance",
        "Up and to the right is better. Bars are 95 % intervals over seeds and images; the stronger a penalty, the "
        "larger its marker. If robustness followed the spectrum, networks with the rule's spectra would lie as high as "
        "the rule.",
    ),
    "plane": (
        "The plane of the two exponents",
        "If robustness followed the exponents, colours would go with places. On the dashed line exponents add, as they "
        "do where a layer is aligned with the images; crosses are 95 % intervals over seeds.",
    ),
    "rule": (
        "The rule against networks with its spectra, and others",
        "How many times as far images must be moved against the Krotov–Hopfield network as against the other, paired "
        "over images, with 95 % intervals over seeds and images. Right of 1 the rule is more robust. Hollow: not told "
        "apart after correction for all pairs.",
    ),
}
SHAPE = Question(
    number=3,
    title="Why does spectral regularization fail on white noise, and does robustness follow the spectrum?",
    hypothesis=(
        "The hidden layer is linear, so its spectrum on images is that of V C Vᵀ and on white noise that of V Vᵀ. "
        "Spectral regularization asks for a power law with exponent 1 on images, which themselves fall faster: if V is "
        "aligned with them, it must amplify their directions the more, the less they vary, and its spectrum on noise "
        "is flat. The paper's central hypothesis is that power laws make robust. Then a network that is given them on "
        "images and on noise, and above all one that is given the rule's own spectra, should be robust."
    ),
    method=(
        "Penalties on the logarithms of the eigenvalues, at the best scale, on images, on noise and on both, put "
        "spectra on power laws with exponent 1, or on those of the Krotov–Hopfield layer of the same seed; several "
        "weights each, several seeds. Nothing is concluded from networks that do not have the exponents they were to "
        "have.",
        "The Krotov–Hopfield layer is multiplied by a random rotation of its units, which leaves every spectrum as it "
        "is, on whatever inputs, and gets a decoder trained in the same way.",
        "Compared with the same network trained in the same way at weight 0, with plain and L2-regularized "
        "backpropagation, with backpropagation that stops at the accuracy of "
        "the network in question, with k-means, and with the rule, by the same paired tests and margin as all claims.",
        "Critical distances by PGD and by the minimum-norm attack; the attacks of AutoAttack at one strength.",
        "Partial rank correlations of the distances over all networks and seeds, with accuracy and more accounted "
        "for, clustered by the kind of network.",
    ),
    plan=ShapePlan,
    collect=collect,
    pack=pack,
    makers=makers,
    captions=CAPTIONS,
    claims=CLAIMS,
    tables=tables,
    changes=(
        "Other weights: a penalty that is too weak does not reach its target, one that is too strong costs accuracy.",
        "Shaped networks have batch norm and a plain ReLU, the rule's has a power; the rotated layer has that power.",
        "Where two networks differ in accuracy, the verdict says so: only backpropagation was stopped at another's.",
        "A penalty sees the eigenvalues along directions that are renewed every few batches; a network may keep "
        "the letter of it for so long.",
        "Other exponents, other windows, and natural images of other statistics.",
        "More seeds: what is open may be decided, what is decided should stay.",
    ),
    counted=counted,
)

"""Questions 4 and 5 as records: what is expected, how it is tested, and what is decided."""

from functools import partial

from experiments.engine.estimate import products
from experiments.questions.mixing import boundary, figures, front, tables
from experiments.questions.mixing.networks import SMOOTH, SPECTRUM
from experiments.questions.mixing.plan import MixingPlan
from experiments.questions.mixing.results import collect
from experiments.questions.mixing.tables import CORRELATIONS, GAINS, NETWORKS
from experiments.questions.question import Question
from experiments.report.claims import Claim

_METHOD = (
    "Networks of one width whose weight decay, Jacobian penalty (on the activation, exact), spectral penalty, power n "
    "and number of epochs are drawn at random, so that early stopping is one of the settings; beside them the "
    "Krotov–Hopfield layer, images, centroids, principal directions and random rows under decoders of the same powers.",
    "Accuracy on all test images; the median length of the shortest perturbation (minimum-norm attack) on the first "
    "images that a network classifies correctly.",
)
MIXING = Question(
    number=4,
    title="Which mix of smoothness and spectrum is most robust at a given accuracy?",
    hypothesis=(
        "Penalties trade accuracy for robustness. If the rule is special, its network lies above all that penalties "
        "reach at its accuracy; if the spectrum makes robust, it predicts which networks lie high, also where "
        "smoothness is known, and for networks that no fit has seen."
    ),
    method=(
        *_METHOD,
        "The front at an accuracy is the most robust of the mixes that are at least that accurate. It counts as "
        "surpassed if the highest mean is, which luck has raised, and as not reached if those that other seeds chose "
        "are not, which luck has lowered. The networks nearest to the paper's are compared with these image by image; "
        "of all others, intervals are over seeds (their scatter pooled over all networks) and images.",
        "Predictions of the log distance for networks that the fit has not seen, beyond accuracy.",
    ),
    plan=MixingPlan,
    collect=collect,
    pack=lambda plan, ledger: {},
    makers=figures.of_mixing,
    captions={
        "front": (
            "Accuracy against robustness",
            "a: every network, the mean of its seeds; the line is the front of the mixes, the ring the network nearest "
            "to the paper's. b: the mixes by the norm of their Jacobian.",
        ),
        "gains": (
            "What predicts robustness beyond accuracy",
            "The share of the squared error that measures take away, with 95 % intervals; dashed: what we count as "
            "something.",
        ),
    },
    claims=(
        Claim(
            "above",
            "The rule's network lies above the front of all mixes of penalties, at its accuracy",
            "the rule beats all mixes",
            front.rule_above_the_front,
            ("front", NETWORKS),
        ),
        Claim(
            "rows",
            "Rows that never learned by the rule lie as high, with the same decoder",
            "fixed rows do as well",
            front.fixed_rows_do_as_well,
            ("front", NETWORKS),
        ),
        Claim(
            "several",
            "Several penalties together are more robust than any one of them, at equal accuracy",
            "mixing helps",
            front.mixing_helps,
            ("front", NETWORKS),
        ),
        *(
            Claim(
                name,
                f"{question[0].upper()}{question[1:]} predicts the robustness of networks not seen, at equal accuracy",
                words,
                partial(front.predicts, question=question),
                ("gains", GAINS),
            )
            for name, question, words in (
                ("spectrum", "the spectrum", "the spectrum predicts"),
                ("smoothness", "smoothness", "smoothness predicts"),
                ("spectrum-too", "the spectrum beyond smoothness", "the spectrum adds to smoothness"),
                ("smoothness-too", "smoothness beyond the spectrum", "smoothness adds to the spectrum"),
            )
        ),
    ),
    tables=tables.of_mixing,
    changes=(
        "More mixes, or weights from other ranges: the front can only rise.",
        "Networks trained longer than the longest here, or wider.",
        "Another attack: the distances are those of the shortest perturbations that were found.",
    ),
    counted=products,
)


def _boundary_claims() -> tuple[Claim, ...]:
    """Of two measures and a sign each; of several measures of which something is left, last."""
    together = (
        ("images", "length alpha_images", -1, "Where the spectrum on images is steeper, boundaries are shorter"),
        ("noise", "length alpha_noise", -1, "Where the spectrum on noise is steeper, boundaries are shorter"),
        (
            "directions",
            "length participation_ratio",
            1,
            "Where more directions share the variance, boundaries are longer",
        ),
        ("jacobian", "length jacobian_norm", 1, "Where the Jacobian is larger, boundaries are longer"),
        ("curved", "curvature alpha_images", -1, "Where the spectrum on images is steeper, they are straighter"),
        ("distance", "length distance", -1, "Where boundaries are shorter, perturbations must be longer"),
    )
    left = (
        ("spectrum-left", SPECTRUM, "smooth", "the spectrum goes with boundary length when smoothness is known"),
        ("smooth-left", SMOOTH, "spectrum", "smoothness goes with boundary length when the spectrum is known"),
    )
    judged = [
        (name, title, partial(boundary.goes_with, key=f"boundary_{key}", sign=sign))
        for name, key, sign, title in together
    ]
    judged += [
        (
            name,
            f"Something of {words}",
            partial(boundary.something_is_left, keys=[f"boundary_length {one} {known}" for one in measures]),
        )
        for name, measures, known, words in left
    ]
    return tuple(
        Claim(name, f"{title}, at equal accuracy", title[0].lower() + title[1:], judge, ("correlations", CORRELATIONS))
        for name, title, judge in judged
    )


BOUNDARIES = Question(
    number=5,
    title="How does boundary geometry follow the spectrum?",
    hypothesis=(
        "The paper finds that networks with power-law spectra have smoother decision boundaries. If the spectrum makes "
        "them so, length and curvature follow its exponents at equal accuracy, and not only because the same networks "
        "are smooth in another sense."
    ),
    method=(
        *_METHOD,
        "Length and curvature of the boundaries on random planes through test images, near the image (the smaller "
        "radius of the settings); as everywhere, the polygon's own, found on the exact pre-activation.",
        "Partial rank correlations with accuracy held fixed, then smoothness or the spectrum too; intervals and "
        "p-values count networks, not seeds, and are corrected for all that was asked. What counts must be there over "
        "all networks and over those alone that backpropagation trained as a whole.",
    ),
    plan=MixingPlan,
    collect=collect,
    pack=lambda plan, ledger: {},
    makers=figures.of_boundaries,
    captions={
        "correlations": (
            "What goes with boundary length and curvature",
            "Partial rank correlations with 95 % intervals; hollow: not told apart from none after correction.",
        ),
        "boundaries": (
            "Boundary length against the spectrum and the Jacobian",
            "Every network, the mean of its seeds, accuracy not taken out; the ring is the network nearest to the "
            "paper's.",
        ),
    },
    claims=_boundary_claims(),
    tables=tables.of_boundaries,
    changes=(
        "Other networks: correlations are of those that were drawn, and what causes what they cannot say.",
        "Planes of another size: near an image and far from it boundaries are not the same.",
        "Measures of smoothness other than the three held fixed.",
    ),
    counted=products,
    outcomes_of=MIXING.number,
)

"""The report's words: captions, deviations from the paper, traps; what a setting can change is read from it."""

from collections.abc import Mapping
from typing import Any

from experiments.report.numbers import dig
from experiments.results.published import EFFECTIVE_JACOBIAN_WEIGHT
from jax_bioadv.analysis.power_law import EXPONENT_TOLERANCE

CAPTIONS = {
    "figure1": (
        "Figure 1 — robustness",
        "Above: the share of the images a model classified correctly that survives a perturbation of strength ε; the "
        "further right a curve falls, the more robust the model. Below: each image's critical L₂ distance (box: "
        "quartiles, whiskers: 5 and 95 %). The grey strip counts images that no perturbation flipped; a hatched box or "
        "an arrow means that this quantile is beyond what was tried.",
    ),
    "figure2": (
        "Figure 2 — spectra of data, untrained and Krotov–Hopfield layer",
        "Eigenvalues of the covariance against their rank. A power law is a straight line here; look whether the "
        "Krotov–Hopfield layer stays straight on white noise, where the input has no structure to inherit. Lighter "
        "lines: only the first units. Dashed: the fit, over the shaded window. ± is over seeds alone, for one seed the "
        "regression's standard error.",
    ),
    "figure3": (
        "Figure 3 — spectra of all models",
        "The same for all models. Compare slopes on images (left) and straightness on white noise (right). ± is the "
        "regression's standard error for one seed, else the 95 % interval over seeds; no images stand behind it. ◇: "
        "two power laws that meet there, with the exponents in the legend, describe the spectrum from n = 1 better "
        "than one. That is no mark against a model: the spectra of mouse V1 (band, seven recordings) break at n = 10 "
        "to 24.",
    ),
    "figure4": (
        "Figure 4 — smoothness and decisions around one image",
        "One random plane through a test image (white dot). Above: how fast the representation changes, on one colour "
        "scale for all. Below: the decision, with contours of the largest softmax output. Look whether boundaries "
        "lie further from the dot where the landscape above is flatter.",
    ),
    "figure5": (
        "Figure 5 — the Krotov–Hopfield network against the others",
        "How many times as far the images of the Krotov–Hopfield network (of the first model, where that was not run) "
        "must be moved to be misclassified, paired over images, with 95 % intervals over seeds and images; an arrow: "
        "the interval does not end. Right of 1 it is more robust. Hollow markers: not told apart after correction for "
        "all pairs.",
    ),
    "figure6": (
        "Figure 6 — robust accuracy in the worst case",
        "The share of the first images that no attack of the battery turns, in the paper's space and on raw pixels. "
        "White markers: single attacks; a bar far below the marker of a gradient attack means that this attack was "
        "fooled. Lines: accuracy without attack. Bars carry 95 % intervals over seeds and images.",
    ),
    "figure7": (
        "Figure 7 — certified and found",
        "No perturbation shorter than the certified distances changes the decision, and an attack found one of the "
        "length on the right; the truth lies in the bar between. Intervals are over seeds and images; an arrow to "
        "the right edge means that in some seeds no attack turned half of the images, and the marker is a lower "
        "bound. A model whose certificate lies beyond another's best attack is more robust whatever the attacks are "
        "worth.",
    ),
    "figure8": (
        "Figure 8 — which smoothness goes with robustness",
        "Every point is one network (model and seed). Look for a measure on which all models fall on one falling "
        "line, controls included; points of one colour are seeds of a model and count for little. ρ is Spearman's "
        "rank correlation, with its interval and p, corrected for all measures and attacks. A triangle at the upper "
        "edge: no attack turned half of the images.",
    ),
    "figure9": (
        "Figure 9 — corrupted images",
        "Left: accuracy against the severity of corruptions that nobody chose to mislead the network, over all kinds; "
        "0 is the image itself. Look for a curve that falls less, not for one that starts lower. Right: accuracy over "
        "all severities, kind by kind. Bars are 95 % intervals over seeds and images. Whether the "
        "corruptions are CIFAR-10-C's or made here stands under the table.",
    ),
    "figureA1": (
        "Figure A1 — pruning",
        "Synapses as images (grey is zero), the variances of the rows with the fitted mixture and the cut, and the "
        "spectrum before and after. Pruning is right if only noise-like tiles are framed as pruned.",
    ),
    "figureA2": (
        "Figure A2 — accuracy against robustness",
        "Up is more robust, right is more accurate; a model up and to the right of another is better in both. Bars are "
        "95 % intervals over seeds and images.",
    ),
    "training_curves": (
        "Course of training",
        "Loss and accuracy against epochs, and how many Krotov–Hopfield rows have reached their unit norm. A curve "
        "that still moves at its end belongs to a model that has not converged.",
    ),
}
CONTROLS = (
    "Controls in the same quantities, with the Krotov–Hopfield network and plain backpropagation for orientation. A "
    "control that does as well needs no Krotov–Hopfield learning; in figure 5 it stands at 1 or left of it."
)
PLACES = {
    **{name: title.partition(" — ")[0] for name, (title, _) in CAPTIONS.items()},
    "accuracies": "accuracy and smoothness",
    "laws": "covariance spectra",
    "tap-spectra": "covariance spectra",
    "critical_l2": "critical distances",
    "compared": "models compared",
    "controls": "compared with the controls",
    "threats": "robust accuracy",
    "masked": "masked gradients",
    "certified": "bounds",
    "law-images": "power law on images",
    "law-noise": "power law on white noise",
    "smoothness": "measures of smoothness",
    "correlated": "correlations",
    "planes": "decision boundaries",
    "corrupted": "corrupted images",
}
"""The tables and figures that verdicts rest on, by their anchors."""


def deviations(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a run differs from the paper, and what is known to mislead.

    Args:
        results: of the run; its settings decide what is said.
    """
    settings = dig(results, "settings") or {}
    return (*_measured(settings), *_trained(settings), *ALWAYS)


def _measured(settings: Mapping[str, Any]) -> list[str]:
    power = dig(settings, "decoder", "power")
    last, hidden = dig(settings, "spectra", "last_on_images"), dig(settings, "hidden")
    window = f" of {last}, for {hidden} units" if None not in (last, hidden) else ""
    flat = f"Gradients of ReLU(h)^{power:g} vanish near zero" if power is not None and power > 1 else None
    said = [
        f"A spectrum counts as a power law if its exponent differs by no more than {100 * EXPONENT_TOLERANCE:.0f} % "
        "between the halves of its window, however significant the bend; where half or one and a half of this "
        "tolerance says otherwise, it is open. With weights 1/n the window is that of the plain regression.",
        f"The window of the exponents on images ends where the settings say{window}; the published 500 is a quarter of "
        "the published layer, and a spectrum falls off towards the layer's size.",
    ]
    if flat is not None:
        said.append(
            f"{flat}, so a gradient attack that fails may have had no gradient to follow. Robustness to FGSM and PGD "
            "alone proves little; the checks above compare them with plain noise, black-box and other attacks, and the "
            "worst case of a battery counts where one attack may be fooled."
        )
    return said


def _trained(settings: Mapping[str, Any]) -> list[str]:
    weight, target = (dig(settings, "jacobian", key) for key in ("weight", "target"))
    ours = f" Ours is exact, on the {target}, with weight {weight:g}." if None not in (weight, target) else ""
    anchored, refresh = (dig(settings, "spectral", key) for key in ("anchored", "refresh_every"))
    tied = {True: " Here the target passes through the untrained network's own eigenvalue.", False: ""}.get(
        anchored, ""
    )
    often = f"every {refresh} batches at the full learning rate"
    renewed = f" Its eigenvectors are renewed {often}." if refresh is not None else ""
    start = dig(settings, "layer", "start")
    begun = {
        "samples": " The network's rows started as training images.",
        "normal": " The network's rows started from a normal distribution.",
    }.get(start, "")
    return [
        "The hidden pre-activation is linear in the image, so a Jacobian penalty on it is weight decay under "
        f"another name. The published runs did that, at an effective weight of {EFFECTIVE_JACOBIAN_WEIGHT:.2g}, a "
        f"third of what they state.{ours}",
        "The published spectral regularizer seems never to have left its initialization: the target was not tied to "
        f"the scale of the data.{tied}{renewed} A network that turns a little of its largest variance into old "
        "directions satisfies the penalty without changing its spectrum. A check above tells whether ours moved.",
        "Rows that start as training images converge in a few epochs but bring image statistics with them; a claim "
        "about learning must beat training images as synapses without learning, whatever the network started from. "
        f"Rows that start from N(0, 1) need most of 1000 epochs.{begun}",
    ]


ALWAYS = (
    "A critical distance under Gaussian noise is taken along one fixed direction per image and seed, the same for "
    "every model. The published code draws new noise at every strength: its first flip is a minimum over many draws "
    "and shrinks with the number of strengths.",
    "Gradient attacks here follow the gradient of the log odds against the label. It has the direction of the "
    "cross-entropy's gradient, but keeps it in single precision where the cross-entropy of a confident network has "
    "rounded to zero; attacks that lose it there make such a network look more robust than it is.",
    "Models are compared on the images that both classify correctly, seed by seed. All seeds share their images, so "
    "that intervals and p-values add the chance of both. The p-values of comparisons are Holm's, over all pairs of "
    "an attack, those of correlations over all measures and attacks; intervals of the other claims (smoothness, "
    "boundaries, exponents, accuracy) are not corrected for the number of claims. Noise by the published protocol "
    "is measured on the paper's models alone.",
    "Images that were never flipped are counted as infinitely far in every median and quantile, not dropped; where a "
    "seed's median is infinite, the median over seeds, infinity the largest, stands for their mean.",
    "Eigenvalues below about 1e-7 of the first are rounding in single precision. Covariances here are accumulated in "
    "double precision around the true mean, and a fit stops where rounding begins. The published spectrum of the "
    "Krotov–Hopfield layer bends inside its fit window near that level, so its exponent may hold some rounding.",
    "A training by backpropagation counts as converged when its mean loss changed by less than 1 % from the third "
    "quarter of the epochs to the last; this threshold is ours. The Krotov–Hopfield model counts as converged when its "
    "layer did, by the published criterion, and its decoder as a training by backpropagation does.",
    "The published convergence test for rows caught at the wrong attractor cannot fire; ours can.",
    "Whether there is anything to prune is not decided by a χ² likelihood-ratio test, which is not valid for the "
    "components of a mixture. With a single mode nothing is pruned.",
    "Batch norm uses its running statistics whenever a model is measured, and the noise images are drawn once from a "
    "seed and are the same for all models.",
    "The published numbers come from one network per model. A difference to ours within the scatter between seeds is "
    "no difference.",
)

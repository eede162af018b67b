"""The report's fixed words: captions, and where and why we differ from the paper."""

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
        "lines: only the first units. Dashed: the fit, over the shaded window.",
    ),
    "figure3": (
        "Figure 3 — spectra of all models",
        "The same for all models. Compare slopes on images (left) and straightness on white noise (right). ± is the "
        "regression's standard error for one seed, else the 95 % interval of the mean over seeds.",
    ),
    "figure4": (
        "Figure 4 — smoothness and decisions around one image",
        "One random plane through a test image (white dot). Above: how fast the representation changes, on one colour "
        "scale for all. Below: the decision, with contours of the largest softmax output. Look whether boundaries "
        "lie further from the dot where the landscape above is flatter.",
    ),
    "figure5": (
        "Figure 5 — the Krotov–Hopfield network against every other",
        "How many times as far the Krotov–Hopfield network's images must be moved to be misclassified, paired over "
        "images, with 95 % intervals. Right of 1 it is more robust. Hollow markers: not told apart after correction "
        "for all pairs. Below the dotted line stand the controls: one at 1 or left of it needs no such rule.",
    ),
    "figure6": (
        "Figure 6 — robust accuracy in the worst case",
        "The share of all images that no attack of the battery turns, in the paper's space and on raw pixels. White "
        "markers: single attacks; a bar far below the marker of a gradient attack means that this attack was fooled. "
        "Lines: accuracy without attack. Bars carry 95 % intervals, over seeds or, for one seed, over images.",
    ),
    "figure7": (
        "Figure 7 — certified and found",
        "No perturbation shorter than the certified distances changes the decision, and an attack found one of the "
        "length on the right; the truth lies in the bar between. A model whose certificate lies beyond another's best "
        "attack is more robust whatever the attacks are worth.",
    ),
    "figure8": (
        "Figure 8 — which smoothness goes with robustness",
        "Every point is one network (model and seed). Look for a measure on which all models fall on one falling line, "
        "controls included; points of one colour are seeds of a model and count for little. ρ is Spearman's rank "
        "correlation, with its interval and corrected p where the run has them.",
    ),
    "figureA1": (
        "Figure A1 — pruning",
        "Synapses as images (grey is zero), the variances of the rows with the fitted mixture and the cut, and the "
        "spectrum before and after. Pruning is right if only noise-like tiles are framed as pruned.",
    ),
    "figureA2": (
        "Figure A2 — accuracy against robustness",
        "Up is more robust, right is more accurate; a model up and to the right of another is better in both.",
    ),
    "training_curves": (
        "Course of training",
        "Loss and accuracy against epochs, and how many Krotov–Hopfield rows have reached their unit norm. A curve "
        "that still moves at its end belongs to a model that has not converged.",
    ),
}

DEVIATIONS = (
    "A critical distance under Gaussian noise is taken along one fixed direction per image and seed, the same for "
    "every model. The published code draws new noise at every strength: its first flip is a minimum over many draws "
    "and shrinks with the number of strengths.",
    "Gradient attacks here follow the gradient of the log odds against the label. It has the direction of the "
    "cross-entropy's gradient, but keeps it in single precision where the cross-entropy of a confident network has "
    "rounded to zero; attacks that lose it there make such a network look more robust than it is.",
    "Models are compared on the images that both classify correctly, seed by seed: with several seeds these are what "
    "the tests count, not the images. The p-values of comparisons and correlations are Holm's, over all pairs, or all "
    "measures, of an attack; those of the other claims (smoothness, boundaries, exponents, accuracy) are not corrected "
    "for the number of claims. Noise by the published protocol is measured on the paper's models alone.",
    "A spectrum counts as a power law if its exponent differs by no more than 20 % between the halves of its window, "
    "however significant the bend; the change stands beside every verdict. With weights 1/n the window is that of the "
    "plain regression.",
    "Images that were never flipped are counted as infinitely far in every median and quantile, not dropped.",
    "Gradients of ReLU(h)^4.5 vanish near zero, so a gradient attack that fails may have had no gradient to follow. "
    "Robustness to FGSM and PGD alone proves little; the checks above compare them with plain noise, black-box and "
    "other attacks, and the worst case of a battery counts where one attack may be fooled.",
    "The hidden pre-activation is linear in the image, so a Jacobian penalty on it is weight decay under another name. "
    "The published runs did that, at a third of the weight they state; the penalty can act on the activation as well.",
    "The published spectral regularizer seems never to have left its initialization: the target was not tied to "
    "the scale of the data. Here the target passes through the untrained network's own eigenvalue, unless the settings "
    "say otherwise, and the eigenvectors are renewed every few batches instead of once an epoch: a network that turns "
    "a little of its largest variance into the old directions satisfies the penalty without changing its spectrum. A "
    "check above tells whether ours moved.",
    "The window of the exponents on images ends where the settings say: the published 500 is a quarter of the "
    "published layer, and the quick preset keeps to a quarter of its own, because a spectrum falls off towards the "
    "layer's size.",
    "Eigenvalues below about 1e-7 of the first are rounding in single precision. Covariances here are accumulated in "
    "double precision around the true mean, and a fit stops where rounding begins. The published spectrum of the "
    "Krotov–Hopfield layer bends inside its fit window near that level, so its exponent may hold some rounding.",
    "A training by backpropagation counts as converged when its mean loss changed by less than 1 % from the third "
    "quarter of the epochs to the last; this threshold is ours. The Krotov–Hopfield model counts as converged when its "
    "layer did, by the published criterion; a decoder whose loss still moves is named in the notes.",
    "The published convergence test for rows caught at the wrong attractor cannot fire; ours can.",
    "Whether there is anything to prune is not decided by a χ² likelihood-ratio test, which is not valid for the "
    "components of a mixture. With a single mode nothing is pruned.",
    "Rows that start as training images converge in a few epochs but bring image statistics with them; a claim about "
    "learning must beat the same rows without learning. Rows that start from N(0, 1) need most of 1000 epochs.",
    "Batch norm uses its running statistics whenever a model is measured, and the noise images are drawn once from a "
    "seed and are the same for all models.",
    "The published numbers come from one network per model. A difference to ours within the scatter between seeds is "
    "no difference.",
)

"""Why are some neural representations robust?

Winner-take-all learning (Krotov & Hopfield, PNAS 2019, doi 10.1073/pnas.1820458116) against regularized
backpropagation, measured as in Holzhausen et al., "Exploring Biologically Inspired Mechanisms of Adversarial
Robustness", arXiv 2405.00679: covariance spectra, adversarial attacks, Jacobian landscapes. The library holds the
pieces; the experiments that put them together live in the package ``experiments``.
"""

from jax_bioadv.command_line import prepare_imports

prepare_imports()

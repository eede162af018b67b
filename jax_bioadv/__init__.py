"""Why are some neural representations robust?

Winner-take-all learning (Krotov & Hopfield, PNAS 2019, doi 10.1073/pnas.1820458116) against regularized
backpropagation, measured as in Holzhausen et al., "Exploring Biologically Inspired Mechanisms of Adversarial
Robustness", arXiv 2405.00679: covariance spectra, adversarial attacks, Jacobian landscapes. The library holds the
pieces; the experiments that put them together stand beside it in the repository, in ``experiments``.

Everything is imported when it is first asked for::

    import jax_bioadv as ba

    attack = ba.attacks.pgd(norm=2, steps=40)
"""

from typing import TYPE_CHECKING

from jax_bioadv.command_line import prepare_imports
from jax_bioadv.lazy import lazily

if TYPE_CHECKING:
    import jax_bioadv.analysis as analysis
    import jax_bioadv.attacks as attacks
    import jax_bioadv.classifiers as classifiers
    import jax_bioadv.convolutional as convolutional
    import jax_bioadv.data as data
    import jax_bioadv.figures as figures
    import jax_bioadv.jacobian as jacobian
    import jax_bioadv.learning as learning
    import jax_bioadv.models as models
    import jax_bioadv.patches as patches
    import jax_bioadv.population as population
    import jax_bioadv.raw_pixels as raw_pixels
    import jax_bioadv.sharding as sharding
    import jax_bioadv.storage as storage
    import jax_bioadv.taps as taps
    import jax_bioadv.weights as weights
    from jax_bioadv.models import Network
    from jax_bioadv.version import __version__

__all__ = [
    "Network",
    "__version__",
    "analysis",
    "attacks",
    "classifiers",
    "convolutional",
    "data",
    "figures",
    "jacobian",
    "learning",
    "models",
    "patches",
    "population",
    "raw_pixels",
    "sharding",
    "storage",
    "taps",
    "weights",
]

_PLACES = {"Network": "jax_bioadv.models", "__version__": "jax_bioadv.version"}

prepare_imports()
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(__name__, set(__all__) - set(_PLACES), _PLACES)

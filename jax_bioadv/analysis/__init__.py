"""Measurements on a trained network: covariance spectra, Jacobian norms, landscapes on planes, and robustness."""

from typing import TYPE_CHECKING

from jax_bioadv.lazy import lazily

if TYPE_CHECKING:
    import jax_bioadv.analysis.alignment as alignment
    import jax_bioadv.analysis.attack_input as attack_input
    import jax_bioadv.analysis.battery as battery
    import jax_bioadv.analysis.binned_spectrum as binned_spectrum
    import jax_bioadv.analysis.boundaries as boundaries
    import jax_bioadv.analysis.boundary_geometry as boundary_geometry
    import jax_bioadv.analysis.broken_power_law as broken_power_law
    import jax_bioadv.analysis.certified as certified
    import jax_bioadv.analysis.corruption as corruption
    import jax_bioadv.analysis.critical as critical
    import jax_bioadv.analysis.crossed as crossed
    import jax_bioadv.analysis.dimension as dimension
    import jax_bioadv.analysis.folded_network as folded_network
    import jax_bioadv.analysis.frequency as frequency
    import jax_bioadv.analysis.generic_smoothness as generic_smoothness
    import jax_bioadv.analysis.held_out as held_out
    import jax_bioadv.analysis.lanczos as lanczos
    import jax_bioadv.analysis.masking as masking
    import jax_bioadv.analysis.paired as paired
    import jax_bioadv.analysis.pareto as pareto
    import jax_bioadv.analysis.partial_ranks as partial_ranks
    import jax_bioadv.analysis.power_law as power_law
    import jax_bioadv.analysis.robustness as robustness
    import jax_bioadv.analysis.similarity as similarity
    import jax_bioadv.analysis.smoothness as smoothness
    import jax_bioadv.analysis.spectra as spectra
    import jax_bioadv.analysis.statistics as statistics
    import jax_bioadv.analysis.tap_spectra as tap_spectra

__all__ = [
    "alignment",
    "attack_input",
    "battery",
    "binned_spectrum",
    "boundaries",
    "boundary_geometry",
    "broken_power_law",
    "certified",
    "corruption",
    "critical",
    "crossed",
    "dimension",
    "folded_network",
    "frequency",
    "generic_smoothness",
    "held_out",
    "lanczos",
    "masking",
    "paired",
    "pareto",
    "partial_ranks",
    "power_law",
    "robustness",
    "similarity",
    "smoothness",
    "spectra",
    "statistics",
    "tap_spectra",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(__name__, __all__)

"""How weights come about: winner-take-all learning on images and patches, supervised learning, and their controls."""

from typing import TYPE_CHECKING

from jax_bioadv.lazy import lazily

if TYPE_CHECKING:
    import jax_bioadv.learning.antimodes as antimodes
    import jax_bioadv.learning.fixed_layers as fixed_layers
    import jax_bioadv.learning.k_means as k_means
    import jax_bioadv.learning.krotov_hopfield as krotov_hopfield
    import jax_bioadv.learning.krotov_hopfield_convergence as krotov_hopfield_convergence
    import jax_bioadv.learning.krotov_hopfield_fixed_point as krotov_hopfield_fixed_point
    import jax_bioadv.learning.krotov_hopfield_increment as krotov_hopfield_increment
    import jax_bioadv.learning.learning_rule as learning_rule
    import jax_bioadv.learning.on_patches as on_patches
    import jax_bioadv.learning.patch_filters as patch_filters
    import jax_bioadv.learning.pruning as pruning
    import jax_bioadv.learning.readouts as readouts
    import jax_bioadv.learning.regularizers as regularizers
    import jax_bioadv.learning.representation_spectral as representation_spectral
    import jax_bioadv.learning.schedules as schedules
    import jax_bioadv.learning.soft_hebb as soft_hebb
    import jax_bioadv.learning.spectral_shape as spectral_shape
    import jax_bioadv.learning.stacks as stacks
    import jax_bioadv.learning.stage_filters as stage_filters
    import jax_bioadv.learning.streaming as streaming
    import jax_bioadv.learning.supervised as supervised
    import jax_bioadv.learning.tap_regularizers as tap_regularizers
    import jax_bioadv.learning.trainable as trainable
    import jax_bioadv.learning.training as training
    import jax_bioadv.learning.whitening as whitening

__all__ = [
    "antimodes",
    "fixed_layers",
    "k_means",
    "krotov_hopfield",
    "krotov_hopfield_convergence",
    "krotov_hopfield_fixed_point",
    "krotov_hopfield_increment",
    "learning_rule",
    "on_patches",
    "patch_filters",
    "pruning",
    "readouts",
    "regularizers",
    "representation_spectral",
    "schedules",
    "soft_hebb",
    "spectral_shape",
    "stacks",
    "stage_filters",
    "streaming",
    "supervised",
    "tap_regularizers",
    "trainable",
    "training",
    "whitening",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(__name__, __all__)

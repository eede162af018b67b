"""How weights come about: winner-take-all learning, supervised learning, their regularizers, and pruning."""

from typing import TYPE_CHECKING

from jax_bioadv.lazy import lazily

if TYPE_CHECKING:
    import jax_bioadv.learning.antimodes as antimodes
    import jax_bioadv.learning.fixed_layers as fixed_layers
    import jax_bioadv.learning.krotov_hopfield as krotov_hopfield
    import jax_bioadv.learning.krotov_hopfield_increment as krotov_hopfield_increment
    import jax_bioadv.learning.learning_rule as learning_rule
    import jax_bioadv.learning.pruning as pruning
    import jax_bioadv.learning.regularizers as regularizers
    import jax_bioadv.learning.schedules as schedules
    import jax_bioadv.learning.supervised as supervised
    import jax_bioadv.learning.tap_regularizers as tap_regularizers
    import jax_bioadv.learning.trainable as trainable
    import jax_bioadv.learning.training as training

__all__ = [
    "antimodes",
    "fixed_layers",
    "krotov_hopfield",
    "krotov_hopfield_increment",
    "learning_rule",
    "pruning",
    "regularizers",
    "schedules",
    "supervised",
    "tap_regularizers",
    "trainable",
    "training",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(__name__, __all__)

"""Which settings the tasks of each question read: no others are options, and none that only another question reads."""

from collections.abc import Mapping, Sequence

from experiments.settings.paths import is_within, paths_of, setting
from experiments.settings.presets import Preset
from experiments.settings.questions import QUESTION_PRESETS, QuestionSettings

_ALL = (
    "dataset",
    "seeds",
    "norm",
    "precision",
    "layer",
    "pruning",
    "kmeans",
    "spectra.first",
    "spectra.last_on_images",
)
_TRAINED = ("decoder", "l2", "jacobian", "adversarial")
_SHORTEST = ("spectra.last_on_noise", "attacks.images", "threats.targets", "threats.minimum_norm_steps")
_GRADIENT = tuple(f"attacks.{name}" for name in ("epsilons", "method", "gradient_low", "gradient_high", "pgd_steps"))
_STRENGTH = ("images", "control_images", "unit_l2", "steps", "target_steps", "restarts", "queries")
_PACE = ("first", "anchored", "refresh_every", "warm_start", "learning_rate", "constant_epochs", "decay_epochs")
_MIXED = (
    *(*_ALL, *_SHORTEST),
    *("decoder.learning_rate", "decoder.batch_size", *(f"spectral.{name}" for name in _PACE)),
    *(f"backprop.{name}" for name in ("batch_size", "learning_rates", "boundaries")),
    *("smoothness", "boundaries", "mixing"),
)
READ: Mapping[int, tuple[str, ...]] = {
    1: (
        *(*_ALL, *_TRAINED, *_SHORTEST, *_GRADIENT, "attacks.gaussian_low", "attacks.gaussian_high", "why"),
        *("models", "hidden", "noise_start", "noise_start_hidden", "backprop", "spectral"),
    ),
    2: (*_ALL, *_TRAINED, "backprop", "spectral", "dimension"),
    3: (*_ALL, *_TRAINED, *_SHORTEST, *_GRADIENT, *(f"threats.{name}" for name in _STRENGTH), "smoothness", "shape"),
    4: _MIXED,
    5: _MIXED,
}
"""Settings, and whole groups of them, by question."""
UNREAD = tuple(path for path in paths_of(QUESTION_PRESETS["quick"]) if not is_within(path, sum(READ.values(), ())))


def check_read(settings: QuestionSettings, preset: Preset, questions: Sequence[int]) -> None:
    """ValueError for a setting that is not the preset's, and that none of these questions reads."""
    read, usual = [one for number in questions for one in READ[number]], QUESTION_PRESETS[preset]
    for path in paths_of(settings):
        if setting(settings, path) != setting(usual, path) and not is_within(path, read):
            asked = ", ".join(map(str, questions))
            raise ValueError(f"--{path.replace('_', '-')} is read by none of the questions asked ({asked}); leave it")

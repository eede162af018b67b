"""All stages, in the order of the table; a new one is a ``Stage`` in a ``stages_*.py`` and its name here."""

from benchmarks import (
    stages_analysis,
    stages_attacks,
    stages_decoder,
    stages_krotov_hopfield,
    stages_population,
    stages_spectral,
    stages_training,
)
from benchmarks.rows import Stage

STAGES: dict[str, Stage] = {
    **stages_krotov_hopfield.STAGES,
    **stages_training.STAGES,
    **stages_spectral.STAGES,
    **stages_decoder.STAGES,
    **stages_attacks.STAGES,
    **stages_analysis.STAGES,
    **stages_population.STAGES,
}

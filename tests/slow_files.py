"""Files of tests that take more than some eight seconds of a core, in the order in which they start.

The first makes a run of the smoke preset, for which those of others that copy it have to wait: the second needs none.
"""

from pathlib import Path

SLOW_FILES = [
    Path(__file__).parent / name
    for name in (
        "experiments/test_reproduce.py",
        "experiments/test_depth.py",
        "attacks/test_contract.py",
        "experiments/test_sweep_devices.py",
        "experiments/test_sweep.py",
        "test_command_line.py",
        "test_site.py",
        "experiments/test_going_on.py",
        "experiments/test_evaluate.py",
        "experiments/test_adding.py",
        "questions/test_questions.py",
        "questions/test_mixing.py",
        "questions/test_data_dimension.py",
        "questions/test_shape.py",
        "experiments/test_commands.py",
        "experiments/test_workers.py",
        "experiments/test_stream.py",
        "experiments/test_options.py",
        "experiments/test_recomputed.py",
        "test_lowering.py",
        "test_figures.py",
        "test_figures_drawn.py",
        "learning/test_pruning.py",
        "attacks/test_attacks.py",
        "test_figures_evidence.py",
        "test_shell_examples.py",
        "attacks/test_minimum_norm.py",
        "experiments/test_report.py",
        "test_classifiers.py",
        "test_any_network.py",
        "test_taps.py",
        "analysis/test_tap_spectra.py",
        "analysis/test_generic_smoothness.py",
        "learning/test_tap_regularizers.py",
        "test_population.py",
        "test_other_modes.py",
        "analysis/test_smoothness.py",
        "experiments/test_presets_start.py",
        "analysis/test_paired.py",
        "test_sharding.py",
        "experiments/test_resuming.py",
        "attacks/test_auto_projected_gradient_descent.py",
        "data/test_corruptions.py",
        "experiments/test_grid.py",
        "experiments/test_members.py",
        "analysis/test_certified.py",
        "attacks/test_square.py",
        "learning/test_spectral_regularizer.py",
        "experiments/test_compilations.py",
        "experiments/test_evidence.py",
        "experiments/test_estimate.py",
        "test_package.py",
    )
]

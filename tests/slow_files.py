"""Files of tests that take more than some eight seconds of a core, in the order in which they start."""

from pathlib import Path

SLOW_FILES = [
    Path(__file__).parent / name
    for name in (
        "experiments/test_reproduce.py",
        "experiments/test_going_on.py",
        "attacks/test_contract.py",
        "experiments/test_sweep.py",
        "experiments/test_evaluate.py",
        "experiments/test_recomputed.py",
        "experiments/test_commands.py",
        "test_classifiers.py",
        "test_lowering.py",
        "attacks/test_attacks.py",
        "experiments/test_controls.py",
        "experiments/test_sweep_devices.py",
        "learning/test_pruning.py",
        "test_figures.py",
        "experiments/test_report.py",
        "test_sharding.py",
        "experiments/test_compilations.py",
        "experiments/test_few_classes.py",
        "experiments/test_evidence.py",
        "experiments/test_estimate.py",
        "test_figures_evidence.py",
        "test_population.py",
        "learning/test_regularizers.py",
        "learning/test_supervised.py",
        "attacks/test_auto_projected_gradient_descent.py",
        "attacks/test_minimum_norm.py",
        "attacks/test_square.py",
        "test_package.py",
        "experiments/test_plan.py",
        "analysis/test_boundary_geometry.py",
        "experiments/test_grid.py",
        "analysis/test_certified.py",
    )
]

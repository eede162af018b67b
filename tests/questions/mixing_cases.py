"""Made-up results of questions 4 and 5, of networks whose laws are known."""

import numpy as np

from experiments.questions.mixing.boundary import correlations
from experiments.questions.mixing.networks import networks_of
from experiments.questions.mixing.recipes import recipes
from experiments.settings.questions import QUESTION_PRESETS

SEEDS = 3


def made_up(seed=0, rule=0.0, fixed=0.0, several=0.0, spectrum=0.0, smoothness=0.0):
    """Networks whose log distance falls with accuracy; some lie above or below that line by so much.

    Args:
        seed: of the scatter.
        rule: how far the rule's networks lie above the front.
        fixed: those on k-means and on images as rows.
        several: mixes of several penalties.
        spectrum: slope of the log distance in the exponent on images.
        smoothness: in the logarithm of the Jacobian's norm.
    """
    generator = np.random.default_rng(seed)
    networks = {}
    for recipe in recipes(QUESTION_PRESETS["quick"]):
        alpha, jacobian, accuracy = generator.normal(2, 0.5), generator.normal(0, 0.5), generator.uniform(0.3, 0.5)
        penalties = sum(bool(recipe.changed.get(f"{name}.weight")) for name in ("l2", "jacobian", "spectral"))
        lift = {"kh": rule, "kmeans": fixed, "kh_start": fixed}.get(recipe.model, several if penalties > 1 else 0.0)
        level = -2 - 3 * accuracy + lift + spectrum * alpha + smoothness * jacobian
        logs = level + 0.02 * generator.standard_normal(SEEDS)
        medians = np.exp(logs)
        length = np.exp(-0.5 * alpha + 0.05 * generator.standard_normal(SEEDS))
        networks[recipe.name] = {
            "model": recipe.model,
            "changed": dict(recipe.changed),
            "test_accuracy": (accuracy + 0.002 * generator.standard_normal(SEEDS)).tolist(),
            "distance": {
                "median": medians.tolist(),
                "median_interval": [[0.97 * one, 1.03 * one] for one in medians],
                "censored": [0.0] * SEEDS,
            },
            "alpha_images": (alpha + 0.01 * generator.standard_normal(SEEDS)).tolist(),
            "jacobian_norm": np.exp(jacobian + 0.01 * generator.standard_normal(SEEDS)).tolist(),
            "boundary_length": length.tolist(),
            **{
                name: np.exp(generator.normal() + 0.05 * generator.standard_normal(SEEDS)).tolist()
                for name in (
                    *("alpha_noise", "participation_ratio", "loss_curvature", "lipschitz_local"),
                    "boundary_curvature",
                )
            },
        }
    return {"seeds": list(range(SEEDS)), "networks": networks}


def with_correlations(results):
    return {**results, "partial_correlations": correlations(networks_of(results), resamples=20)}

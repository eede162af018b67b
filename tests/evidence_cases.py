"""Made-up results of a run with every model, attack and measure, in which all that the paper says comes true."""

import itertools
import math

import numpy as np

from experiments.results.published import HIDDEN_UNITS, NORM, TRAINED

PAPER = ("kh", "l2", "jacobian", "bp", "spectral")
CONTROLS = (
    "kh_start", "random", "kmeans", "pca", "whitened", "bp_power", "bp_first_decay", "bp_matched", "adversarial",
)  # fmt: skip
ATTACK_SCALES = {"gaussian": 10.0, "fgsm": 0.2, "pgd": 0.16, "minimum_norm": 0.12}
BATTERY = ("apgd_ce", "apgd_dlr", "apgd_targeted", "minimum_norm", "square", "transfer")
THREATS = {
    "unit_linf": ("linf", 0.002, "unit"),
    "unit_l2": ("l2", 0.1, "unit"),
    "raw_linf": ("linf", 8 / 255, "raw"),
    "raw_l2": ("l2", 0.5, "raw"),
}
ACCURACY = {"kh": 0.46, "l2": 0.5, "jacobian": 0.52, "bp": 0.55, "spectral": 0.45, "bp_matched": 0.46}
ROBUSTNESS = {model: 0.7**place for place, model in enumerate(PAPER)} | {
    model: 0.75 * 0.93**place for place, model in enumerate(CONTROLS)
}
STRAIGHT = {"images": ("kh", "spectral"), "noise": ("kh",)}


def scattered(rng, value, seeds, spread=0.02):
    return [float(value * math.exp(spread * draw)) for draw in rng.normal(size=seeds)]


def within(values, share=0.05):
    return [[(1 - share) * value, (1 + share) * value] for value in values]


def spectrum(rng, model, kind, seeds):
    input_kind = kind.split("_")[0]
    straight = model in STRAIGHT[input_kind]
    alpha = {"images": 1.1 if model == "spectral" else 2.5, "noise": 0.15 if model == "spectral" else 1.2}[input_kind]
    fit = {
        "alpha": scattered(rng, alpha, seeds),
        "stderr": [0.01] * seeds,
        "r2": [0.998 if straight else 0.95] * seeds,
        "window": [[11, 125]] * seeds,
    }
    if kind.endswith("weighted"):
        return fit
    return fit | {
        "curvature": scattered(rng, -0.02 if straight else -0.9, seeds),
        "curvature_stderr": [0.02] * seeds,
        "alpha_range": within(fit["alpha"], 0.02 if straight else 0.4),
        "exponential_delta_bic": [-200.0 if straight else 50.0] * seeds,
        "broken_delta_bic": [-5.0 if straight else 120.0] * seeds,
        "break_at": [40] * seeds,
        "max_deviation": [0.05 if straight else 0.7] * seeds,
        "verdict": ["power law" if straight else "curved"] * seeds,
    }


def threat(rng, robustness, accuracy, name, seeds):
    norm, epsilon, space = THREATS[name]
    shares = {attack: scattered(rng, accuracy * robustness * (1 - 0.04 * i), seeds) for i, attack in enumerate(BATTERY)}
    worst = [min(row) for row in zip(*shares.values(), strict=True)]
    return {
        "norm": norm, "epsilon": epsilon, "space": space, "images": [300] * seeds, "clean": [accuracy] * seeds,
        "attacks": shares, "worst_case": worst, "worst_case_interval": within(worst),
    }  # fmt: skip


def corruptions(rng, accuracy, rough, seeds):
    """The rougher a network, the more of its decisions corruption overturns."""
    overturned = scattered(rng, 0.2 * rough, seeds)
    entry = {"clean": [accuracy] * seeds, "accuracy": [accuracy * (1 - share) for share in overturned]}
    for name, keys in (("by_corruption", ("fog", "jpeg")), ("by_severity", "12345")):
        entry |= {name: {key: scattered(rng, accuracy * (1 - 0.2 * rough), seeds) for key in keys}}
        entry |= {f"{name}_interval": {key: within(values) for key, values in entry[name].items()}}
    entry |= {"overturned": overturned, "overturned_interval": within(overturned)}
    return {"images": [1000] * seeds, **entry, "accuracy_interval": within(entry["accuracy"])}


def model_entry(rng, model, seeds):
    robustness, accuracy = ROBUSTNESS[model], ACCURACY.get(model, 0.42)
    critical = {}
    for attack, scale in ATTACK_SCALES.items():
        medians = scattered(rng, scale * robustness, seeds)
        critical[attack] = {"median": medians, "median_interval": within(medians), "censored": [0.01] * seeds}
    accuracies = scattered(rng, accuracy, seeds, 0.004)
    upper = scattered(rng, 0.11 * robustness, seeds)
    lower = {"lipschitz": scattered(rng, 0.005 * robustness, seeds), "relaxation": scattered(rng, 0.02, seeds, 0.1)}
    certified = {
        name: {"median": values, "median_interval": within(values)}
        for name, values in (lower | {"upper": upper}).items()
    }
    kinds = ["images", "noise", *(f"{kind}_{what}" for kind in STRAIGHT for what in ("held_out", "weighted"))]
    rough = {"kh": 0.4, "l2": 0.7, "jacobian": 0.75, "bp": 1.0, "spectral": 1.2}.get(model, 0.8 / robustness)
    return {
        **({"control": True} if model in CONTROLS else {}),
        "test_accuracy": accuracies,
        "test_accuracy_interval": within(accuracies, 0.02),
        "n_attacked": [500] * seeds,
        "converged": [True] * seeds,
        "decoder_converged": [True if model in ("kh", *CONTROLS[:5]) else None] * seeds,
        "pruned_units": [30 if model == "kh" else 0] * seeds,
        "spectrum": {kind: spectrum(rng, model, kind, seeds) for kind in kinds}
        | ({"images_raw": spectrum(rng, "bp", "images", seeds)} if model == "kh" else {}),
        "critical_l2": critical,
        "critical_linf": {},
        "jacobian_norm": {
            "activation": (norms := scattered(rng, 30 * rough, seeds)), "activation_interval": within(norms),
            "preactivation": [5.0] * seeds,
        },
        "robust_accuracy": {name: threat(rng, robustness, accuracy, name, seeds) for name in THREATS},
        "masking": {
            "vanished_gradients": {"value": [0.01] * seeds, "suspect": [False] * seeds},
            "random_starts": {"value": [0.003] * seeds, "suspect": [False] * seeds},
            "black_box": {"value": [-0.2] * seeds, "suspect": [False] * seeds},
            "verdict": ["no sign of masking"] * seeds,
        },
        "certified_l2": {**certified, "gap": scattered(rng, 6.0, seeds), "violations": [0] * seeds},
        "smoothness": {
            name: scattered(rng, scale * rough, seeds, 0.05)
            for name, scale in {
                "jacobian_frobenius": 30.0, "jacobian_spectral": 9.0, "relative_jacobian": 3.0,
                "logit_jacobian_spectral": 70.0, "lipschitz_global": 4000.0, "lipschitz_local": 120.0,
                "loss_curvature": 900.0,
            }.items()
        }  | {"margin_over_gradient": scattered(rng, 0.1 * robustness, seeds)},
        "boundaries": {
            radius: {
                "length": (lengths := scattered(rng, length * rough, seeds, 0.05)), "length_interval": within(lengths),
                "curvature": scattered(rng, 0.3 * rough, seeds, 0.05),
                "regions": scattered(rng, 4.0, seeds, 0.05),
                "flips": [0.8] * seeds,
            }
            for radius, length in (("radius_4", 9.0), ("radius_20", 60.0))
        },
        "corruptions": corruptions(rng, accuracy, rough, seeds),
    }  # fmt: skip


def compared(models, seeds):
    """The comparisons of a run, from its medians: farther by more than 5 % is better."""
    found = []
    for attack, (first, second) in itertools.product(ATTACK_SCALES, itertools.combinations(models, 2)):
        logs = [np.log(models[m]["critical_l2"][attack]["median"]) for m in (first, second)]
        ratio = float(np.mean(logs[0] - logs[1]))
        decided = abs(ratio) > 0.05
        better = first if ratio > 0 else second
        found.append(
            {
                "attack": attack, "first": first, "second": second, "seeds": seeds, "images": [400] * seeds,
                "log_ratio": ratio, "log_ratio_interval": [ratio - 0.04, ratio + 0.04],
                "superiority": 0.5 + 0.4 * math.tanh(ratio), "p": 1e-5 if decided else 0.3,
                "p_corrected": 1e-3 if decided else 1.0, "better": better if decided else None,
            }
        )  # fmt: skip
    return found


def published_settings():
    """Those of the published runs, as far as verdicts look at them."""
    settings = {"hidden": HIDDEN_UNITS, "norm": NORM}
    for path, value in (item for model in TRAINED.values() for item in model.items()):
        *groups, name = path.split(".")
        group = settings
        for key in groups:
            group = group.setdefault(key, {})
        group[name] = value
    return settings


def evidence(seeds=5, models=PAPER + CONTROLS):
    """A results dictionary, schema 1."""
    rng = np.random.default_rng(0)
    entries = {model: model_entry(rng, model, seeds) for model in models}
    measures = (
        "jacobian_frobenius",
        "relative_jacobian",
        "lipschitz_global",
        "alpha_images",
        "boundary_length_radius_4",
    )
    data = {"alpha": [1.47] * seeds, "stderr": [0.005] * seeds, "r2": [0.99] * seeds, "window": [[11, 500]] * seeds}
    untrained = {
        kind: data | {"alpha": scattered(rng, alpha, seeds)} for kind, alpha in (("images", 1.5), ("noise", 0.15))
    }
    return {
        "schema": 1,
        "preset": "quick",
        "settings": published_settings(),
        "seeds": list(range(seeds)),
        "notes": [],
        "dataset": {"name": "cifar10", "sha256": "ab" * 32, "n_train": 50000, "n_test": 10000},
        "environment": {"jax": "0.10", "device": "cpu", "platform": "cpu", "python": "3.11"},
        "stages": {"attacks": {"seconds": 12.0}},
        "models": entries,
        "baselines": {
            "data": {"spectrum": {"images": data}},
            "untrained": {"spectrum": untrained},
            "noise_start": {
                "test_accuracy": [0.3] * seeds, "test_accuracy_unpruned": [0.3] * seeds, "pruned_units": [30] * seeds,
                "test_accuracy_change": [0.0] * seeds, "test_accuracy_change_interval": [[-0.002, 0.002]] * seeds,
                "converged": [True] * seeds,
                "spectrum": {
                    "images": spectrum(rng, "kh", "images", seeds), "images_raw": spectrum(rng, "bp", "images", seeds),
                },
            },
        },
        "comparisons": compared(entries, seeds),
        "correlations": [
            {
                "measure": measure, "attack": attack, "spearman": -0.8, "interval": [-0.92, -0.5], "p_corrected": 0.002,
                "members": seeds * len(models), "models": len(models),
            }
            for measure in measures
            for attack in ATTACK_SCALES
        ],
    }  # fmt: skip

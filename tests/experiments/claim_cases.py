"""Changes of made-up results, one entry or comparison at a time."""

import copy


def changed(results, *path_and_value):
    """A copy of the results with one entry replaced."""
    *path, last, value = path_and_value
    results = copy.deepcopy(results)
    entry = results
    for key in path:
        entry = entry[key]
    entry[last] = value
    return results


def by_medians(results):
    """The same without comparisons: older runs have none."""
    return {**results, "comparisons": []}


def without(results, model):
    """The same had the model not been run."""
    models = {name: entry for name, entry in results["models"].items() if name != model}
    pairs = [pair for pair in results["comparisons"] if model not in (pair["first"], pair["second"])]
    return {**results, "models": models, "comparisons": pairs}


def with_medians(results, model, attack, median):
    seeds = len(results["seeds"])
    medians = [median * (1 + 0.01 * seed) for seed in range(seeds)]
    entry = {"median": medians, "median_interval": [[0.95 * m, 1.05 * m] for m in medians], "censored": [0.0] * seeds}
    return by_medians(changed(results, "models", model, "critical_l2", attack, entry))


def with_accuracies(results, model, accuracies):
    results = changed(results, "models", model, "test_accuracy", accuracies)
    return changed(results, "models", model, "test_accuracy_interval", [[a - 0.01, a + 0.01] for a in accuracies])


def recompared(results, attack, first, second, log_ratio, better, half=0.01):
    """The comparison of two models replaced by another."""
    results = copy.deepcopy(results)
    for pair in results["comparisons"]:
        if (pair["attack"], {pair["first"], pair["second"]}) == (attack, {first, second}):
            sign = 1 if pair["first"] == first else -1
            ends = sorted([sign * (log_ratio - half), sign * (log_ratio + half)])
            p = 0.3 if better is None else 1e-3
            pair |= {"log_ratio": sign * log_ratio, "log_ratio_interval": ends, "better": better, "p_corrected": p}
    return results

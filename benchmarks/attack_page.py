"""What :mod:`benchmarks.attack_check` found, as a line of the log and as a page."""

from typing import Any


def in_words(entry: dict[str, Any]) -> str:
    """A check of one threat to one model, for the log."""
    together = entry["attacks"]["all together"]
    largest = max(attack["difference_points"] for attack in entry["attacks"].values())
    return (
        f"{100 * entry['clean']:.1f} % clean, {100 * together['ours']:.1f} % under ours, "
        f"{100 * together['theirs']:.1f} % under theirs; ours at most {largest:+.1f} points above"
        f"{'' if entry['agrees'] else ': TOO WEAK'}"
    )


def markdown(results: dict[str, Any]) -> str:
    """The page: what was compared, and a row for each threat to each model."""
    about, settings = results["environment"], results["settings"]
    attacks = list(next(entry for model in results["models"].values() for entry in model.values())["attacks"])
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    spent = ", ".join(f"{number} {name}" for name, number in settings["budget"].items())
    lines = [
        f"{about['device']} ({about['backend']}), Python {about['python']}, {versions}; "
        f"{settings['images']} test images of {settings['dataset']}; {spent}.",
        "",
        "Accuracy in % that our attack leaves / that ART's leaves. Ours may be at most "
        f"{results['tolerated_points']:g} point(s) above; where it is further above, the row is bold.",
        "",
        "| " + " | ".join(["model", "threat", "clean", *attacks, "largest difference, points"]) + " |",
        "|" + " --- |" * (len(attacks) + 4),
    ]
    for name, threats in results["models"].items():
        for threat, entry in threats.items():
            cells = [
                f"{100 * entry['attacks'][a]['ours']:.1f} / {100 * entry['attacks'][a]['theirs']:.1f}" for a in attacks
            ]
            largest = max(entry["attacks"][attack]["difference_points"] for attack in attacks)
            row = [
                name,
                f"{threat}, ε = {entry['epsilon']:.3g}",
                f"{100 * entry['clean']:.1f}",
                *cells,
                f"{largest:+.1f}",
            ]
            lines.append("| " + " | ".join(row if entry["agrees"] else [f"**{cell}**" for cell in row]) + " |")
    return "\n".join([*lines, "", f"`{results['command']}`: {results['seconds'] / 60:.1f} min.", ""])

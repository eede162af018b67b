"""What :mod:`benchmarks.autoattack` found, as a line of the log and as a page."""

from typing import Any


def in_words(entry: dict[str, Any]) -> str:
    """A comparison under one threat, for the log."""
    return (
        f"{100 * entry['clean']:.1f} % clean, {100 * entry['ours']['robust']:.1f} % under ours, "
        f"{100 * entry['theirs']['robust']:.1f} % under theirs; {entry['times_less']['seconds']:.1f} times as fast"
        f"{'' if entry['agrees'] else ': TOO WEAK'}"
    )


def markdown(results: dict[str, Any]) -> str:
    """The page: what was compared, accuracies part by part, and the race."""
    about, settings = results["environment"], results["settings"]
    entries = {
        (name, threat): entry for name, threats in results["networks"].items() for threat, entry in threats.items()
    }
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return "\n".join(
        [
            f"{about['device']} ({about['backend']}), {about['processors']} processors, PyTorch with "
            f"{about['torch_threads']} threads, Python {about['python']}, {versions}.",
            "",
            f"{settings['images']} test images of {settings['dataset']}; {settings['steps']} steps, "
            f"{settings['targets']} targets, {settings['queries']} queries. Accuracy in % that ours / theirs leaves "
            "after each part by its own count, and in the end as judged by both copies of the network. Ours may be at "
            f"most {results['tolerated_points']:g} points above; where it is further above, the row is bold.",
            "",
            *_accuracies(entries),
            "",
            f"Seconds of the whole call, medians of {settings['rounds']} rounds in turns, ours compiled before; on the "
            "wall, and of all processors, which other work on the machine does not lengthen.",
            "",
            *_race(entries),
            "",
            f"`{results['command']}`",
            "",
        ]
    )


def _accuracies(entries: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    parts = ["APGD-CE", "APGD-T", "minimum norm / FAB-T", "Square", "judged", "difference, points"]
    lines = ["| network | threat | clean | " + " | ".join(parts) + " |", "|" + " --- |" * (len(parts) + 3)]
    for (name, threat), entry in entries.items():
        ours, theirs = (
            [part["robust_accuracy"] for part in entry[who]["parts"].values()] for who in ("ours", "theirs")
        )
        theirs += theirs[-1:] * (len(ours) - len(theirs))  # theirs stops where nothing is left
        pairs = [*zip(ours, theirs, strict=True), (entry["ours"]["robust"], entry["theirs"]["robust"])]
        cells = [
            name,
            f"{threat}, ε = {entry['epsilon']:.3g}",
            f"{100 * entry['clean']:.1f}",
            *(f"{100 * a:.1f} / {100 * b:.1f}" for a, b in pairs),
            f"{entry['difference_points']:+.1f}",
        ]
        lines.append("| " + " | ".join(cells if entry["agrees"] else [f"**{cell}**" for cell in cells]) + " |")
    return lines


def _race(entries: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    columns = ["network", "threat"]
    for clock in ("s", "processor s"):
        columns += [f"ours, {clock}", f"theirs, {clock}", "times less", f"compiling, {clock}"]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for (name, threat), entry in entries.items():
        cells = [name, threat]
        for clock in ("seconds", "processor_seconds"):
            cells += [f"{entry[who]['median'][clock]:.1f}" for who in ("ours", "theirs")]
            cells += [f"{entry['times_less'][clock]:.1f}", f"{entry['compiling'][clock]:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines

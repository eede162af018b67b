"""What a verdict may say of the paper: red only of networks trained as published, to their end, and once a number.

A claim by itself looks at numbers alone. Whether these speak about the paper is decided here, for all claims alike: a
contradiction needs a run of the published kind (``published.unlike_published``) whose networks have converged, and a
number that no earlier claim has turned red already; else it cannot be told. Where the numbers agree in a run of another
kind, or of networks that have not converged, the claim holds at this size.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence

from experiments.report.claims.comparing import Results
from experiments.report.claims.verdicts import Finding, Verdict, names
from experiments.report.numbers import dig
from experiments.results.published import unlike_published

RED = (Verdict.CONTRADICTS, Verdict.FAILS)
_SHOWN = 3
"""So many differences are named, the others counted."""


def not_converged(results: Results, models: Iterable[str]) -> list[str]:
    """Models of which a layer, a decoder or a whole network has not converged in some seed."""
    flags = {
        model: [*(dig(results, "models", model, key) or [] for key in ("converged", "decoder_converged"))]
        for model in models
    }
    return [model for model, each in flags.items() if any(False in one for one in each)]


def settle(results: Results, finding: Finding) -> Finding:
    """The finding with the verdict that the kind of the run allows."""
    if not finding.models or finding.verdict not in (*RED, Verdict.AGREES):
        return finding
    unlike = unlike_published(dig(results, "settings") or {}, dig(results, "dataset", "name"), finding.models)
    late = not_converged(results, finding.models)
    obstacles = [f"not as published: {_few(unlike)}"] if unlike else []
    obstacles += [f"not converged: {names(late)}"] if late else []
    if not obstacles:
        return finding
    why = "; ".join(obstacles)
    if finding.verdict in RED:
        said = f"{finding.sentence[:-1]}; but of the paper this tells nothing ({why})."
        return finding._replace(verdict=Verdict.UNDECIDED, sentence=said)
    return finding._replace(verdict=Verdict.HERE, sentence=f"{finding.sentence[:-1]} ({why}).")


def with_its_reach(finding: Finding, seeds: int) -> Finding:
    """With one seed a verdict is about these networks only, and says so."""
    if seeds != 1 or not (finding.supporting or finding.opposing):
        return finding
    return finding._replace(sentence=f"{finding.sentence[:-1]} (one seed: about these networks only).")


def once_a_number(findings: Mapping[str, Finding]) -> dict[str, Finding]:
    """The findings on claims, by the claims' titles and in their order, where no number turns a second one red."""
    spent: dict[Hashable, str] = {}
    settled = {}
    for title, finding in findings.items():
        if finding.verdict in RED and finding.against:
            if finding.against <= set(spent):
                earlier = spent[min(finding.against, key=str)]
                said = f"{finding.sentence[:-1]}; but these numbers stand against “{earlier}” already."
                finding = finding._replace(verdict=Verdict.UNDECIDED, sentence=said)
            else:
                spent |= {number: title for number in finding.against if number not in spent}
        settled[title] = finding
    return settled


def _few(differences: Sequence[str]) -> str:
    rest = len(differences) - _SHOWN
    return ", ".join(differences[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

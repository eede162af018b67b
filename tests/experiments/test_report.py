"""The report: nothing is fetched from outside, nothing missing goes untold, and old results still give a page."""

import copy
import html
import json
import re

import pytest
from evidence_cases import CONTROLS, PAPER, evidence
from pages import check_links

from experiments.report import glossary, render, write_report
from experiments.report.claims import CLAIMS
from experiments.report.glossary import EXPLAINED, READING, terms
from experiments.report.markdown import evidence_table, markdown_table
from experiments.report.sections import unconverged
from experiments.results.published import PUBLISHED
from experiments.results.schema import read_results

INFINITY = float("inf")
PNG = bytes.fromhex("89504e470d0a1a0a")


def run_as_published(seeds=1):
    return evidence(seeds, PAPER)


def changed(results, *path_and_value):
    """A copy of the results with one entry replaced."""
    *path, last, value = path_and_value
    results = copy.deepcopy(results)
    entry = results
    for key in path:
        entry = entry[key]
    entry[last] = value
    return results


def written(directory, results, pictures=()):
    (directory / "figures").mkdir(exist_ok=True)
    for name in pictures:
        (directory / "figures" / f"{name}.png").write_bytes(PNG)
    (directory / "results.json").write_text(json.dumps(results))
    return write_report(directory).read_text(encoding="utf-8")


@pytest.mark.parametrize(("seeds", "models"), [(1, PAPER), (3, None)])
def test_the_page_stands_alone(tmp_path, seeds, models):
    page = written(tmp_path, evidence(seeds, models) if models else evidence(seeds), ["figure1", "figureA2"])
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"<script|<link|@import|url\(", page)
    check_links(page)
    anchors = re.findall(r' id="([^"]*)"', page)
    assert {link[1:] for link in links if link[0] == "#"} <= set(anchors)
    assert len(anchors) == len(set(anchors))
    assert page.count("<img") == 2
    assert "file figures/figure3.png is missing" in page
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_published_numbers_stand_beside_ours(tmp_path):
    page = written(tmp_path, changed(run_as_published(), "models", "kh", "test_accuracy", [0.5]))
    for row in PUBLISHED.values():
        assert all(
            f"<td>{number:g}</td>" in page or f">{number:g}</td>" in page for number in row if number is not None
        )
    assert "+0.03" in page  # kh: 0.50 against 0.47


def test_everything_written_by_others_is_escaped(tmp_path):
    hostile = '<img src="x" onerror="alert(1)">'
    results = run_as_published()
    results |= {"notes": [hostile], "preset": hostile, "settings": {hostile: hostile}}
    results["models"][hostile] = {"test_accuracy": [0.1]}
    results["dataset"]["name"] = hostile
    page = written(tmp_path, results)
    assert hostile not in page
    assert page.count(html.escape(hostile)) >= 5


def test_what_did_not_converge_is_told_by_seed(tmp_path):
    results = changed(run_as_published(2), "models", "l2", "converged", [True, False])
    results = changed(results, "models", "bp", "test_accuracy", [None, 0.5])
    results = changed(results, "models", "kh", "decoder_converged", [False, True])
    results = changed(results, "seeds", [7, 8])
    assert unconverged(results) == [
        "Krotov–Hopfield: the decoder of seed 7 did not converge.",
        "backprop: test accuracy is not available for seed 7.",
        "L2: seed 8 did not converge.",
    ]
    page = written(tmp_path, results)
    assert "L2: seed 8 did not converge." in page
    assert "longer training may change verdicts: Krotov–Hopfield, L2." in page


def without(entry, key):
    """A copy without this key, at whatever depth it stands."""
    if isinstance(entry, dict):
        return {name: without(value, key) for name, value in entry.items() if name != key}
    return [without(value, key) for value in entry] if isinstance(entry, list) else entry


def keys(entry):
    if isinstance(entry, list):
        return {key for value in entry for key in keys(value)}
    return set(entry) | {key for value in entry.values() for key in keys(value)} if isinstance(entry, dict) else set()


NEEDED = {"schema", "attack", "first", "second", "measure"}
FEW = evidence(1, ("kh", "bp", "spectral", "kh_start"))


@pytest.mark.parametrize("key", sorted(keys(FEW) - NEEDED))
def test_whatever_key_is_absent_there_is_a_page(tmp_path, key):
    assert "What holds" in render(without(FEW, key), tmp_path)


def emptied(entry):
    """Results in which every seed of every model diverged."""
    if isinstance(entry, dict):
        return {key: value if key == "control" else emptied(value) for key, value in entry.items()}
    return [None] * len(entry) if isinstance(entry, list) else entry


def test_a_run_of_which_nothing_is_left_still_gives_a_page(tmp_path):
    results = evidence(2)
    results |= {key: emptied(results[key]) for key in ("models", "baselines")}
    page = written(tmp_path, {**results, "comparisons": [], "correlations": []})
    assert "agrees with the paper:" not in page
    assert "nan" not in page.lower().replace("finance", "")


def test_a_null_median_is_infinite_only_where_censoring_says_so(tmp_path):
    results = run_as_published()
    results["models"]["kh"]["critical_l2"]["pgd"] = {
        "median": [None],
        "median_interval": [[1, None]],
        "censored": [0.6],
    }
    results["models"]["bp"]["critical_l2"]["pgd"] = {"median": [None], "median_interval": [None], "censored": [None]}
    results["models"]["l2"]["certified_l2"]["upper"] = {"median": [None], "median_interval": [[0.2, None]]}
    results["models"]["l2"]["certified_l2"] |= {"gap": [None], "gap_interval": [[1.3, None]]}
    results["models"]["bp"]["certified_l2"] |= {"gap": [None], "gap_interval": [None]}
    written(tmp_path, results)
    models = read_results(tmp_path)["models"]
    assert models["kh"]["critical_l2"]["pgd"]["median"] == [INFINITY]
    assert models["bp"]["critical_l2"]["pgd"]["median"] == [None]
    assert [models[name]["certified_l2"]["gap"] for name in ("l2", "bp")] == [[INFINITY], [None]]
    assert models["l2"]["certified_l2"]["upper"] == {"median": [INFINITY], "median_interval": [[0.2, INFINITY]]}


def test_the_page_opens_with_the_verdicts_each_on_the_way_to_its_evidence(tmp_path):
    page = written(tmp_path, evidence(2), ["figure1"])
    opening = page[page.index('id="opening"') : page.index('id="paper"')]
    assert opening.count("<img") == 1
    assert re.findall(r'href="#claim-([^"]*)"', opening) == [claim.name for claim in CLAIMS]
    assert opening.count('class="badge') == len(CLAIMS)
    assert 'id="figure1"' not in page[page.index('id="paper"') :], "it is not embedded twice"
    for claim in CLAIMS:
        told = page[page.index(f'id="claim-{claim.name}"') :].partition('class="claim"')[0]
        assert all(f'href="#{anchor}"' in told for anchor in claim.evidence)


def test_claims_have_names_of_their_own_and_evidence():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert all(claim.evidence and len(claim.words) <= 50 for claim in CLAIMS)


def test_long_tables_and_figures_of_controls_are_folded(tmp_path):
    few, many = (written(tmp_path, evidence(1, models), ["figure3_layers"]) for models in (PAPER, PAPER + CONTROLS))
    assert '<h3 id="accuracies">' in few
    assert '<details class="fold" id="accuracies">' in many
    folded = many[many.index("Figure 3 — spectra of all models: controls with a frozen first layer") - 60 :]
    assert folded.index("<details") < folded.index("<figure") < folded.index("</details>")


def test_every_table_of_evidence_is_in_the_page(tmp_path):
    page = written(tmp_path, evidence(2))
    for words in (
        "The five models compared", "compared with the controls", "Robust accuracy: L∞, raw pixels",
        "Signs of masked gradients", "Bounds on the L₂ distance", "Spectra on white noise", "Measures of smoothness",
        "Spearman", "Decision boundaries on random planes", "Accuracy on corrupted images",
    ):  # fmt: skip
        assert words in page
    assert "Not available in this run" not in page.replace(page[page.index("L∞</h3>") :][:80], "")


def test_a_suspicious_check_is_marked(tmp_path):
    assert "⚠" not in written(tmp_path, evidence(2))
    results = changed(evidence(2), "models", "bp", "masking", "random_starts", "suspect", [False, True])
    assert written(tmp_path, results).count("⚠") == 1


def test_the_readmes_tables_have_intervals_over_seeds():
    one, many = evidence(1), evidence(5)
    assert "±" not in markdown_table(one)
    assert "±" not in evidence_table(one)
    for table in (markdown_table(many), evidence_table(many)):
        rows = table.splitlines()
        assert len(rows) == 2 + len(many["models"])
        assert len({row.count("|") for row in rows}) == 1
        assert "±" in rows[2]
    assert "| power law | power law |" in evidence_table(many).splitlines()[2]


def test_of_three_seeds_one_that_is_left_is_told_to_be_one():
    results = changed(evidence(3), "models", "l2", "test_accuracy", [0.5, None, None])
    row = next(row for row in markdown_table(results).splitlines() if row.startswith("| L2 |"))
    assert "(1 of 3 seeds)" in row


def test_a_run_without_the_evidence_still_has_its_table():
    rows = evidence_table({"models": {"kh": {}}}).splitlines()
    assert rows[-1] == "| Krotov–Hopfield | – | – |"


def test_a_run_with_almost_nothing_still_gives_a_page(tmp_path):
    page = written(tmp_path, {"schema": 1})
    assert "not available" in page
    assert page.count("cannot tell") >= 5


def test_writing_again_gives_the_same_bytes(tmp_path):
    assert written(tmp_path, run_as_published()) == written(tmp_path, run_as_published())


def test_other_schemas_and_unfinished_runs_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="finish the run"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"schema": 2}')
    with pytest.raises(ValueError, match="schema 1"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_every_link_within_the_page_leads_somewhere(tmp_path):
    page = written(tmp_path, evidence(2))
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert {term.anchor for term in terms().values() if term.name in EXPLAINED.values()} <= links
    assert links <= set(re.findall(r'id="([^"]*)"', page))


def test_words_mean_what_the_documentation_says(tmp_path):
    """One page is the source of both; markup of it does not come through."""
    page = html.unescape(written(tmp_path, evidence(2)))
    told = READING.read_text()
    assert len(terms()) == len(re.findall(r"^: ", told, re.MULTILINE)) >= len(set(EXPLAINED.values()))
    for term in terms().values():
        assert f"{term.name}\n: {term.text.split()[0]}".replace("“", "*").replace("”", "*") in told
        assert term.text in page
        assert not set("*$\\") & set(term.text)


def test_a_copy_without_the_documentation_has_a_page_too(tmp_path, monkeypatch):
    monkeypatch.setattr(glossary, "READING", tmp_path / "missing.md")
    glossary.terms.cache_clear()
    page = written(tmp_path, evidence(2))
    glossary.terms.cache_clear()
    assert "What this is" not in page
    assert "words" not in set(re.findall(r'(?:href="#|id=")([^"]*)"', page))

"""The command: a tiny run is complete, goes on where it stopped, and refuses what cannot work."""

import pytest

pytest.importorskip("torch")

from torch_threads import one_torch_thread

from benchmarks import __main__ as command
from benchmarks import running
from benchmarks.rows import Check
from benchmarks.stages import STAGES
from benchmarks.targets import TARGETS
from benchmarks.timing import Part
from jax_bioadv.storage import read_json

CHOSEN = "kh_step,kh_epoch"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def quick(tiny_options):
    return ["--synthetic", *tiny_options, "--rounds", "3", "--seconds", "0", "--pause", "0", "--no-compile"]


@pytest.fixture(scope="module")
def finished(quick, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmarks") / "tiny"
    assert command.main(["--out", str(out), "--stages", CHOSEN, *quick]) == 0
    return out


def test_every_target_belongs_to_a_stage():
    assert TARGETS.keys() <= STAGES.keys()


def test_the_results_are_complete(finished):
    results = read_json(finished.with_suffix(".json"))
    assert list(results["stages"]) == CHOSEN.split(",")
    assert results["environment"]["versions"].keys() >= {"jax", "torch"}
    assert results["settings"]["hidden"] == 24
    assert all(ratio > 0 for ratio in results["device"]["interference"].values())
    commands = [entry["command"] for entry in results["stages"].values()]
    assert all(text.startswith("python -m benchmarks --out") and "data-dir" not in text for text in commands)
    for entry in results["stages"].values():
        assert entry["agrees"]
        assert entry["agreement"]
        assert {"eager", "ours"} <= entry["contestants"].keys()
        assert entry["target"] is None  # targets are for the published sizes
        assert entry["floor"]["seconds"] > 0
        ours = entry["contestants"]["ours"]
        assert len(ours["seconds"]) == 3
        low, high = ours["quartiles"]
        assert 0 < low <= ours["median"] <= high
        assert entry["floor"]["share_reached"] == pytest.approx(entry["floor"]["seconds"] / ours["median"])
        assert entry["compile_mode"] is None


def test_the_table_stands_beside_them(finished):
    page = finished.with_suffix(".md").read_text()
    for name in CHOSEN.split(","):
        assert f"| {STAGES[name].title} |" in page


def test_a_second_run_does_what_is_missing_and_keeps_the_rest(finished, quick, monkeypatch):
    before, done = read_json(finished.with_suffix(".json")), []
    run_stage = running.run_stage
    monkeypatch.setattr(running, "run_stage", lambda name, *rest: done.append(name) or run_stage(name, *rest))
    assert command.main(["--out", str(finished), "--stages", CHOSEN + ",decoder_epoch", *quick]) == 0
    after = read_json(finished.with_suffix(".json"))
    assert done == ["decoder_epoch"]
    for name, entry in before["stages"].items():
        kept = dict(after["stages"][name])
        assert {**kept, "floor": None} == {**entry, "floor": None}  # which sinks when a machine turns out to be faster


def test_a_run_that_stops_at_once_loses_nothing(finished, quick, monkeypatch):
    before = read_json(finished.with_suffix(".json"))

    def stops(name, *rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_stage", stops)
    assert command.main(["--out", str(finished), "--stages", CHOSEN, "--again", *quick]) != 0
    assert read_json(finished.with_suffix(".json")) == before


def test_a_run_with_nothing_to_do_writes_the_page_anew(finished, quick, monkeypatch):
    page = finished.with_suffix(".md")
    before = page.read_text()
    page.unlink()
    monkeypatch.setattr(running, "measure_device", None)
    assert command.main(["--out", str(finished), "--stages", CHOSEN, *quick]) == 0
    assert page.read_text() == before


def test_results_of_other_settings_are_not_mixed(finished, quick, capsys):
    other = [*quick, "--hidden", "16"]
    before = finished.with_suffix(".json").read_bytes()
    assert command.main(["--out", str(finished), "--stages", CHOSEN, *other]) == 2
    assert "other settings" in capsys.readouterr().err
    assert finished.with_suffix(".json").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--stages", "nonsense"], "unknown stage"),
        (["--timed-batches", "1000"], "fewer than 1000"),
        (["--attacked", "49"], "cannot be attacked"),
        (["--hidden", "0"], "--hidden must be at least 1"),
        (["--hidden", "500"], "starts from training images"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_work(wrong, says, quick, tmp_path, capsys):
    assert command.main(["--out", str(tmp_path / "x"), *quick, *wrong]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_contestants_that_disagree_are_told_and_not_timed(quick, tmp_path, monkeypatch):
    check = Check("something", 2.0, 1.0)
    build = STAGES["kh_step"].build

    def disagreeing(workload):
        return build(workload)._replace(agree=lambda results: [check])

    monkeypatch.setitem(STAGES, "kh_step", STAGES["kh_step"]._replace(build=disagreeing))
    out = tmp_path / "wrong"
    assert command.main(["--out", str(out), "--stages", "kh_step", *quick]) == 1
    entry = read_json(out.with_suffix(".json"))["stages"]["kh_step"]
    assert not entry["agrees"]
    assert entry["contestants"] == {}
    assert "not timed" in out.with_suffix(".md").read_text()
    monkeypatch.undo()
    assert command.main(["--out", str(out), "--stages", "kh_step", *quick]) == 0  # it is not kept, but run again


def test_a_compiler_that_fails_only_takes_its_contestant_out(quick, tmp_path, monkeypatch):
    build = STAGES["kh_step"].build

    def without_a_compiler(workload):
        row = build(workload)

        def fails():
            raise RuntimeError("no C++ compiler\nand more")

        compiled = row.contestants["compiled"]._replace(parts=(Part(fails),))
        return row._replace(contestants={**row.contestants, "compiled": compiled})

    monkeypatch.setitem(STAGES, "kh_step", STAGES["kh_step"]._replace(build=without_a_compiler))
    out = tmp_path / "uncompiled"
    options = [option for option in quick if option != "--no-compile"]
    assert command.main(["--out", str(out), "--stages", "kh_step", *options]) == 0
    entry = read_json(out.with_suffix(".json"))["stages"]["kh_step"]
    assert "no C++ compiler" in entry["failures"]["compiled"]
    assert "compiled" not in entry["contestants"]

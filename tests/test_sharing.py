"""What the processes of a test run share."""

import os
import time
from types import SimpleNamespace

import pytest
import sharing
from slow_files import SLOW_FILES


def test_every_file_that_is_called_slow_is_there():
    assert len(set(SLOW_FILES)) == len(SLOW_FILES) > 0
    assert [path for path in SLOW_FILES if not path.is_file()] == []


def test_what_one_process_has_compiled_the_others_find_in_folders_of_their_own_once_it_is_whole(tmp_path, monkeypatch):
    compiled = tmp_path / "gw0" / "processor" / "program-cache"
    compiled.parent.mkdir(parents=True)
    compiled.write_text("machine code")
    monkeypatch.setattr(sharing, "WORKER", "gw1")
    own = sharing.compiled_programs(tmp_path)
    assert own == tmp_path / "gw1"
    found = own / "processor" / "program-cache"
    assert not found.exists()
    long_ago = time.time() - 2 * sharing.A_MOMENT
    os.utime(compiled, (long_ago, long_ago))
    for _ in range(2):
        assert sharing.compiled_programs(tmp_path) == own
        assert found.read_text() == "machine code"


def test_what_has_grown_too_large_is_dropped_before_the_workers_start(tmp_path, monkeypatch):
    compiled = tmp_path / "gw0" / "processor" / "program-cache"
    compiled.parent.mkdir(parents=True)
    compiled.write_text("machine code")
    monkeypatch.setattr(sharing, "LARGEST_BYTES", 3)
    monkeypatch.setattr(sharing, "WORKER", "gw0")
    sharing.compiled_programs(tmp_path)
    assert compiled.exists()
    monkeypatch.setattr(sharing, "WORKER", "")
    sharing.compiled_programs(tmp_path)
    assert not compiled.exists()


@pytest.mark.parametrize("worker", ["", "gw1"])
def test_work_for_all_is_done_once_and_again_where_it_failed(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "WORKER", worker)
    base = tmp_path / "run" / "popen-gw1"
    base.mkdir(parents=True)
    factory, calls = SimpleNamespace(getbasetemp=lambda: base), []

    def make(folder):
        calls.append(folder)
        if len(calls) == 1:
            raise ValueError("the first attempt fails")

    with pytest.raises(ValueError, match="first"):
        sharing.made_once(factory, "thing", make)
    for _ in range(2):
        assert sharing.made_once(factory, "thing", make) == (base.parent if worker else base) / "thing"
    assert len(calls) == 2

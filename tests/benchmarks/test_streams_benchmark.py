"""The benchmark of streams measures both loops and leaves nothing but its file."""

import pytest

from benchmarks import streams
from jax_bioadv.storage import read_json


def test_it_measures_and_leaves_its_file_alone(tmp_path, capsys):
    sizes = ["--images", "40", "--hidden", "6", "--batch-size", "10", "--batches", "2", "--rounds", "2"]
    assert streams.main([*sizes, "--folder", str(tmp_path), "--out", str(tmp_path / "out.json")]) == 0
    found = read_json(tmp_path / "out.json")
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert {name: len(seconds) for name, seconds in found["seconds"].items()} == {"stream": 2, "memory": 2}
    assert found["stored_gb"] == pytest.approx(40 * 64 * 64 * 3 / 1e9)
    assert f"{found['throughput_share']:.0%} of the throughput" in capsys.readouterr().out

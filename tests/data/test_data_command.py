import pytest

from jax_bioadv.data import read_export
from jax_bioadv.data.__main__ import main

pytestmark = pytest.mark.usefixtures("known_fingerprints")


def test_fetch_verify_and_export(tmp_path, tiny_cifar10, write_official, assert_same, capsys):
    write_official(tiny_cifar10, tmp_path / "data", "cifar-10-python.tar.gz")
    assert main(["verify", "--data-dir", str(tmp_path / "data")]) == 2
    assert "fetch it first" in capsys.readouterr().err
    assert main(["fetch", "--data-dir", str(tmp_path / "data")]) == 0
    assert main(["verify", "--data-dir", str(tmp_path / "data")]) == 0
    assert main(["export", "--data-dir", str(tmp_path / "data"), "--to", str(tmp_path / "other" / "cifar10")]) == 0
    assert tiny_cifar10.sha256 in capsys.readouterr().out
    assert_same(read_export(tmp_path / "other" / "cifar10"), tiny_cifar10)
    assert main(["verify", "cifar10", "--data-dir", str(tmp_path / "other")]) == 0


def test_a_fetch_that_can_keep_nothing_has_failed(tmp_path, tiny_cifar10, write_official, capsys):
    write_official(tiny_cifar10, tmp_path, "cifar-10-binary.tar.gz")
    (tmp_path / "cifar10-webp").write_text("in the way")
    assert main(["fetch", "--data-dir", str(tmp_path)]) == 2
    assert "there is no copy" in capsys.readouterr().err


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path):
    home = tmp_path / "home"
    assert main(["export", "digits", "--to=~/digits"]) == 0
    assert read_export(home / "digits").name == "digits"
    assert main(["verify", "digits", "--data-dir=~/elsewhere"]) == 0
    assert [path.name for path in home.iterdir()] == ["digits"]


def test_errors_are_one_message_without_a_traceback(tmp_path, capsys):
    assert main(["fetch", "cifar11", "--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: unknown data set 'cifar11'")


def test_digits_need_no_folder(tmp_path, capsys):
    assert main(["fetch", "digits", "--data-dir", str(tmp_path)]) == 0
    assert main(["export", "digits", "--to", str(tmp_path / "digits")]) == 0
    assert "1500 training and 297 test images" in capsys.readouterr().out

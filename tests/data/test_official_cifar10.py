import os
import pickle

import pytest

from jax_bioadv.data import DataError
from jax_bioadv.data.cifar10 import OFFICIAL_PLACES, find_official, load_official


@pytest.mark.parametrize("place", OFFICIAL_PLACES)
def test_every_official_form_gives_the_same_images(tmp_path, tiny_cifar10, write_official, assert_same, place):
    path = write_official(tiny_cifar10, tmp_path, place)
    assert find_official(tmp_path) == path
    assert_same(load_official(path), tiny_cifar10)


def test_the_unpacked_folder_itself_may_be_named(tmp_path, tiny_cifar10, write_official):
    path = write_official(tiny_cifar10, tmp_path, "cifar-10-batches-py")
    assert find_official(path) == path
    assert find_official(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("place", [place for place in OFFICIAL_PLACES if place.endswith(".gz")])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_an_error(tmp_path, tiny_cifar10, write_official, place, kept):
    path = write_official(tiny_cifar10, tmp_path, place)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(DataError, match=r"not a whole official CIFAR-10 archive .* download it again"):
        load_official(path)


@pytest.mark.parametrize("place", ["cifar-10-batches-bin", "cifar-10-batches-py"])
def test_a_truncated_or_missing_batch_is_an_error(tmp_path, tiny_cifar10, write_official, place):
    folder = write_official(tiny_cifar10, tmp_path, place)
    batch = next(folder.glob("data_batch_3*"))
    os.truncate(batch, batch.stat().st_size // 2 - 1)
    with pytest.raises(DataError, match="not a whole"):
        load_official(folder)
    batch.unlink()
    with pytest.raises(DataError, match="data_batch_3"):
        load_official(folder)


class _Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["HOME"],)


def test_a_pickle_that_would_run_something_does_not(tmp_path, tiny_cifar10, write_official):
    folder = write_official(tiny_cifar10, tmp_path, "cifar-10-batches-py")
    (folder / "data_batch_1").write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(DataError, match=r"asks for posix\.mkdir"):
        load_official(folder)
    assert not os.path.exists(os.environ["HOME"])


@pytest.mark.parametrize("batch", [None, [1, 2], {b"data": [1, 2], b"labels": [0]}, {b"labels": [0]}])
def test_a_pickle_of_another_form_is_an_error(tmp_path, tiny_cifar10, write_official, batch):
    folder = write_official(tiny_cifar10, tmp_path, "cifar-10-batches-py")
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError, match="not a whole"):
        load_official(folder)

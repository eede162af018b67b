"""The real interface of TFDS, on mocked data or on a tiny official archive instead of a download."""

import http.server
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jax_bioadv.data import DataError, tensorflow_datasets_source
from jax_bioadv.data.reachable import probe_failures
from jax_bioadv.data.tensorflow_datasets_source import EXAMPLES, knows, load_from_tensorflow_datasets


@pytest.fixture
def reachable(monkeypatch):
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})


@pytest.fixture
def downloads_from(monkeypatch):
    """Let TFDS's downloader hand out a local folder as if it were the unpacked download."""

    def install(folder):
        monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda self, url: str(folder))

    return install


@pytest.mark.parametrize("name", EXAMPLES)
def test_image_classification_sets_are_read_by_name(tmp_path, reachable, name):
    with tfds.testing.mock_data(num_examples=3):
        dataset = load_from_tensorflow_datasets(name, tmp_path)
    info = tfds.builder(name).info
    assert dataset.train_images.shape == (3, *info.features["image"].shape)
    assert dataset.classes == info.features["label"].num_classes
    assert dataset.name == name
    assert "TensorFlow Datasets" in dataset.source
    assert list(tmp_path.iterdir()) == []


def test_cifar10_is_prepared_and_brought_back_into_the_official_order(
    tmp_path, tiny_cifar10, write_official, reachable, downloads_from, assert_same
):
    write_official(tiny_cifar10, tmp_path / "download", "cifar-10-batches-bin")
    downloads_from(tmp_path / "download")
    dataset = load_from_tensorflow_datasets("cifar10", tmp_path / "work")
    assert_same(dataset, tiny_cifar10)
    assert list((tmp_path / "work").iterdir()) == []


def test_what_tfds_prepared_before_is_read_without_any_probe(
    tmp_path, tiny_cifar10, write_official, downloads_from, assert_same
):
    write_official(tiny_cifar10, tmp_path / "download", "cifar-10-batches-bin")
    downloads_from(tmp_path / "download")
    builder = tfds.builder("cifar10")
    with tensorflow_datasets_source.without_tensorflow(builder):
        builder.download_and_prepare(file_format="array_record")
    # TFDS does shuffle: were it not so, sorting by id would be untested here.
    stored = np.array([record["image"] for record in builder.as_data_source(split="train")])
    assert not np.array_equal(stored, tiny_cifar10.train_images)
    assert_same(load_from_tensorflow_datasets("cifar10", tmp_path / "work"), tiny_cifar10)
    assert not (tmp_path / "work").exists()


def test_tensorflow_is_not_needed(tmp_path, reachable):
    with tfds.testing.mock_data(num_examples=1):
        load_from_tensorflow_datasets("cifar10", tmp_path)
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [("cats_vs_dogs", r"one fixed size.*folder by class"), ("imdb_reviews", "no image")],
)
def test_sets_that_do_not_fit_are_refused_before_any_download(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        load_from_tensorflow_datasets(name, tmp_path)


@pytest.fixture
def never_converted(monkeypatch):
    def convert(*arguments, **options):
        raise AssertionError("images were converted before the set was refused")

    monkeypatch.setattr(tfds.core.split_builder.SplitBuilder, "submit_split_generation", convert)


@pytest.mark.parametrize("known", ["before the download", "after it"])
@pytest.mark.parametrize("splits", [("train",), ("test",), ("train", "unlabelled")])
def test_a_set_without_test_images_is_refused_before_it_is_prepared(
    tmp_path, monkeypatch, tiny_cifar10, write_official, reachable, downloads_from, never_converted, known, splits
):
    write_official(tiny_cifar10, tmp_path / "download", "cifar-10-batches-bin")
    builder = type(tfds.builder("cifar10"))
    make = builder._split_generators
    if known == "after it":
        downloads_from(tmp_path / "download")
        monkeypatch.setattr(
            builder, "_split_generators", lambda self, manager: dict.fromkeys(splits, make(self, manager)["train"])
        )
    else:
        monkeypatch.setattr(tfds.core.DatasetInfo, "splits", property(lambda self: dict.fromkeys(splits)))
    with pytest.raises(DataError, match=f"has the splits {', '.join(sorted(splits))} in TFDS"):
        load_from_tensorflow_datasets("cifar10", tmp_path / "work")
    assert not list(tmp_path.glob("work/*"))


def test_an_unreachable_site_fails_at_once_with_its_reason(tmp_path):
    start = time.monotonic()
    with pytest.raises(DataError, match=r"www\.cs\.toronto\.edu/ cannot be reached: tests have no network"):
        load_from_tensorflow_datasets("cifar10", tmp_path)
    assert time.monotonic() - start < tensorflow_datasets_source.PROBE_SECONDS


def test_a_download_that_breaks_is_a_data_error_and_leaves_nothing(tmp_path, monkeypatch, reachable):
    def break_off(self, url):
        raise ConnectionResetError("connection reset")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", break_off)
    with pytest.raises(DataError, match="TFDS could not prepare cifar10: ConnectionResetError"):
        load_from_tensorflow_datasets("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_are_known_without_the_network():
    assert all(knows(name) for name in EXAMPLES)
    assert knows("emnist/letters")
    assert not knows("cifar11")


def test_a_name_server_that_hangs_does_not_hang_us(monkeypatch):
    release = threading.Event()

    def hang(*arguments, **options):
        release.wait(30.0)
        raise OSError("too late")

    monkeypatch.setattr("socket.getaddrinfo", hang)
    start = time.monotonic()
    failures = probe_failures({"http://hangs.example/"}, 0.2)
    release.set()
    assert failures == {"http://hangs.example/": "no answer within 0.2 s"}
    assert time.monotonic() - start < 5.0


@pytest.mark.parametrize(("status", "reached"), [(200, True), (404, True), (403, True), (503, False)])
def test_any_answer_of_the_site_itself_counts(monkeypatch, status, reached):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    monkeypatch.undo()  # a site on this very machine is no network
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            failures = probe_failures({f"http://127.0.0.1:{server.server_port}/"}, 10.0)
        finally:
            server.shutdown()
            thread.join()
    assert bool(failures) != reached

"""The sets that this project knows by their official files: one record each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jax_bioadv.data import cifar10, cifar100, idx, svhn
from jax_bioadv.data.dataset import Dataset

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package ``dataset-fashion-mnist`` puts its files."""


@dataclass(frozen=True)
class Official:
    """A set in the form in which its authors give it away.

    Attributes:
        find: where its files are, below a folder or on this machine; ``None`` if nowhere.
        read: the data set from what was found.
        wanted: the names that are looked for.
        by_hand: how to get the files without this program.
        fingerprints: part to digest, as :mod:`jax_bioadv.data.fingerprints` has them; none where files alone are known.
    """

    find: Callable[[Path], Path | None]
    read: Callable[[Path], Dataset]
    wanted: tuple[str, ...]
    by_hand: str
    fingerprints: Mapping[str, str]


def _find_mnist(folder: Path) -> Path | None:
    return idx.find_idx((folder, folder / "mnist", folder / "MNIST" / "raw"))


def _find_fashion_mnist(folder: Path) -> Path | None:
    below = ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw")
    return idx.find_idx((folder, *(folder / one for one in below), DEBIAN_FASHION_MNIST))


_FOUR = tuple(f"{name}[.gz]" for name in idx.FILES)

OFFICIAL: Mapping[str, Official] = {
    "cifar10": Official(
        cifar10.find_official,
        cifar10.load_official,
        cifar10.OFFICIAL_PLACES,
        "download cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html by hand into",
        cifar10.FINGERPRINTS,
    ),
    "cifar100": Official(
        cifar100.find_official,
        cifar100.load_official,
        cifar100.OFFICIAL_PLACES,
        "download cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html by hand into",
        {},
    ),
    "mnist": Official(
        _find_mnist,
        partial(idx.load_idx, name="mnist", class_names=idx.DIGITS),
        _FOUR,
        "put the four files that Keras, TFDS or torchvision (as MNIST/raw) download into",
        idx.MNIST_FINGERPRINTS,
    ),
    "fashion_mnist": Official(
        _find_fashion_mnist,
        partial(idx.load_idx, name="fashion_mnist", class_names=idx.CLOTHES),
        _FOUR,
        "on Debian apt install dataset-fashion-mnist, or put the four files of "
        "https://github.com/zalandoresearch/fashion-mnist into",
        idx.FASHION_MNIST_FINGERPRINTS,
    ),
    "svhn_cropped": Official(
        svhn.find_official,
        svhn.load_official,
        tuple(svhn.MD5),
        "download the two files from http://ufldl.stanford.edu/housenumbers by hand into",
        {},
    ),
}

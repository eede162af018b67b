"""What all contestants get: sizes, images, labels and weights to start from, on the host."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_bioadv.data import load, unit_norm
from jax_bioadv.learning import krotov_hopfield, regularizers, supervised
from jax_bioadv.models import Network, logits_function

Precision = Literal["highest", "high", "default"]
CLASSES = 10
TRAINED_STEPS = 50
"""Of the network under attack, which shall meet real gradients."""


@dataclass(frozen=True)
class Sizes:
    """The published sizes; tests make them small."""

    hidden: int = 2000
    batch_size: int = 1000
    inputs: int = 3072
    images: int = 50_000
    """Training images, of which an epoch is made."""
    test_images: int = 10_000
    timed_batches: int = 5
    """Batches of an epoch that are timed."""
    attacked: int = 1000
    """Images under attack."""
    epsilons: int = 400
    every_fgsm: int = 20
    """Of the grid of ε, every so manieth is timed under Gaussian noise and FGSM."""
    every_pgd: int = 200
    """The same under PGD, every ε of which is 20 times the work."""
    searched: int = 200
    """Images, of those under attack, whose critical perturbations are searched for."""
    resolution: int = 100
    """Points along a side of the landscape."""
    members: int = 32
    """Krotov–Hopfield layers of at most 500 units in a population."""
    timed_rows: int = 8
    """Rows of the Jacobian that PyTorch is timed on, of as many as there are hidden units."""

    @property
    def batches(self) -> int:
        return self.images // self.batch_size

    def check(self) -> None:
        """Raise ValueError for sizes that do not fit together."""
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        if self.timed_batches > self.batches:
            raise ValueError(f"{self.images} images are {self.batches} batches, fewer than {self.timed_batches}")
        if self.attacked > self.test_images:
            raise ValueError(f"{self.attacked} images cannot be attacked, there are {self.test_images}")
        if self.searched > self.attacked:
            raise ValueError(f"--searched {self.searched} exceeds the {self.attacked} images under attack")
        if self.hidden > self.images:
            raise ValueError(f"the layer starts from training images: {self.images} are fewer than {self.hidden}")


class Weights(dict[str, np.ndarray]):
    """``kernel`` (inputs, hidden), ``decoder_kernel`` (hidden, classes) and ``decoder_bias``."""


@dataclass(frozen=True)
class Workload:
    """Images, each of L_3 norm 1, and integer labels."""

    sizes: Sizes
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    source: str
    precision: Precision = "highest"
    compile_mode: str | None = None
    """Of ``torch.compile``; None leaves it out."""

    @property
    def timed_images(self) -> np.ndarray:
        """The images of the batches that are timed."""
        return self.train_images[: self.sizes.timed_batches * self.sizes.batch_size]

    @property
    def timed_labels(self) -> np.ndarray:
        return self.train_labels[: self.sizes.timed_batches * self.sizes.batch_size]

    @property
    def epoch_share(self) -> float:
        """How many times the timed batches fit into an epoch."""
        return self.sizes.batches / self.sizes.timed_batches

    @property
    def timed_batches_in_words(self) -> str:
        return f"{self.sizes.timed_batches} of {self.sizes.batches} batches"

    def network(self, *, power: float = 1.0, batch_norm: bool = False) -> Network:
        """The untrained network, the same in every call with the same options."""
        rngs = nnx.Rngs(params=jax.random.key(1))
        sizes = self.sizes
        return Network(sizes.inputs, sizes.hidden, CLASSES, power=power, batch_norm=batch_norm, rngs=rngs)

    @cached_property
    def synapses(self) -> np.ndarray:
        """Rows of a Krotov–Hopfield layer, started from training images."""
        rule = krotov_hopfield.KrotovHopfield()
        state = krotov_hopfield.init(
            jax.random.key(2), rule, jnp.asarray(self.train_images), hidden=self.sizes.hidden, start="samples"
        )
        return np.asarray(state.synapses)

    @cached_property
    def trained_network(self) -> Network:
        """Trained by backpropagation on the timed batches for some steps."""
        optimizer = supervised.stepwise_adam([1e-3], [], self.sizes.timed_batches)
        graphdef, state = supervised.init(jax.random.key(3), self.network(), optimizer)
        epoch = supervised.make_epoch(graphdef, optimizer, batch_size=self.sizes.batch_size)
        data = regularizers.TrainingData(jnp.asarray(self.timed_images), jnp.asarray(self.timed_labels))
        for _ in range(-(-TRAINED_STEPS // self.sizes.timed_batches)):
            state, _ = epoch(state, data)
        return supervised.trained_model(graphdef, state)

    @cached_property
    def attacked(self) -> tuple[np.ndarray, np.ndarray]:
        """The first test images, with what the trained network takes them for, so that all count as correct."""
        images = self.test_images[: self.sizes.attacked]
        logits = jax.jit(lambda function, images: function(images))(logits_function(self.trained_network), images)
        return images, np.asarray(jnp.argmax(logits, axis=1), np.int32)


def weights_of(network: Any) -> Weights:
    """The network's weights on the host."""
    return Weights(
        kernel=np.asarray(network.encoder.kernel[...]),
        decoder_kernel=np.asarray(network.decoder.kernel[...]),
        decoder_bias=np.asarray(network.decoder.bias[...]),
    )


def make_workload(
    sizes: Sizes, *, synthetic: bool, data_dir: str | None, precision: Precision, compile_mode: str | None = None
) -> Workload:
    """CIFAR-10, or random images of its form.

    Raises:
        ValueError: sizes that do not fit together or the data.
    """
    sizes.check()
    if synthetic:
        generator = np.random.default_rng(0)
        images = unit_norm(generator.random((sizes.images + sizes.test_images, sizes.inputs), np.float32))
        labels = generator.integers(0, CLASSES, sizes.images).astype(np.int32)
        train, test = images[: sizes.images], images[sizes.images :]
        return Workload(sizes, train, labels, test, "random images", precision, compile_mode)
    dataset = load("cifar10", data_dir)
    for name, wanted, there in (
        ("inputs", sizes.inputs, dataset.inputs),
        ("images", sizes.images, len(dataset.train_images)),
        ("test-images", sizes.test_images, len(dataset.test_images)),
    ):
        if wanted > there or (name == "inputs" and wanted != there):
            raise ValueError(f"--{name} {wanted} does not fit CIFAR-10, which has {there}; or use --synthetic")
    labels = dataset.train_labels[: sizes.images].astype(np.int32)
    train, test = (
        unit_norm(images) for images in (dataset.train_images[: sizes.images], dataset.test_images[: sizes.test_images])
    )
    return Workload(sizes, train, labels, test, "CIFAR-10", precision, compile_mode)

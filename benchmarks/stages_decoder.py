"""An epoch of the hybrid's decoder on the frozen Krotov–Hopfield layer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import eager_training
from benchmarks.eager_network import EagerNetwork, batches_by_index, choose_device, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, relative
from benchmarks.stages_training import LOSS_TOLERANCE, RATE, UPDATE_TOLERANCE, OurTraining, contestant
from benchmarks.timing import Part
from benchmarks.workload import CLASSES, Sizes, Weights, Workload, weights_of
from jax_bioadv.learning import krotov_hopfield, supervised
from jax_bioadv.models import Network

POWER = 4.5
PUBLISHED_EPOCHS = 1000


def hybrid(workload: Workload) -> Network:
    """The network whose first layer is ``V = W |W|`` of the synapses."""
    network = workload.network(power=POWER)
    network.encoder.kernel[...] = krotov_hopfield.effective_weights(jnp.asarray(workload.synapses), 3.0).T
    return network


def _work(sizes: Sizes) -> Work:
    """The decoder's logits and weight gradient; the activations in, and their share of being computed once."""
    samples, decoder = sizes.batches * sizes.batch_size, sizes.hidden * CLASSES
    layer = 2.0 * samples * sizes.inputs * sizes.hidden / PUBLISHED_EPOCHS
    return Work(4.0 * samples * decoder + layer, 4.0 * (samples * sizes.hidden + sizes.batches * 6 * decoder))


def _frozen(network: EagerNetwork) -> EagerNetwork:
    network.kernel.requires_grad_(False)
    return network


def _lean(
    network: EagerNetwork, images: torch.Tensor, labels: torch.Tensor, batch_size: int, order: np.ndarray
) -> tuple[Any, Any]:
    """The lean contestant's two parts: activations, and an epoch on them."""
    optimizer = torch.optim.Adam(network.decoder.parameters(), lr=RATE, fused=True)

    def activations() -> torch.Tensor:
        with torch.no_grad():
            return network.activation(images @ network.kernel)

    features = activations()

    def epoch() -> float:
        total = torch.zeros((), device=images.device)
        for batch, wanted in batches_by_index(features, labels, batch_size, order):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network.decoder(batch), wanted)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total) / (len(order) // batch_size)

    return activations, epoch


def build(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    network = hybrid(workload)
    weights = Weights(weights_of(network))
    images = jnp.asarray(workload.timed_images)
    activation = jax.jit(lambda kernel, images: _activation(workload, kernel, images))
    kernel = network.encoder.kernel[...]
    features = activation(kernel, images)
    ours = OurTraining(workload, model=supervised.FrozenFeatures(network.decoder), images=features)
    eager, lean = (_frozen(EagerNetwork(weights, device, power=POWER)) for _ in range(2))
    their_images = tensor(workload.timed_images, device)
    their_labels = tensor(workload.timed_labels, device).long()
    optimizer = torch.optim.Adam(eager.decoder.parameters(), lr=RATE)
    batches = loader(their_images, their_labels, sizes.batch_size, ours.order)
    lean_activations, lean_epoch = _lean(lean, their_images, their_labels, sizes.batch_size, ours.order)
    once = workload.epoch_share / PUBLISHED_EPOCHS
    contestants = {
        "eager": contestant(
            workload, "eager", finished(lambda: eager_training.train(eager, optimizer, batches), device)
        ),
        "lean": contestant(
            workload,
            "lean",
            finished(lean_epoch, device),
            Part(finished(lean_activations, device), once),
            label="lean eager PyTorch: activations once, as ours",
        ),
        "ours": contestant(
            workload, "ours", ours.run, Part(lambda: jax.block_until_ready(activation(kernel, images)), once)
        ),
    }

    def agree(results: Results) -> list[Check]:
        state_and_info = results["ours"][0]
        before, info = weights["decoder_kernel"], state_and_info[1]
        after = np.asarray(ours.trained(state_and_info).decoder.kernel[...])
        losses = {"eager": np.mean(results["eager"][0].cross_entropy), "lean": results["lean"][0]}
        checks = []
        for name, theirs in (("eager", eager), ("lean", lean)):
            checks.append(Check(f"cross-entropy, {name}", relative(info.cross_entropy, losses[name]), LOSS_TOLERANCE))
            change = theirs.weights()["decoder_kernel"] - before
            checks.append(Check(f"change of the decoder, {name}", relative(after - before, change), UPDATE_TOLERANCE))
        return checks

    note = (
        "Eager PyTorch passes every batch through the frozen layer (its V = W|W|, without gradients, is computed once; "
        "the published code computes it in every pass), then ReLU^4.5. Ours and the lean one train on activations that "
        f"are computed once per training; 1/{PUBLISHED_EPOCHS} of that is in their epoch."
    )
    return Row(contestants, agree, _work(sizes), note)


def _activation(workload: Workload, kernel: jax.Array, images: jax.Array) -> jax.Array:
    network = workload.network(power=POWER)
    network.encoder.kernel[...] = kernel
    return network.activation(images)


STAGES = {"decoder_epoch": Stage("decoder on the frozen layer, epoch", build)}

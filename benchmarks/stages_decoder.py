"""An epoch of the hybrid's decoder on the frozen Krotov–Hopfield layer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import eager_training
from benchmarks.eager_network import EagerNetwork, batches_by_index, choose_device, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, present, relative
from benchmarks.stages_training import LOSS_TOLERANCE, RATE, UPDATE_TOLERANCE, OurTraining, contestant
from benchmarks.timing import Part
from benchmarks.torch_compile import compiled
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


def _same(
    workload: Workload,
    network: EagerNetwork,
    images: torch.Tensor,
    labels: torch.Tensor,
    order: np.ndarray,
    *,
    compile_it: bool,
) -> tuple[Any, Any]:
    """The two parts of our algorithm in PyTorch: activations, and an epoch on them."""
    optimizer = torch.optim.Adam(network.decoder.parameters(), lr=RATE, fused=True)
    batch_size = workload.sizes.batch_size

    def entropy(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(network.decoder(features), labels)

    loss_function = compiled(entropy, workload.compile_mode) if compile_it else entropy

    def activations() -> torch.Tensor:
        with torch.no_grad():
            return network.activation(images @ network.kernel)

    features = activations()

    def epoch() -> float:
        total = torch.zeros((), device=images.device)
        for batch, wanted in batches_by_index(features, labels, batch_size, order):
            optimizer.zero_grad()
            loss = loss_function(batch, wanted)
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
    eager, same, fused = (_frozen(EagerNetwork(weights, device, power=POWER)) for _ in range(3))
    their_images = tensor(workload.timed_images, device)
    their_labels = tensor(workload.timed_labels, device).long()
    optimizer = torch.optim.Adam(eager.decoder.parameters(), lr=RATE)
    batches = loader(their_images, their_labels, sizes.batch_size, ours.order)
    parts = {
        "same": _same(workload, same, their_images, their_labels, ours.order, compile_it=False),
        "compiled": _same(workload, fused, their_images, their_labels, ours.order, compile_it=True),
    }
    once = workload.epoch_share / PUBLISHED_EPOCHS
    contestants = {
        "eager": contestant(
            workload, "eager", finished(lambda: eager_training.train(eager, optimizer, batches), device)
        ),
        **{
            name: contestant(workload, name, finished(epoch, device), Part(finished(activations, device), once))
            for name, (activations, epoch) in parts.items()
        },
        "ours": contestant(
            workload, "ours", ours.run, Part(lambda: jax.block_until_ready(activation(kernel, images)), once)
        ),
    }

    def agree(results: Results) -> list[Check]:
        state_and_info = results["ours"][0]
        before, info = weights["decoder_kernel"], state_and_info[1]
        after = np.asarray(ours.trained(state_and_info).decoder.kernel[...])
        networks, checks = {"eager": eager, "same": same, "compiled": fused}, []
        for name in present(results, *networks):
            theirs, value = networks[name], results[name][0]
            loss = np.mean(value.cross_entropy) if name == "eager" else value
            checks.append(Check(f"cross-entropy, {name}", relative(info.cross_entropy, loss), LOSS_TOLERANCE))
            change = theirs.weights()["decoder_kernel"] - before
            checks.append(Check(f"change of the decoder, {name}", relative(after - before, change), UPDATE_TOLERANCE))
        return checks

    note = (
        "Eager PyTorch passes every batch through the frozen layer (its V = W|W|, without gradients, is computed once; "
        "the published code computes it in every pass), then ReLU^4.5. Our algorithm trains on activations that are "
        f"computed once per training; 1/{PUBLISHED_EPOCHS} of that is in its epoch."
    )
    return Row(contestants, agree, _work(sizes), note)


def _activation(workload: Workload, kernel: jax.Array, images: jax.Array) -> jax.Array:
    network = workload.network(power=POWER)
    network.encoder.kernel[...] = kernel
    return network.activation(images)


STAGES = {"decoder_epoch": Stage("decoder on the frozen layer, epoch", build)}

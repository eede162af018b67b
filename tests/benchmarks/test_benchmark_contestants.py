"""PyTorch against this library: every contestant does what ours does, so that each is an oracle for the other."""
# ruff: noqa: E402

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

torch = pytest.importorskip("torch")

from torch_threads import one_torch_thread

from benchmarks import eager_analysis, eager_attacks, eager_training, stages_spectral
from benchmarks.eager_network import EagerNetwork, GivenOrder, batches_by_index, loader
from benchmarks.stages_decoder import hybrid
from benchmarks.workload import weights_of
from experiments.settings.presets import PRESETS
from jax_bioadv import attacks
from jax_bioadv.analysis import boundaries
from jax_bioadv.analysis.critical import critical_search
from jax_bioadv.analysis.robustness import critical_perturbations, epsilon_grid, epsilon_sweep
from jax_bioadv.jacobian import activation_jacobian_norms
from jax_bioadv.learning import krotov_hopfield, regularizers
from jax_bioadv.models import Network, logits_function

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.manual_seed(0)
    with one_torch_thread():
        yield


def random_weights(inputs=7, hidden=5, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "kernel": generator.normal(size=(inputs, hidden)).astype(np.float32),
        "decoder_kernel": generator.normal(size=(hidden, 3)).astype(np.float32),
        "decoder_bias": generator.normal(size=3).astype(np.float32),
    }


def our_network(weights, **options):
    inputs, hidden = weights["kernel"].shape
    network = Network(inputs, hidden, weights["decoder_kernel"].shape[1], rngs=nnx.Rngs(0), **options)
    network.encoder.kernel[...] = jnp.asarray(weights["kernel"])
    network.decoder.kernel[...] = jnp.asarray(weights["decoder_kernel"])
    network.decoder.bias[...] = jnp.asarray(weights["decoder_bias"])
    return network


def some_images(count, inputs, seed=1):
    return np.random.default_rng(seed).random((count, inputs), np.float32)


@pytest.mark.parametrize("power", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_networks_are_the_same_function(power, batch_norm):
    weights, images = random_weights(), some_images(9, 7)
    theirs = EagerNetwork(weights, CPU, power=power, batch_norm=batch_norm).train()
    ours = our_network(weights, power=power, batch_norm=batch_norm)
    with torch.no_grad():
        logits, preactivation = theirs(torch.from_numpy(images))
    np.testing.assert_allclose(ours(jnp.asarray(images), train=True), logits, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(ours.preactivation(jnp.asarray(images)), preactivation, rtol=1e-5, atol=1e-5)
    assert all(np.array_equal(theirs.weights()[name], weights[name]) for name in weights)


@pytest.mark.parametrize("form", ["krotov_hopfield", "lean_krotov_hopfield", "scattered_krotov_hopfield"])
def test_their_steps_sum_our_increments_of_single_images(form):
    rule, images = krotov_hopfield.KrotovHopfield(), some_images(11, 7)
    synapses = np.random.default_rng(2).normal(size=(6, 7)).astype(np.float32)
    total = sum(krotov_hopfield.increment(rule, jnp.asarray(synapses), jnp.asarray(image)) for image in images)
    wanted = synapses + 0.02 * np.asarray(total) / np.abs(total).max()
    by_rows = form.startswith("scattered")
    start = torch.tensor(synapses if by_rows else synapses.T)
    made = getattr(eager_training, f"{form}_step")(start, torch.from_numpy(images), 0.02)
    made = start if made is None else made  # in place, as published
    np.testing.assert_allclose(made if by_rows else made.T, wanted, atol=1e-6)


def penalty_and_gradient(penalty, weights, images, **options):
    network = EagerNetwork(weights, CPU, **options)
    batch = torch.tensor(images, requires_grad=True)
    value = penalty(network, batch, network(batch)[1])
    value.backward()
    return float(value.detach()), network.kernel.grad.numpy()


def our_penalty_and_gradient(regularizer, weights, images, aux=None):
    def value(kernel):
        network = our_network({**weights, "kernel": kernel})
        batch = regularizers.Batch(images, jnp.zeros(len(images), jnp.int32), network.preactivation(images))
        return regularizer.penalty(network, batch, aux, jax.random.key(0))

    return jax.value_and_grad(value)(jnp.asarray(weights["kernel"]))


def test_projections_along_a_whole_basis_are_our_exact_jacobian_penalty():
    weights, images = random_weights(), some_images(4, 7)
    basis = [torch.eye(5)[unit].expand(4, 5) for unit in range(5)]
    theirs = penalty_and_gradient(eager_training.projected_jacobian(0.3, 5, basis), weights, images)
    ours = our_penalty_and_gradient(regularizers.jacobian(0.3), weights, jnp.asarray(images))
    np.testing.assert_allclose(theirs[0], ours[0], rtol=1e-5)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=1e-4, atol=1e-6)


def test_their_exact_jacobian_penalty_is_ours():
    weights, images = random_weights(), some_images(4, 7)
    theirs = penalty_and_gradient(eager_training.exact_jacobian(0.3), weights, images)
    ours = our_penalty_and_gradient(regularizers.jacobian(0.3), weights, jnp.asarray(images))
    np.testing.assert_allclose(theirs[0], ours[0], rtol=1e-6)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=1e-6)


def test_random_projections_are_unbiased_within_their_own_error():
    weights, images = random_weights(), some_images(400, 7)
    exact = float(np.sum(weights["kernel"] ** 2))
    gram = weights["kernel"].T @ weights["kernel"]
    relative_variance = 2 / 7 * (5 * np.sum(gram**2) / np.trace(gram) ** 2 - 1)
    value, _ = penalty_and_gradient(eager_training.projected_jacobian(1.0, 3), weights, images)
    assert abs(value / exact - 1) < 5 * np.sqrt(relative_variance / (3 * 400))


@pytest.mark.parametrize("projected", [False, True])
def test_spectral_penalties_and_gradients_are_ours(projected):
    weights, images = random_weights(), some_images(40, 7)
    covariance = regularizers.image_covariance(jnp.asarray(images))
    regularizer = regularizers.spectral(0.7, 1.3, 1, 0.5)
    data = regularizers.TrainingData(jnp.asarray(images), jnp.zeros(40, jnp.int32), covariance)
    aux = regularizer.refresh(our_network(weights), data)
    penalty = eager_training.SpectralPenalty(0.7, 1.3, 0.5, projected=projected)
    network = EagerNetwork(weights, CPU)
    if projected:
        vectors = penalty.refresh_from(network, torch.from_numpy(np.array(covariance)))
    else:
        vectors = penalty.refresh(network, loader(torch.from_numpy(images), torch.zeros(40), 16))
    np.testing.assert_allclose(np.abs(np.sum(np.asarray(aux.eigenvectors) * vectors.numpy(), axis=0)), 1, atol=1e-4)
    theirs = penalty_and_gradient(penalty, weights, images)
    ours = our_penalty_and_gradient(regularizer, weights, jnp.asarray(images), aux)
    np.testing.assert_allclose(theirs[0], ours[0], rtol=1e-4)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=1e-3, atol=1e-3 * np.abs(ours[1]).max())


def test_their_orthogonal_iteration_is_ours_from_eigenvectors_of_other_weights():
    images = jnp.asarray(some_images(40, 7))
    data = regularizers.TrainingData(images, jnp.zeros(40, jnp.int32), regularizers.image_covariance(images))
    regularizer = regularizers.spectral(warm_start=True)
    start = regularizer.refresh(our_network(random_weights(seed=3)), data)
    ours = regularizer.renewed(start, our_network(random_weights()), data).eigenvectors
    penalty = eager_training.SpectralPenalty(1.0, 1.0, 1.0)
    penalty.eigenvectors = torch.tensor(np.array(start.eigenvectors))
    theirs = penalty.renew_from(EagerNetwork(random_weights(), CPU), torch.tensor(np.array(data.covariance)))
    assert np.abs(np.sum(np.asarray(ours * start.eigenvectors), axis=0)).min() < 0.9  # it has to turn
    np.testing.assert_allclose(np.abs(np.sum(np.asarray(ours) * theirs.numpy(), axis=0)), 1, atol=1e-4)


def test_attack_gradients_with_and_without_those_of_the_weights_are_the_same():
    weights, images = random_weights(), torch.from_numpy(some_images(6, 7))
    network, labels = EagerNetwork(weights, CPU), torch.tensor([0, 1, 2, 0, 1, 2])
    published = eager_attacks.published_gradient(network)(images, labels)
    assert network.kernel.grad is not None
    frozen = EagerNetwork(weights, CPU).requires_grad_(False)
    lean = eager_attacks.lean_gradient(lambda batch: frozen(batch)[0])(images, labels)
    assert frozen.kernel.grad is None
    torch.testing.assert_close(published, lean)


def test_the_whole_grid_by_pytorch_gives_the_critical_perturbations_of_our_sweep_and_our_search(workload):
    images, labels = workload.attacked
    network, logits = workload.trained_network, logits_function(workload.trained_network)
    theirs = EagerNetwork(weights_of(network), CPU)
    grid = epsilon_grid(1e-3, 0.1, 40)
    their_images, their_labels = torch.tensor(images), torch.tensor(labels).long()
    their_logits = lambda batch: theirs(batch)[0]  # noqa: E731
    attack = eager_attacks.pgd(eager_attacks.published_gradient(theirs))
    swept = eager_attacks.sweep(attack, their_logits, loader(their_images, their_labels, 16), grid)
    first = swept.success.argmax(axis=0)
    critical = np.where(swept.success.any(axis=0), swept.l2[first, np.arange(first.size)], np.inf)
    assert np.isfinite(critical).mean() > 0.5
    attack, key = attacks.pgd(steps=20), jax.random.key(0)
    ours = critical_perturbations(epsilon_sweep(attack, key, logits, images, labels, grid))
    found = critical_search(attack, key, logits, images, labels, grid)
    np.testing.assert_allclose(ours, critical, rtol=1e-4)
    np.testing.assert_allclose(found.l2, critical, rtol=1e-4)
    signs = eager_attacks.lean_gradient(their_logits)(their_images, their_labels).sign()
    evaluate = eager_attacks.ascent(eager_attacks.ascent_step(their_logits), their_logits)
    epsilon, l2 = eager_attacks.critical_search(evaluate, their_images, signs, their_labels, grid)
    np.testing.assert_allclose(epsilon, found.critical_epsilon, rtol=1e-6)
    np.testing.assert_allclose(l2, found.l2, rtol=1e-4)


def test_landscape_rows_of_the_hybrid_are_our_closed_form(workload):
    network = hybrid(workload)
    theirs = EagerNetwork(weights_of(network), CPU, power=network.power)
    points = torch.tensor(workload.test_images[:6])
    rows = eager_analysis.squared_jacobian_rows(theirs, points, range(workload.sizes.hidden))
    ours = activation_jacobian_norms(network.encoder.kernel[...], network.power, workload.test_images[:6])
    assert ours.min() > 0
    np.testing.assert_allclose(rows.sqrt(), ours, rtol=1e-4)
    np.testing.assert_allclose(eager_analysis.lean_squared_jacobian(theirs, points).sqrt(), ours, rtol=1e-4)


def test_the_hybrid_on_a_plane_is_our_landscape(workload):
    network, image = hybrid(workload), jnp.asarray(workload.test_images[0])
    directions = boundaries.random_plane(jax.random.key(0), image.size)
    ours = boundaries.landscape(network, image, directions, radius=2.0, resolution=5)
    theirs = EagerNetwork(weights_of(network), CPU, power=network.power).requires_grad_(False)
    geometry = (torch.tensor(np.array(array)) for array in (image, directions, ours.coordinates))
    norms, classes, confidence = eager_analysis.on_a_plane(theirs, *geometry)
    np.testing.assert_allclose(norms, ours.jacobian_norm.ravel(), rtol=1e-4)
    np.testing.assert_array_equal(classes, ours.predicted_class.ravel())
    np.testing.assert_allclose(confidence, ours.confidence.ravel(), rtol=1e-4)


def test_the_schedule_is_that_of_the_paper_preset():
    paper = PRESETS["paper"]
    theirs = (paper.backprop.epochs, paper.spectral.constant_epochs, paper.spectral.decay_epochs)
    assert theirs == (stages_spectral.EPOCHS, stages_spectral.CONSTANT_EPOCHS, stages_spectral.DECAY_EPOCHS)
    assert paper.spectral.refresh_every == stages_spectral.RENEW_EVERY
    assert paper.spectral.warm_start
    # As many as the learning rate, summed over the training, has moved the model.
    moved = 50 * (90 + np.exp(-np.arange(910) / 30.0).sum()) / 5 / 1000
    assert stages_spectral.renewals_per_epoch(50) == pytest.approx(moved, rel=1e-3)


def test_both_ways_to_make_batches_follow_the_given_order():
    images, labels = torch.arange(12.0)[:, None], torch.arange(12)
    order = np.random.default_rng(0).permutation(12)
    for batches in (loader(images, labels, 5, order), batches_by_index(images, labels, 5, order)):
        seen = [(batch[:, 0].tolist(), wanted.tolist()) for batch, wanted in batches]
        assert seen == [(list(map(float, order[i : i + 5])), order[i : i + 5].tolist()) for i in (0, 5)]
    assert len(GivenOrder(order)) == 12

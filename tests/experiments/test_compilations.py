"""A training is traced, and so compiled, once for all seeds, all models of one program and all chunks of a shape."""

import dataclasses

import jax
import pytest
from sweep_cases import run_sweep

from experiments.engine.ledger import Ledger
from experiments.settings.paths import with_settings
from experiments.settings.presets import PRESETS
from experiments.training import networks
from jax_bioadv import population
from jax_bioadv.learning import krotov_hopfield


@pytest.fixture
def count(monkeypatch):
    """Counts the calls of a function, which are traces where compiled code makes them."""

    def counted(module, name):
        calls, original = [], getattr(module, name)

        def wrapper(*arguments, **options):
            calls.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, wrapper)
        return calls

    return counted


def test_seeds_and_models_of_one_program_are_traced_once(plan_of, tmp_path, count):
    models = "kh,kh_start,kmeans,random,bp,bp_matched"
    little = {"hidden": 11, "models": models, "layer.epochs": 1, "decoder.epochs": 2, "backprop.epochs": 2}
    settings = with_settings(PRESETS["smoke"], little)
    plan, ledger = plan_of(settings), Ledger(tmp_path)
    epochs, layers = count(networks.supervised, "make_epoch"), count(krotov_hopfield, "minibatch_step")
    for seed in (0, 1):
        for model in plan.models:
            assert ledger.complete(plan.model(model, seed)).diverged is None
    assert len(epochs) == 2, "decoders on features, and backpropagation"
    assert len(layers) == 1


def test_a_network_is_trained_in_place(plan_of, tmp_path, monkeypatch):
    states, train = [], population.train

    def remembering(epoch, state, *arguments, **options):
        states.append(state)
        return train(epoch, state, *arguments, **options)

    monkeypatch.setattr(population, "train", remembering)
    settings = dataclasses.replace(PRESETS["smoke"], hidden=11, models="bp")
    assert Ledger(tmp_path).complete(plan_of(settings).model("bp", 2)).diverged is None
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((states[0].parameters, states[0].optimizer)))


def test_chunks_of_one_size_are_traced_once(tmp_path, count, monkeypatch, no_figure):
    starts, epochs = count(networks, "_start"), count(networks.supervised, "make_epoch")
    monkeypatch.setattr(population, "members_that_fit", lambda *arguments: 2)
    # A size that no other test has, whose programs this process may have kept.
    options = ("--models", "bp", "--seeds", "4", "--measure", "spectra", "--backprop.batch-size", "90")
    assert run_sweep(tmp_path, *options) == (0, "")
    assert len(epochs) == 2, "for both chunks, and for one member, to see what it needs"
    assert len(starts) == 3, "also for the shapes of what a member starts from"

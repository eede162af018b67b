"""A training is traced, and so compiled, once for all seeds, all models of one program and all chunks of a shape."""

import dataclasses

import jax
import pytest
from sweep_cases import run_sweep

from experiments import sweep
from experiments.engine.ledger import Ledger
from experiments.plan import Plan
from experiments.settings.presets import PRESETS
from experiments.study import Study
from experiments.training import training
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


def test_seeds_and_models_of_one_program_are_traced_once(digits, tmp_path, count):
    settings = dataclasses.replace(PRESETS["smoke"], hidden=11, models="kh,kh_start,kmeans,random,bp,bp_matched")
    study = Study("smoke", settings, digits, tmp_path)
    plan, ledger = Plan(study), Ledger(tmp_path)
    epochs, layers = count(training.supervised, "make_epoch"), count(krotov_hopfield, "minibatch_step")
    for seed in (0, 1):
        for model in study.settings.model_names:
            assert ledger.complete(plan.model(model, seed)).diverged is None
    assert len(epochs) == 2, "decoders on features, and backpropagation"
    assert len(layers) == 1


def test_a_network_is_trained_in_place(digits, tmp_path, monkeypatch):
    states, train = [], training.train

    def remembering(epoch, state, *arguments, **options):
        states.append(state)
        return train(epoch, state, *arguments, **options)

    monkeypatch.setattr(training, "train", remembering)
    settings = dataclasses.replace(PRESETS["smoke"], hidden=11, models="bp")
    plan = Plan(Study("smoke", settings, digits, tmp_path))
    assert Ledger(tmp_path).complete(plan.model("bp", 2)).diverged is None
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((states[0].parameters, states[0].optimizer)))


def test_chunks_of_one_size_are_traced_once(tmp_path, count, monkeypatch):
    starts, epochs = count(training, "backprop_start"), count(training.supervised, "make_epoch")
    monkeypatch.setattr(population, "members_that_fit", lambda *arguments: 2)
    monkeypatch.setattr(sweep, "draw_sweep", lambda directory: [])
    assert run_sweep(tmp_path, "--models", "bp", "--seeds", "4", "--measure", "spectra") == (0, "")
    assert len(epochs) == 2, "for both chunks, and for one member, to see what it needs"
    assert len(starts) == 3, "also for the shapes of what a member starts from"

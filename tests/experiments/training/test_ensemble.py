"""Ensembles against separate runs, which are the oracle."""

import dataclasses

import numpy as np
import pytest
import torch

from lastiterate.experiments.training.ensemble import train_ensemble
from lastiterate.experiments.training.train import TrainingSettings, train
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules import cosine, linear


class InDouble:
    """A workload in double precision, in which rounding cannot be mistaken for a wrong formula."""

    def __init__(self, inner):
        self.inner = inner
        self.name, self.n_steps, self.optimizer = inner.name, inner.n_steps, inner.optimizer
        self.base_lrs, self.metric, self.higher_is_better = inner.base_lrs, inner.metric, inner.higher_is_better

    def build_model(self):
        return self.inner.build_model().double()

    def batch(self, seed, step):
        return tuple(part.double() if part.is_floating_point() else part for part in self.inner.batch(seed, step))

    def loss(self, model, batch):
        return self.inner.loss(model, batch)

    def evaluate(self, model):
        return {"loss": float(sum(value.detach().square().sum() for value in model.parameters()))}


def members(base_lrs, n_steps):
    pairs = [(linear(n_steps), seed) for seed in (0, 3)] + [(cosine(n_steps), 0)]
    return [(steps, base_lr, seed) for steps, seed in pairs for base_lr in base_lrs]


def check(workload, runs, rtol, **options):
    together = train_ensemble(workload, runs, **options)
    for result, (steps, base_lr, seed) in zip(together, runs, strict=True):
        alone = train(workload, steps, base_lr, seed, **options)
        assert (result.base_lr, result.seed, result.diverged_at) == (base_lr, seed, alone.diverged_at)
        for name in ("losses", "l1", "l2"):  # train keeps these in single precision, whatever the model's
            np.testing.assert_allclose(getattr(result, name), getattr(alone, name), rtol=max(rtol, 2e-6))
        assert result.final == pytest.approx(alone.final, rel=rtol)


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", "momentum", "sgd:momentum=0.9,nesterov=true,weight_decay=0.01", "adam", "adamw:weight_decay=0.3,beta1=0.8"],
)
def test_ensemble_vs_separate_runs_in_double_precision(optimizer):
    base_lrs = (0.001, 0.01) if optimizer.startswith("adam") else (0.01, 0.1)
    check(InDouble(load_workload("digits_mlp")), members(base_lrs, 40), 1e-8, optimizer=optimizer)


def test_ensemble_vs_separate_runs_in_single_precision():
    check(load_workload("digits_logistic"), members((0.1, 1.0), 60), 2e-5)


def test_clipping_acts_on_each_run_alone():
    settings = TrainingSettings(clip=0.5)
    check(InDouble(load_workload("digits_mlp")), members((0.03, 0.3), 40), 1e-8, settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    ["residual_net", "vision_transformer", "language_model:dropout=0.2", "masked_language_model", "recommendation",
     "mri_reconstruction", "detector", "linear_regression", "logistic_suite"],
)  # fmt: skip
def test_bundled_models_vectorise(spec):
    workload = load_workload(spec)
    base_lrs = workload.base_lrs[:2]
    check(InDouble(workload), [(linear(4), base_lr, seed) for base_lr in base_lrs for seed in (0, 1)], 1e-6)


def test_a_zero_learning_rate_leaves_its_run_in_place():
    workload = InDouble(load_workload("digits_mlp"))
    still, moving = train_ensemble(workload, [(np.zeros(5), 0.1, 0), (np.ones(5), 0.1, 0)])
    start = train(workload, [0.0], 0.1, 0)
    assert still.final == start.final
    assert moving.final != start.final


def test_a_diverging_run_does_not_disturb_the_others():
    workload = load_workload("digits_logistic")
    alone = train_ensemble(workload, [(linear(30), 0.3, 0)])[0]
    wild, calm = train_ensemble(workload, [(linear(30), 1e38, 0), (linear(30), 0.3, 0)])
    assert wild.diverged_at is not None
    assert wild.final == {}
    assert len(wild.losses) == wild.diverged_at
    assert calm.diverged_at is None
    np.testing.assert_allclose(calm.losses, alone.losses, rtol=1e-4)


def test_no_global_state_changes():
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train_ensemble(load_workload("digits_logistic"), [(linear(3), 0.3, 0)])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"members": []}, "members"),
        ({"members": [(linear(3), 0.1, 0), (linear(4), 0.1, 0)]}, "members"),
        ({"members": [(linear(3), -0.1, 0)]}, "base_lr"),
        ({"optimizer": "prodigy"}, "optimizer"),
        ({"settings": TrainingSettings(accumulate=2)}, "settings.accumulate"),
        ({"settings": TrainingSettings(precision="bf16")}, "settings.precision"),
        ({"workload": "lstm_language_model"}, "workload"),
    ],
)
def test_bad_input(change, argument):
    arguments = {"members": [(linear(3), 0.1, 0), (linear(3), 0.2, 0)], "workload": "digits_logistic", **change}
    with pytest.raises(InputError) as caught:
        train_ensemble(load_workload(arguments.pop("workload")), arguments.pop("members"), **arguments)
    assert caught.value.argument == argument


def test_users_dropout_is_refused():
    workload = load_workload("digits_mlp")
    inner = workload.make_model
    dropping = dataclasses.replace(
        workload, make_model=lambda: torch.nn.Sequential(torch.nn.Dropout(0.5), *inner().children())
    )
    with pytest.raises(InputError, match=r"torch\.func\.vmap"):
        train_ensemble(dropping, [(linear(3), 0.1, 0)])

"""Choosing learning rates on known responses, and what the cells train against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.experiments.evidence.averages import ARMS, _averages, average_weights
from lastiterate.experiments.evidence.cells import shape_of
from lastiterate.experiments.evidence.protocol import CHOSEN, Outcome, predicted_ratio, report, tune
from lastiterate.experiments.evidence.runners import runner_of
from lastiterate.experiments.evidence.workloads import workload_of

SHAPES = {name: shape_of(name, 8) for name in ("linear", "constant")}


class Response:
    """A loss that depends on the largest rate and the seed only; remembers which seeds it was asked for."""

    def __init__(self, loss):
        self.loss, self.seeds = loss, set()

    def __call__(self, rows, seeds, *, norms=False):
        self.seeds |= set(seeds)
        values = np.array([[self.loss(row.max()) + 1e-3 * seed for seed in seeds] for row in rows])
        return Outcome({CHOSEN: values, "test": values + 1.0})


@given(st.floats(-3.5, 3.5))
def test_tuned_rate_is_the_best_of_the_factors_of_two(best):
    run = Response(lambda lr: (np.log2(lr) - best) ** 2)
    choice = tune(run, SHAPES, dict.fromkeys(SHAPES, 1.0), [0, 1])["linear"]
    grid = np.arange(-8, 9)
    assert np.log2(choice.base_lr) == grid[np.argmin((grid - best) ** 2)]
    assert choice.inside
    assert {choice.base_lr / 2, choice.base_lr * 2} <= set(choice.tried)


def test_each_grid_starts_at_its_own_prediction():
    asked = []

    def run(rows, seeds, *, norms=False):
        asked.append(rows.max(axis=1).tolist())
        return Outcome({CHOSEN: np.square(np.log(rows.max(axis=1, keepdims=True)))})

    starts = {"linear": 1.0, "constant": 0.3}
    choices = tune(run, SHAPES, starts, [0])
    np.testing.assert_allclose(asked[0], [0.5, 1.0, 2.0, 0.15, 0.3, 0.6])
    assert {name: choice.predicted for name, choice in choices.items()} == starts


def test_grid_end_and_divergence():
    falling = tune(Response(lambda lr: -lr), SHAPES, dict.fromkeys(SHAPES, 1.0), [0])["linear"]
    assert not falling.inside
    assert len(falling.tried) == 7
    diverging = Response(lambda lr: np.nan if lr > 1.0 else -lr)
    choice = tune(diverging, SHAPES, dict.fromkeys(SHAPES, 1.0), [0])["linear"]
    assert (choice.base_lr, choice.inside) == (1.0, True)
    assert choice.tried[2.0] == np.inf


def test_rates_that_no_schedule_gives_are_not_chosen():
    def limited(base_lr):
        if base_lr > 0.5:
            raise li.InputError("base_lr", base_lr, "less")
        return base_lr * np.ones(8)

    choice = tune(Response(lambda lr: -lr), {"limited": limited}, {"limited": 1.0}, [0])["limited"]
    assert (choice.base_lr, choice.inside) == (0.5, True)


def test_reported_values_come_from_other_seeds():
    run = Response(lambda lr: abs(np.log2(lr)))
    choices = tune(run, SHAPES, dict.fromkeys(SHAPES, 1.0), [0, 1])
    assert run.seeds == {0, 1}
    found = report(run, SHAPES, choices, [7, 9])
    assert run.seeds == {0, 1, 7, 9}
    np.testing.assert_allclose(found["linear"]["test"], [1.007, 1.009])


@pytest.mark.parametrize("text", ["constant", "cosine", "wsd:cooldown=0.2", "polynomial:power=2"])
def test_predicted_ratio_of_a_resampled_schedule(text):
    """A coarse schedule predicts the ratio of the fine one within the factor of two of the grid, in fact within 10%."""
    n = 8000
    fine = li.tune_base_lr(li.schedules.parse(text, n)).base_lr / li.tune_base_lr(li.schedules.linear(n)).base_lr
    assert predicted_ratio(li.schedules.parse(text, n)) == pytest.approx(fine, rel=0.1)


def test_convex_runner_vs_plain_adam():
    """Full batches, so that a plain loop sees the same gradients; accuracy by hand."""
    run = runner_of("convex:dataset=iris,l2=1e-4", "adam")
    features, labels = run.features, run.labels
    rows = np.array([0.1 * li.schedules.linear(30), np.full(30, 0.05)])
    found = run(rows, [0, 1], norms=True)
    assert found.l1.shape == (2, 2, 30)
    np.testing.assert_array_equal(found.positions, np.arange(30))
    final = found.metrics["test"]
    np.testing.assert_allclose(found.metrics["gap"], final - run.problem.f_star)
    start = np.zeros((3, features.shape[1]))
    assert run.problem.value(start.ravel()) > final.max()
    rates = run(np.zeros((1, 5)) + 1e-12, [3]).metrics
    told = np.argmax(np.zeros((len(labels), 3)), axis=1) == labels
    assert rates["accuracy"].shape == (1, 1)
    assert rates["accuracy"][0, 0] >= 100.0 * told.mean() - 1e-9


@pytest.mark.parametrize("text", ["clicks:examples=400", "digits:noise=0.2", "logistic:dataset=iris", "characters"])
def test_workloads_of_the_study(text):
    from lastiterate.experiments.workloads.protocol import check_workload

    workload = check_workload(workload_of(text))
    assert workload.source
    rows = {tuple(map(float, torch.cat([c[:1].flatten() for c in part]))) for part in (workload.train,)}
    assert rows
    assert set(workload.evaluate(workload.build_model())) == {"loss", "validation", "test"}


def test_characters_are_held_out_in_blocks():
    """No held-out window occurs in the training data, and the parts have the sizes that they should have."""
    workload = workload_of("characters")
    known = {bytes(row.tolist()) for row in workload.train[0]}
    for part, count in ((workload.validation[0], 300), (workload.test[0], 600)):
        assert len(part) == count
        assert not any(bytes(row.tolist()) in known for row in part)


def test_label_noise_is_where_it_should_be():
    clean, noisy = workload_of("digits:noise=0"), workload_of("digits:noise=0.2")
    changed = (clean.train[1] != noisy.train[1]).double().mean()
    assert 0.14 < changed < 0.22
    for part in ("validation", "test"):
        assert torch.equal(getattr(clean, part)[1], getattr(noisy, part)[1])


@settings(max_examples=20)
@given(st.integers(20, 400), st.sampled_from(list(ARMS)))
def test_weights_of_averages(n, arm):
    weights = average_weights(arm, n)
    assert weights.shape == (n + 1,)
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert weights.min() >= 0.0
    assert weights[-1] > 0.0


def test_averages_vs_a_plain_loop():
    """One run of SGD with its iterates kept, averaged afterwards in double precision."""
    workload, n, rate, seed = workload_of("logistic:dataset=iris"), 40, 0.3, 5
    found = _averages(workload, "sgd", n, np.array([rate]), [seed])
    torch.manual_seed(seed)
    model = workload.build_model()
    iterates = [model.weight.detach().double().numpy().copy()]
    for step in range(n):
        loss = workload.loss(model, workload.batch(seed, step))
        (slope,) = torch.autograd.grad(loss, model.weight)
        with torch.no_grad():
            model.weight -= rate * slope
        iterates.append(model.weight.detach().double().numpy().copy())
    for arm in ARMS:
        weights = average_weights(arm, n)
        weights[0] = 0.0  # the start is zero for this problem, so that its weight does not matter
        average = np.tensordot(weights, np.stack(iterates), axes=1)
        model.weight.data = torch.tensor(average, dtype=torch.float32)
        assert found[arm]["test"][0, 0] == pytest.approx(workload.evaluate(model)["test"], rel=1e-4)

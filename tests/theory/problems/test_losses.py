"""The table of losses: every row against differences and its compiled form, and a new row without another edit."""

import math

import numpy as np
import pytest
from margin_references import called
from scipy import sparse

from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.losses import KINDS, LOSSES, Loss
from lastiterate.theory.problems.texts import parse_problem
from lastiterate.theory.schedules import linear
from lastiterate.theory.simulators.kernels.oracles import oracle_of, plain_oracle
from lastiterate.theory.simulators.simulate import _pack, simulate

SCALAR = [name for name, loss in LOSSES.items() if loss.scalar is not None]


def made(name, l2=0.1, layout=np.asarray):
    rng = np.random.default_rng(0)
    matrix, targets = rng.standard_normal((30, 4)), rng.standard_normal(30)
    if LOSSES[name].labels == "signs":
        targets = np.where(targets > 0, 1.0, -1.0)
    return problems.finite_sum(name, layout(matrix), targets, l2=l2)


@pytest.mark.parametrize("name", SCALAR)
def test_scalar_form_vs_numpy_form(name):
    margins = np.array([-700.0, -3.0, -0.5, 0.2, 1.0, 2.5, 700.0])
    for target in (-1.0, 1.0):
        targets = np.full(margins.size, target)
        values, slopes = zip(*(LOSSES[name].scalar(margin, target) for margin in margins), strict=True)
        np.testing.assert_allclose(values, LOSSES[name].values(margins, targets), rtol=1e-14)
        np.testing.assert_allclose(slopes, LOSSES[name].slopes(margins, targets), rtol=1e-14)


@pytest.mark.parametrize("name", SCALAR)
def test_slopes_vs_differences_and_bounds(name):
    loss, margins = LOSSES[name], np.linspace(-3.03, 3.05, 50)
    targets = np.ones(50)
    difference = (loss.values(margins + 1e-6, targets) - loss.values(margins - 1e-6, targets)) / 2e-6
    np.testing.assert_allclose(loss.slopes(margins, targets), difference, atol=1e-8)
    assert np.abs(loss.slopes(margins, targets)).max() <= loss.slope_bound
    change = np.diff(loss.slopes(margins, targets)) / np.diff(margins)
    assert change.max() <= loss.curvature * (1 + 1e-9)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("name", SCALAR)
def test_plain_oracle_vs_vector_kernel(name, layout):
    problem = made(name, layout=layout)
    x, rows = np.linspace(-1.0, 1.0, 4), np.array([3, 3, 7, 11, 29])
    for oracle in (plain_oracle(name, problem.sparse), oracle_of(name, problem.sparse, problem.dim)):
        values, index, target, params = _pack(problem)
        g = np.zeros(4)
        value = called(oracle, 0, x, rows, values, index, target, params, True, np.zeros(400), g)
        assert value == pytest.approx(problem.value(x, rows), rel=1e-13)
        np.testing.assert_allclose(g, problem.subgradient(x, rows), rtol=1e-12, atol=1e-14)


def pseudo_huber(margin, target):
    root = math.sqrt(1.0 + (margin - target) ** 2)
    return root - 1.0, (margin - target) / root


def test_a_new_row_is_all_that_a_loss_needs(monkeypatch):
    row = Loss(
        values=lambda m, b: np.sqrt(1.0 + (m - b) ** 2) - 1.0,
        slopes=lambda m, b: (m - b) / np.sqrt(1.0 + (m - b) ** 2),
        scalar=pseudo_huber,
        slope_bound=1.0,
        curvature=1.0,
        labels="numbers",
    )
    monkeypatch.setitem(LOSSES, "pseudo_huber", row)
    monkeypatch.setitem(KINDS, "pseudo_huber", 99)
    problem = made("pseudo_huber")
    assert problem.minimum.gap <= 1e-10
    run = simulate(problem, "sgd", "linear", n_steps=50, base_lr=0.3)
    x = problem.x0
    for step in 0.3 * linear(50):
        x = x - step * problem.subgradient(x)
    assert run.final.item() == pytest.approx(problem.value(x), rel=1e-12)
    assert run.gap.item() <= run.bound.item()


def test_every_loss_can_be_named_in_a_text():
    assert parse_problem("squared:diabetes").kind == "squared"


def test_an_unknown_kind_is_answered_with_each_kind_once():
    with pytest.raises(InputError) as caught:
        parse_problem("nope")
    listed = str(caught.value).partition("expected one of ")[2].partition(", got ")[0].split(", ")
    assert {"absolute", "logistic"} <= set(listed)
    assert len(listed) == len(set(listed))

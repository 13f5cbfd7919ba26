"""The order of bounds and gaps, and what the agreement figure trains, by a second route."""

import math
from itertools import permutations

import numpy as np
import pytest

from lastiterate.paper_figures.figures.agreement_training import (
    BATCH,
    LRS,
    SCHEDULES,
    check_training,
    order_agreement,
    train_one,
)
from lastiterate.paper_figures.machinery.testbed import convex_problem
from lastiterate.theory import schedules
from lastiterate.theory.simulators.simulate import simulate

scipy_stats = pytest.importorskip("scipy.stats")


def test_agreement_is_the_mean_of_scipys_tau_and_p_counts_relabellings():
    rng = np.random.default_rng(4)
    bounds, losses = rng.random((3, 5)), rng.random((3, 5))

    def mean_tau(order):
        return np.mean(
            [scipy_stats.kendalltau(b[list(order)], g).statistic for b, g in zip(bounds, losses, strict=True)]
        )

    tau, p = order_agreement(bounds, losses)
    taus = [mean_tau(order) for order in permutations(range(5))]
    assert tau == pytest.approx(mean_tau(range(5)), abs=1e-12)
    assert p == pytest.approx(np.mean(np.array(taus) >= taus[0] - 1e-9), abs=1e-12)


def test_cells_that_agree_for_one_reason_are_not_counted_as_many():
    order = np.arange(4.0)
    assert order_agreement(order[None], order[None]) == (1.0, 1.0 / 24.0)
    assert order_agreement(np.tile(order, (50, 1)), np.tile(order, (50, 1))) == (1.0, 1.0 / 24.0)
    assert order_agreement(order[None], -order[None]) == (-1.0, 1.0)


@pytest.mark.slow
def test_one_problem_gives_the_fresh_gaps_at_the_rate_that_other_seeds_choose():
    problem, n = convex_problem("l1 regression", 3), 100
    row = train_one(problem, n, seeds=2)["cosine"]
    shape = schedules.cosine(n)

    def gaps(lr, seeds):
        run = simulate(problem, "sgd", lr * shape, seeds=seeds, batch_size=BATCH, record=1, progress=False)
        return run.final[0, 0] - problem.f_star

    means = [np.log(gaps(lr, [0, 1, 2])).mean() for lr in LRS]
    assert row["base_lr"] == LRS[int(np.argmin(means))]
    assert row["log_gap"][-1] == pytest.approx(np.log(gaps(row["base_lr"], [100, 101])).mean(), rel=1e-12)
    draw = np.random.default_rng(3)
    matrix = draw.standard_normal((100, 20))
    targets = matrix @ draw.standard_normal(20) + draw.standard_normal(100)
    assert row["log_gap"][0] == pytest.approx(math.log(np.abs(targets).mean() - problem.f_star), rel=1e-9)


def _made_up(log_gap):
    """Rows in which every instance has these log gaps of a schedule, up to a little noise."""
    rng = np.random.default_rng(0)

    def cell():
        names = (*SCHEDULES, "linear, backwards")
        noisy = {text: (np.array(log_gap(text)) + 0.01 * rng.standard_normal(51)).tolist() for text in names}
        return {text: {"log_gap": row, "base_lr": 1.0, "inside": True} for text, row in noisy.items()}

    bounds = [[0.1 * (6 - k) for k in range(6)]] * 2
    rows = {kind: [[cell(), cell()] for _ in range(4)] for kind in ("l1 regression", "logistic regression")}
    return {"horizons": [400, 1600], "seeds": 8, "bounds": bounds, "rows": rows}


def _verdicts(data):
    names = ("drop", "helps", "order", "transfer", "constant", "backwards")
    return dict(zip(names, [check.passed for check in check_training(data)], strict=False))  # of the first kind


def test_checks_fail_where_schedules_do_not_differ():
    found = _verdicts(_made_up(lambda text: -np.arange(51) / 50.0))
    assert found == dict.fromkeys(found, False) | {"constant": True}


def test_checks_pass_where_gaps_do_as_the_bound():
    depth = {text: -float(k) for k, text in enumerate(SCHEDULES)} | {"linear, backwards": 1.0}

    def log_gap(text):
        late = np.clip(np.arange(51) - 40, 0, None) / 10.0  # the cooldown
        return depth[text] * (late if "wsd" in text else np.arange(51) / 50.0)

    found = _verdicts(_made_up(log_gap))
    assert found == dict.fromkeys(found, True) | {"transfer": False}  # all made-up rates are one


def test_a_fall_at_a_constant_rate_fails_the_control():
    late = np.clip(np.arange(51) - 40, 0, None) / 10.0
    assert not _verdicts(_made_up(lambda text: -late))["constant"]

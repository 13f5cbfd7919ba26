"""What a fit advises: peaks, schedules, cooldowns, the next run."""

import numpy as np
import pytest
from loss_logs import log_of, steps_of

from lastiterate.experiments.forecast.fitting import fit_losses
from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.forecast.result import ForecastWarning
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.laws.protocol import Run
from lastiterate.theory.laws.registry import LAWS


@pytest.fixture(scope="module")
def fit():
    logs = [log_of(s, noise=3e-4, seed=i) for i, s in enumerate(("constant", "cosine", "wsd"))]
    return fit_losses([*logs, log_of("linear", noise=3e-4, peak=4e-4)], "norm_memory")


def test_compare_sorts_by_the_predicted_loss(fit):
    rows = fit.compare({shape: steps_of(shape) for shape in ("constant", "cosine", "wsd", "linear")})
    assert [float(row) for row in rows] == sorted(float(row) for row in rows)
    assert all(row.low < row.final < row.high for row in rows)
    assert rows[-1].name == "constant"
    with pytest.raises(InputError, match="schedules"):
        fit.compare({})


def test_final_is_the_end_of_the_curve(fit):
    steps = steps_of("wsd", 5000)
    assert fit.forecast(steps).final == pytest.approx(fit.predict(steps)[-1], rel=1e-10)


def test_best_schedule_is_feasible_and_better_than_all_shapes(fit):
    best = fit.best_schedule(1000, max_step=1e-3, warmup=50)
    assert best.steps.shape == (1000,)
    assert best.steps.max() <= 1e-3 * (1 + 1e-9)
    assert (np.diff(best.steps[50:]) <= 1e-15).all()
    np.testing.assert_allclose(best.steps[:50], best.steps[49] * np.arange(1, 51) / 50, rtol=1e-9)
    assert best.value == pytest.approx(fit.forecast(best.steps).final, rel=1e-12)
    shapes = ("constant", "cosine", "wsd", "linear")
    assert best.value < min(fit.forecast(steps_of(shape, 1000)).final for shape in shapes)


def test_best_schedule_obeys_a_prefix(fit):
    done = steps_of("constant", 2000)
    best = fit.best_schedule(2500, prefix=done)
    np.testing.assert_array_equal(best.steps[:2000], done)
    assert best.steps[-1] < 0.2 * best.steps[2000]


@pytest.mark.slow
@pytest.mark.parametrize("law", ["annealing", "multi_power", "functional", "exact", "theorem10"])
def test_best_schedule_of_every_law_beats_its_starts(law):
    own = law if law in ("annealing", "multi_power", "functional") else "functional"
    fit = fit_losses([log_of(s, own, n_steps=3000, noise=3e-4) for s in ("constant", "cosine", "wsd")], law)
    best = fit.best_schedule(1000)
    assert best.value <= min(fit.forecast(steps_of(s, 1000)).final for s in ("cosine", "wsd", "linear")) + 1e-9


def test_best_schedule_of_the_functional_law_has_the_known_shape():
    """For noise h and kernel exponent 1 + q the last part decays like (1 - z)^((1 + q) / (1 - q)), 2602.06797."""
    from lastiterate.experiments.forecast.best_schedule import minimise

    law, q, n = LAWS["functional"], 0.3, 4000
    theta = np.array([2.0, 0.0, 0.6, -1.0, 12.0, q])

    def value(steps):
        return law.final_gradient(theta, Run(steps))

    found = minimise(value, n, 1e-3, {"max_step": 0.1})
    z = np.arange(1, n + 1) / (n + 1.0)
    middle = (z > 0.3) & (z < 0.95)
    left = np.cumsum(found.steps[::-1])[::-1]  # intrinsic time that is left: h grows like its power p / 2
    logs = np.log(found.steps[middle])
    assert np.polyfit(np.log(left[middle]), logs, 1)[0] == pytest.approx((1.0 + q) / 2.0, rel=0.03)
    assert np.polyfit(np.log(1.0 - z[middle]), logs, 1)[0] == pytest.approx((1.0 + q) / (1.0 - q), rel=0.05)


def test_best_base_lr_is_a_minimum_and_outside_is_said():
    logs = [log_of(s, "functional", noise=3e-4, peak=p) for s in ("constant", "cosine") for p in (3e-4, 1e-3)]
    fit = fit_losses(logs, "functional")
    shape = 1.0 - np.arange(3000) / 3000.0
    with pytest.warns(ForecastWarning, match="ends at"):
        best = fit.best_base_lr(shape)
    losses = [fit.final(fit.run_of(factor * best * shape)) for factor in (0.98, 1.0, 1.02)]
    assert losses[1] <= min(losses[0], losses[2]) + 1e-9
    with pytest.raises(InputError, match="schedule"):
        fit.best_base_lr(np.zeros(3))


def test_annealed_now_is_lower_and_matches_the_run_that_cools_down(fit):
    rows = fit.annealed_now(0.25)
    assert [row.name for row in rows] == [log.name for log in fit.logs]
    row, log = rows[0], fit.logs[0]
    assert row.loss.shape == log.at.shape
    assert (row.loss[10:] < log.loss[10:]).all()
    n, length = int(row.at[-1]), int(row.n_cooldown[-1])
    ramp = 1.0 - np.arange(1, length + 1) / (length + 1.0)
    steps = np.concatenate([log.steps[:n], log.steps[n - 1] * ramp])
    assert row.loss[-1] == pytest.approx(LAWS["norm_memory"].curve(fit.theta, Run(steps, 0.1, 0.02))[-1], rel=1e-10)


def test_steps_saved_reaches_the_same_loss(fit):
    from lastiterate.experiments.forecast.planning import stretched

    linear, constant = steps_of("wsd"), steps_of("constant")
    saved = fit.steps_saved(linear, constant)
    assert 0.0 < saved < constant.size
    shorter = stretched(linear, round(constant.size - saved))
    assert fit.final(fit.run_of(shorter)) == pytest.approx(fit.final(fit.run_of(constant)), abs=1e-4)
    assert fit.steps_saved(constant, constant) == pytest.approx(0.0, abs=1.0)


def test_next_run_is_the_one_that_narrows_most():
    fit = fit_losses([log_of("constant", noise=3e-4), log_of("constant", noise=3e-4, n_steps=5000)], "norm_memory")
    candidates = [steps_of("constant", 6000), steps_of("wsd", 6000)]
    chosen = fit.next_run(candidates, target=steps_of("cosine", 6000))
    widths = []
    for shape in ("constant", "wsd"):
        more = fit_losses([*fit.logs, log_of(shape, noise=3e-4, seed=7)], "norm_memory")
        forecast = more.forecast(steps_of("cosine", 6000))
        widths.append(forecast.high - forecast.low)
    assert chosen == int(np.argmin(widths)) == 1
    with pytest.raises(InputError, match="candidates"):
        fit.next_run([])


def test_next_run_from_one_final_loss_on():
    names = [(s, n, p) for s in ("cosine", "wsd", "linear", "constant") for n in (2000, 4000) for p in (4e-4, 1e-3)]
    logs = [log_of(s, n_steps=n, peak=p, noise=2e-4, seed=i) for i, (s, n, p) in enumerate(names)]
    chosen = [0]
    while len(chosen) < 7:
        fit = fit_losses([logs[i] for i in chosen], "norm_memory", "final")
        rest = [i for i in range(len(logs)) if i not in chosen]
        chosen.append(rest[fit.next_run([logs[i].steps for i in rest])])
    fit = fit_losses([logs[i] for i in chosen], "norm_memory", "final")
    errors = [abs(fit.forecast(logs[i].steps).final - logs[i].loss[-1]) for i in range(len(logs)) if i not in chosen]
    assert np.mean(errors) < 3e-3


def test_distance_over_gradient_is_recovered():
    law = LAWS["exact"]
    theta = np.array([2.5, -0.5, 3.0, 0.6])
    logs = []
    for shape in ("constant", "cosine", "linear"):
        steps, at = steps_of(shape, 2000), np.arange(100, 2001, 50)
        logs.append(LossLog(steps, at, law.curve(theta, Run(steps))[at], weight_decay=0.0))
    fit = fit_losses(logs, "exact")
    assert fit.D_over_G == pytest.approx(np.exp(3.0) * 1e-3, rel=0.05)
    assert fit_losses(logs, "annealing").D_over_G == pytest.approx(fit.D_over_G)

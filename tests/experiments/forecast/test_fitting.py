"""Fits against laws whose parameters are known, and what a fit says of what it does not know."""

import numpy as np
import pytest
from loss_logs import THETA, log_of, steps_of

from lastiterate.experiments.forecast.fitting import fit_losses
from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.forecast.result import ForecastWarning, LossFit
from lastiterate.theory.base.validation import InputError


@pytest.fixture(scope="module")
def fit():
    logs = [log_of(shape, noise=5e-4, seed=i) for i, shape in enumerate(("constant", "cosine", "wsd"))]
    return fit_losses(logs, "norm_memory")


@pytest.mark.parametrize("law", sorted(THETA))
def test_losses_of_a_law_are_predicted_by_it(law):
    logs = [log_of(shape, law) for shape in ("constant", "cosine", "wsd")]
    logs.append(log_of("cosine", law, peak=5e-4))
    fit = fit_losses(logs, law)
    wanted = log_of("linear", law)
    with pytest.warns(ForecastWarning, match="ends at"):
        predicted = fit.predict(wanted.steps)
    assert predicted.shape == (6001,)
    np.testing.assert_allclose(predicted[wanted.at[4:]], wanted.loss[4:], atol=2e-3)


def test_parameters_are_recovered(fit):
    found = np.array(list(fit.parameters.values()))
    deviations = np.array(list(fit.deviations.values()))
    assert (np.abs(found - THETA["norm_memory"]) < 4.0 * deviations).all()


def test_finals_alone_fit_as_well():
    logs = [
        log_of(s, n_steps=n, peak=p) for s in ("cosine", "wsd", "constant") for n in (3000, 6000) for p in (5e-4, 1e-3)
    ]
    fit = fit_losses(logs, "norm_memory", "final")
    assert fit.forecast(steps_of("linear")).final == pytest.approx(log_of("linear").loss[-1], abs=2e-3)
    assert fit.score.left_out < 2e-3


def test_intervals_cover_runs_that_were_left_out():
    inside, width = [], []
    for seed in range(6):
        logs = [log_of(s, noise=1e-3, seed=10 * seed + i) for i, s in enumerate(("constant", "cosine", "wsd"))]
        fit = fit_losses(logs, "norm_memory")
        other = log_of("cosine", noise=1e-3, seed=10 * seed + 9, n_steps=5000)
        low, high = fit.interval(other.steps)[:, other.at[20:]]
        assert fit.interval(other.steps).shape == (2, 5001)
        inside.append((low < other.loss[20:]) & (other.loss[20:] < high))
        width.append(np.mean(high - low))
    assert 0.7 < np.mean(inside) < 0.97
    assert np.mean(width) < 0.02


def test_outliers_hardly_matter(fit):
    rng = np.random.default_rng(5)
    logs = []
    for log in fit.logs:
        loss = log.loss.copy()
        loss[rng.choice(loss.size, 5, replace=False)] *= 1.5
        logs.append(LossLog(log.steps, log.at, loss, 0.1, 0.02))
    spiky = fit_losses(logs, "norm_memory")
    steps = steps_of("cosine", 5000)
    np.testing.assert_allclose(spiky.predict(steps)[500:], fit.predict(steps)[500:], atol=4e-3)


def test_an_offset_between_groups(fit):
    logs = [*fit.logs, log_of("cosine", n_steps=5000, offset=0.3, group="other", noise=5e-4)]
    grouped = fit_losses(logs, "norm_memory")
    assert grouped.parameters["offset[other]"] == pytest.approx(0.3, abs=3e-3)
    steps = steps_of("cosine")
    np.testing.assert_allclose(grouped.predict(steps, group="other") - grouped.predict(steps), 0.3, atol=3e-3)
    with pytest.raises(InputError, match="group"):
        grouped.predict(steps, group="unknown")


def test_one_run_without_a_cooldown_says_what_is_missing():
    fit = fit_losses([log_of("constant", noise=5e-4)], "norm_memory")
    assert {"log_c", "q"} <= set(fit.unidentified)
    assert any("cools down" in note for note in fit.notes)
    assert any("one run alone" in note for note in fit.notes)
    assert np.isnan(fit.score.left_out)
    assert "not identified" in fit.report()


def test_extrapolation_is_said(fit):
    said = {
        key: fit.extrapolation(steps)
        for key, steps in {
            "inside": steps_of("cosine"),
            "peak": steps_of("cosine", peak=4e-3),
            "horizon": steps_of("cosine", 20_000),
            "rewarmed": np.concatenate([steps_of("cosine", 3000), steps_of("cosine", 3000)]),
        }.items()
    }
    assert said["inside"] == ()
    assert "peak 0.004" in said["peak"][0]
    assert "times the longest" in said["horizon"][0]
    assert "rises again" in said["rewarmed"][0]
    with pytest.warns(ForecastWarning, match="peak"):
        fit.interval(steps_of("cosine", peak=4e-3))
    inside, outside = fit.forecast(steps_of("cosine")), fit.forecast(steps_of("cosine", peak=4e-3))
    assert outside.high - outside.low > 2.0 * (inside.high - inside.low)


def test_auto_keeps_the_physical_law_where_weights_decay():
    fit = fit_losses([log_of(s, noise=5e-4, seed=i) for i, s in enumerate(("constant", "cosine", "wsd"))])
    assert fit.law == "norm_memory"
    assert len(fit.scores) == 8
    assert all(np.isfinite([s.in_sample, s.left_out, s.tail]).all() for s in fit.scores)


@pytest.mark.slow
def test_auto_takes_another_law_that_wins_clearly():
    logs = [log_of(s, "annealing", noise=1e-4, seed=i) for i, s in enumerate(("constant", "cosine", "wsd", "linear"))]
    assert fit_losses(logs).law == "annealing"


@pytest.mark.slow
def test_auto_without_decay_leaves_the_norm_out():
    logs = [LossLog(log.steps, log.at, log.loss, weight_decay=0.0) for log in (log_of("constant"), log_of("wsd"))]
    fit = fit_losses(logs)
    assert "norm_memory" not in {score.law for score in fit.scores}


def test_unknown_decay_is_assumed_and_said():
    logs = [LossLog(log.steps, log.at, log.loss) for log in (log_of("constant"), log_of("wsd"))]
    fit = fit_losses(logs, "norm_memory")
    assert any("assumed" in note for note in fit.notes)
    assert fit.logs[0].weight_decay == 0.1


def test_prediction_at_the_start_is_finite(fit):
    steps = np.concatenate([np.zeros(3), steps_of("cosine")])
    predicted = fit.predict(steps)
    assert np.isfinite(predicted).all()
    assert (predicted[:4] == predicted[0]).all()


def test_save_and_load(fit, tmp_path):
    fit.save(tmp_path / "fit.npz")
    loaded = LossFit.load(tmp_path / "fit.npz")
    steps = steps_of("cosine", 5000)
    np.testing.assert_allclose(loaded.predict(steps), fit.predict(steps), rtol=1e-12)
    np.testing.assert_allclose(loaded.interval(steps), fit.interval(steps), rtol=1e-9)
    assert loaded.parameters == fit.parameters
    with pytest.raises(InputError, match="npz"):
        fit.save(tmp_path / "fit.json")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="path"):
        LossFit.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ([], {}, "logs"),
        ([3], {}, "logs"),
        ([log_of("constant")], {"law": "best"}, "law"),
        ([log_of("constant")], {"on": "points"}, "on"),
        ([LossLog([1.0] * 9, [9], [1.0])], {"law": "norm_memory"}, "weight_decay"),
    ],
)
def test_bad_input(arguments, options, name):
    with pytest.raises(InputError) as error:
        fit_losses(arguments, **options)
    assert error.value.argument == name


def test_repr_is_short(fit):
    assert len(repr(fit)) < 120

"""Every number of the limits of a refinement, written out in plain loops as the docstrings have it."""

import dataclasses
import math
import statistics
import warnings

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.optimal.refinement import RefinementWarning, smooth_norms

POWER = {"sgd": 2, "adam": 1}


def quiet(norms, rule="sgd", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        return li.refine(norms, rule, **options)


def rough(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.linspace(2.0, 1.0, n) * rng.lognormal(0.0, 0.3, n)


class Recorded(list):
    """Norms with what a file of norms brings along."""

    def __init__(self, norms, **known):
        super().__init__(norms)
        vars(self).update(known)


def literal_ends(norms):
    """Median of the first and of the last 5% over that of the middle half."""
    n = len(norms)
    count, quarter = max(round(0.05 * n), 1), n // 4
    middle = statistics.median(norms[quarter : n - quarter] or [norms[quarter]])
    return statistics.median(norms[:count]) / middle, statistics.median(norms[n - count :]) / middle


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 29, 30, 31, 200])
def test_ends_of_the_norms(n):
    norms = rough(n, seed=2 * n).tolist()
    limits = li.norm_limits(norms)
    assert (limits.start, limits.end) == pytest.approx(literal_ends(norms), rel=1e-12)


def test_share_of_clipped_norms():
    norms = [1.0, 2.0, 2.0 * (1 - 0.9e-4), 2.0 * (1 - 1.1e-4), 1.5, 1.0, 1.0, 1.0]
    assert li.norm_limits(norms).clipped == 2 / 8
    assert li.norm_limits([2.0, 2.0]).clipped == 0.0
    assert li.norm_limits([2.0]).clipped == 0.0


@pytest.mark.parametrize(
    ("positions", "gap"),
    [
        (None, 1 / 4),
        ([0.0, 1.0, 2.0, 3.0, 5.0], 2 / 5),
        ([10.0, 11.0, 14.0, 15.0, 16.0], 1 / 2),
        ([-1e9, -0.5e9, 0.0, 0.5e9, 1.5e9], 2 / 5),
        ([0.0, 1e-3, 2e-3, 3e-3, 5e-3], 2 / 5),
        ([0.0, 1e308, 1.1e308, 1.2e308, 1.25e308], 0.8),
    ],
)
def test_largest_gap(positions, gap):
    norms = [1.0, 1.1, 1.0, 1.2, 1.0]
    assert li.norm_limits(norms, positions=positions).largest_gap == pytest.approx(gap, rel=1e-12)
    if positions is not None:
        assert li.norm_limits(Recorded(norms, positions=positions)).largest_gap == pytest.approx(gap, rel=1e-12)
        even = li.norm_limits(Recorded(norms, positions=positions), positions=[0.0, 1.0, 2.0, 3.0, 4.0])
        assert even.largest_gap == pytest.approx(1 / 4, rel=1e-12)


def test_a_gap_of_exactly_a_tenth_is_no_hole():
    places = np.append(0.0, np.linspace(0.1, 1.0, 99))
    limits = li.norm_limits(1.0 + 0.1 * np.sin(np.arange(100)), positions=places)
    assert limits.largest_gap == 0.1
    assert limits.findings == ()


def test_two_norms_leave_a_hole_between_them():
    limits = li.norm_limits([1.0, 1.1])
    assert limits.largest_gap == 1.0
    assert limits.findings[-1] == "a hole of 100% of training between two norms"


def test_one_norm_leaves_the_whole_of_training_open():
    limits = li.norm_limits([2.0], positions=[5.0])
    assert limits.largest_gap == 1.0
    assert limits.findings == ("1 norms: a median of a tenth of them is hardly a smoothing",)


def limits_of(norms, **changes):
    """Limits beside a refinement in which what is given stands."""
    made = dataclasses.replace(quiet(np.ones(100)), **changes)
    return li.norm_limits(norms, made)


def even(n=100):
    return 1.0 + 0.1 * np.sin(np.arange(n))


def test_each_finding_stands_where_its_limit_is_passed():
    assert limits_of(even()).findings == ()
    assert limits_of(even(50)).findings == ()
    assert limits_of(even(49)).findings == ("49 norms: a median of a tenth of them is hardly a smoothing",)
    assert limits_of(even(), degenerate=True).findings == ("the schedule hardly decays: use linear decay",)
    assert limits_of(even(), degenerate=True).degenerate
    steps = np.append(np.ones(10), np.zeros(90))
    loaded = limits_of(even(), steps=steps, peak=0.0)
    assert loaded.front_loaded
    assert loaded.findings == (
        "front-loaded: mean step 0.10 of the largest (linear decay 0.5), effective length 0.10 (0.75); start the grid "
        "of base learning rates 5.0 times above that of linear decay",
    )
    for count, found in ((10, ()), (11, ("11% of the norms tie at the maximum: they were recorded after clipping",))):
        norms = even()
        norms[20 : 20 + count] = 2.0
        assert limits_of(norms).findings == found
        assert limits_of(norms).clipped == count / 100
    for level, found in ((0.5, False), (0.49, True)):
        first, last = np.ones(100), np.ones(100)
        first[:5] = last[-5:] = level
        first[50] = last[50] = 1.01  # no ties at the maximum
        words = f"norms are {level:.2f} of the middle ones: the schedule "
        assert limits_of(first).findings == ((f"the first {words}starts with its largest steps",) if found else ())
        assert limits_of(last).findings == ((f"the last {words}falls late or not at all",) if found else ())
        assert (limits_of(first).start, limits_of(last).end) == (level, level)


@pytest.mark.parametrize(("hole", "found"), [(11, ()), (12, ("a hole of 11% of training between two norms",))])
def test_holes_in_training(hole, found):
    places = np.append(np.arange(60), 59 + hole + np.arange(41))
    limits = li.norm_limits(even(101), quiet(np.ones(100)), positions=places)
    assert limits.largest_gap == pytest.approx(hole / (99 + hole))
    assert limits.findings == found


def test_a_refinement_that_is_not_given_is_made_without_a_word():
    norms = np.append(np.full(40, 0.2), np.full(360, 1.0)) * np.linspace(1.0, 1.01, 400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limits = li.norm_limits(norms)
        assert li.norm_limits(np.linspace(1.0, 0.0, 400, endpoint=False)).degenerate
    assert limits.front_loaded is quiet(norms).front_loaded is True
    for wrong in (norms, "sgd", 1.0):
        with pytest.raises(li.InputError, match="refinement: expected a Refinement"):
            li.norm_limits(norms, wrong)


def literal_artefact(norms, lr, effective):
    """Share of the log variance of the smoothed norms that falls with the predicted norm of the weights."""
    moving = [k for k in range(len(lr)) if lr[k] > 0 and effective[k] > 0]
    logs = [math.log(lr[k] / effective[k]) for k in moving]
    weights = np.interp(range(len(lr)), moving, logs).tolist()
    smooth = [math.log(x) for x in smooth_norms(norms)]
    left = statistics.pvariance([a + b for a, b in zip(smooth, weights, strict=True)])
    return 1.0 - left / statistics.pvariance(smooth), [x * math.exp(w) for x, w in zip(norms, weights, strict=True)]


def test_weight_decay_vs_literal_variances():
    rng = np.random.default_rng(5)
    lr, effective = np.linspace(1.0, 0.1, 60), np.linspace(1.0, 0.4, 60)
    norms = (effective / lr) * rng.lognormal(0.0, 0.05, 60)
    lr[10:13] = effective[30] = lr[59] = 0.0  # no step there: the weights are interpolated
    share, corrected = literal_artefact(norms.tolist(), lr.tolist(), effective.tolist())
    limits = li.norm_limits(norms, lr=lr, effective_lr=effective)
    assert limits.artefact == pytest.approx(share, rel=1e-9)
    np.testing.assert_allclose(limits.corrected, corrected, rtol=1e-12)
    assert 0.8 < share < 1.0
    assert (
        limits.findings[-1]
        == f"weight decay accounts for {share:.0%} of the course of the norms: refine `corrected` instead"
    )


@pytest.mark.parametrize(("spread", "stated"), [(0.011, True), (0.009, False)])
def test_norms_that_hardly_vary_have_no_course_to_account_for(spread, stated):
    """The least variance of the logarithm is 1e-4."""
    norms = np.exp(spread * np.where(np.arange(400) < 200, 1.0, -1.0))
    limits = li.norm_limits(norms, lr=norms, effective_lr=np.ones(400))
    assert math.isnan(limits.artefact) is not stated
    assert math.isnan(li.norm_limits(norms).artefact)


@pytest.mark.parametrize(
    ("lr", "effective", "message"),
    [
        ([1.0, 1.0, 1.0], None, "effective_lr: expected both.*lr alone"),
        (None, [1.0, 1.0, 1.0], "effective_lr: expected both.*no lr"),
        ([1.0, 1.0], [1.0, 1.0, 1.0], "lr: expected 3, one for every norm, got 2 learning rates"),
        ([1.0, 1.0, 1.0], [1.0, 1.0], "effective_lr: expected 3, one for every norm, got 2 learning rates"),
        ([0.0, 0.0, 1.0], [1.0, 1.0, 0.0], "lr: expected a positive learning rate, got only zeros"),
        ([-1.0, 1.0, 1.0], [1.0, 1.0, 1.0], r"lr: .*lr\[0\]"),
        ([1.0, 1.0, 1.0], [1.0, -1.0, 1.0], r"effective_lr: .*effective_lr\[1\]"),
    ],
)
def test_learning_rates_that_do_not_fit(lr, effective, message):
    with pytest.raises(li.InputError, match=message):
        li.norm_limits([1.0, 2.0, 3.0], lr=lr, effective_lr=effective)

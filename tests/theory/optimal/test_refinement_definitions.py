"""Every number of a refinement, written out in plain loops as the docstrings have it."""

import dataclasses
import math
import statistics
import warnings

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.optimal.refinement import RefinementWarning, check_norms, smooth_norms, to_horizon

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


def predicted_gain(weights, costs):
    """Rate of equal weights over that of the given ones, each at its best base learning rate."""
    rate = math.sqrt(sum(w * w * cost for w, cost in zip(weights, costs, strict=True))) / sum(weights)
    return math.sqrt(sum(costs)) / len(costs) / rate


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("n", [1, 2, 98, 99, 198, 199, 250, 399])
def test_what_the_gain_rests_on(rule, n):
    refined = quiet(rough(n), rule, smoothing=0.0)
    costs = [float(x) ** POWER[rule] for x in [*refined.smoothed, refined.smoothed[-1]]]
    weights, size, cut = refined.weights.tolist(), n + 1, max((n + 1) // 100, 1)
    assert weights == pytest.approx([min(costs) / cost for cost in costs], rel=1e-12)
    assert refined.gain == pytest.approx(predicted_gain(weights, costs), rel=1e-12)
    inside = predicted_gain(weights[cut:-cut], costs[cut:-cut]) if size > 2 * cut else refined.gain
    assert refined.gain_inside == pytest.approx(inside, rel=1e-12)

    def share(values, places):
        return f"near {statistics.median(places) / size:.0%}", f"{sum(values[k] for k in places) / sum(values):.0%}"

    places = sorted(range(size), key=weights.__getitem__)
    large_at, large = share([1.0 / w for w in weights], places[:cut])
    small_at, small = share(weights, places[-cut:])
    assert refined.explain_gain() == (
        f"gain {refined.gain:.3g}, {inside:.3g} without the first and last 1% of training; the largest 1% of the "
        f"norms, {large_at} of training, make {large} of the mean of norm^{POWER[rule]}; the smallest 1%, {small_at}, "
        f"make {small} of the mean of norm^-{POWER[rule]}"
    )


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_of_equal_norms_the_first_are_the_largest_and_the_last_the_smallest(rule):
    norms = np.where(np.arange(400) % 7 < 3, 2.0, 1.0)
    text = quiet(norms, rule, smoothing=0.0).explain_gain()
    assert "the largest 1% of the norms, near 0% of training" in text
    assert "the smallest 1%, near 99%," in text


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_the_unit_of_the_norms_does_not_count(unit):
    norms = rough(50)
    for rule in POWER:
        plain, scaled = quiet(norms, rule), quiet(norms * unit, rule)
        assert scaled.gain == pytest.approx(plain.gain, rel=1e-12)
        assert scaled.gain_inside == pytest.approx(plain.gain_inside, rel=1e-12)
        np.testing.assert_allclose(scaled.steps, plain.steps, rtol=1e-12)
    plain, scaled = li.norm_limits(norms), li.norm_limits(norms * unit * unit**0.3)
    assert (scaled.start, scaled.end) == pytest.approx((plain.start, plain.end), rel=1e-12)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_steps_are_weights_times_what_follows(rule):
    refined = quiet(rough(30), rule)
    weights = refined.weights.tolist()
    steps = [weights[k] * math.fsum(weights[k + 1 :]) for k in range(30)]
    np.testing.assert_allclose(refined.steps, [step / max(steps) for step in steps], rtol=1e-12)


def test_a_rule_that_is_left_out():
    with pytest.warns(
        FutureWarning, match=r'without rule= assumes "sgd", L2 norms .*; from 0\.3 on the rule must be given'
    ):
        assert li.refine(rough(40)).rule == "sgd"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rule": "SGD"}, "rule"),
        ({"smoothing": 1.5}, "smoothing"),
        ({"smoothing": "1"}, "smoothing"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": 2.5}, "n_steps"),
        ({"positions": [0.0, math.nan, 1.0]}, "positions"),
        ({"known_within": "2"}, "known_within"),
        ({"known_within": -1.0}, "known_within"),
        ({"known_within": 0.5}, "known_within"),
    ],
)
def test_arguments_of_a_refinement_are_named(options, name):
    with pytest.raises(li.InputError) as caught:
        quiet([1.0, 2.0, 3.0], **options)
    assert caught.value.argument == name


@pytest.mark.parametrize("n", [1, 2, 3, 10, 37])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3, 0.75, 1.0])
def test_smoothed_norms_are_medians_of_neighbours(n, smoothing):
    """The first norm stands for all before it; after the last the norms are reflected."""
    norms, half = rough(n, seed=n).tolist(), math.floor(smoothing * n / 2)
    there = norms[:1] * half + norms
    back, step = n - 1, -1
    for _ in range(half):
        step = -step if n > 1 and not 0 <= back + step < n else step
        back += step if n > 1 else 0
        there.append(norms[back])
    expected = [statistics.median(there[k : k + 2 * half + 1]) for k in range(n)]
    assert smooth_norms(norms, smoothing).tolist() == expected
    assert smooth_norms(norms, smoothing).dtype == np.float64


def with_steps(steps, peak=0.0):
    refined = quiet(np.ones(len(steps)))
    return dataclasses.replace(refined, steps=np.asarray(steps, dtype=float), peak=peak)


def test_effective_length_vs_the_constant_schedule_of_the_same_sums():
    assert with_steps(np.ones(7)).effective_length == 1.0
    assert with_steps([1.0] * 3 + [0.0] * 5).effective_length == 3 / 8
    assert with_steps([2.0, 1.0]).effective_length == 9 / 10
    assert with_steps(np.arange(1000, 0, -1)).effective_length == pytest.approx(0.75, rel=1e-3)


@pytest.mark.parametrize(
    ("steps", "peak", "expected"),
    [
        ([1.0] * 3 + [0.0] * 5 + [1e-9] * 2, 0.0, True),  # effective length 0.3
        ([1.0] * 3 + [0.0] * 6, 0.0, False),  # under ten steps
        ([1.0] * 3 + [0.0] * 5 + [1e-9] * 2, 0.5, True),
        ([1.0] * 3 + [0.0] * 5 + [1e-9] * 2, 0.51, False),
        ([1.0] * 6 + [0.0] * 10, 0.0, False),  # exactly 3/8
        ([1.0] * 59 + [0.0] * 101, 0.0, True),
        ([0.2] * 10, 0.0, False),  # exactly the least mean
        ([0.19] * 10, 0.0, True),
        ([1.0] + [0.3] * 9, 0.0, False),
    ],
)
def test_front_loaded_schedules(steps, peak, expected):
    assert with_steps(steps, peak).front_loaded is expected


def literal_horizon(norms, n_steps, places, first, last):
    """Log-linear interpolation, one point after the other; held outside."""
    found = []
    for k in range(n_steps):
        place = first + (last - first) * k / (n_steps - 1) if n_steps > 1 else first
        if place <= places[0] or len(places) == 1:
            found.append(norms[0])
        elif place >= places[-1]:
            found.append(norms[-1])
        else:
            i = max(i for i in range(len(places)) if places[i] <= place)
            share = (place - places[i]) / (places[i + 1] - places[i])
            found.append(norms[i] ** (1 - share) * norms[i + 1] ** share)
    return found


@pytest.mark.parametrize("n_steps", [None, 1, 2, 5, 40])
@pytest.mark.parametrize("places", [None, [0.0, 1.0, 5.0, 5.5, 9.0], [-3.0, 1.0, 2.0, 3.0, 4.0]])
@pytest.mark.parametrize("span", [None, (-5.0, 12.0), (1.5, 3.0)])
def test_horizon_vs_interpolation_point_by_point(n_steps, places, span):
    norms = [1.0, 4.0, 0.5, 3.0, 2.0]
    found = to_horizon(norms, n_steps, places, span)
    size = n_steps or 5
    if places is None and size == 5:  # as they stand, to the last bit
        assert found.tolist() == norms
        return
    at = [0.0, 1.0, 2.0, 3.0, 4.0] if places is None else places
    first, last = (at[0], at[-1]) if span is None else span
    np.testing.assert_allclose(found, literal_horizon(norms, size, at, first, last), rtol=1e-12)


def test_what_recorded_norms_bring_along():
    """Horizon, positions and span of a record count unless they are given; given positions have a span of their own."""
    norms, places, span = [1.0, 4.0, 0.5, 3.0], [0.0, 2.0, 3.0, 7.0], (-2.0, 9.0)
    recorded = Recorded(norms, horizon=11, positions=places, span=span)
    for options, n_steps, at, ends in (
        ({}, 11, places, span),
        ({"n_steps": 6}, 6, places, span),
        ({"positions": [0.0, 1.0, 2.0, 9.0]}, 11, [0.0, 1.0, 2.0, 9.0], None),
    ):
        refined = quiet(recorded, smoothing=0.0, **options)
        np.testing.assert_allclose(refined.smoothed, to_horizon(norms, n_steps, at, ends), rtol=1e-12)
    plain = quiet(norms, smoothing=0.0)
    assert plain.smoothed.tolist() == norms
    one = to_horizon([3.0], 4, [2.0])
    assert one.tolist() == pytest.approx([3.0] * 4)


@pytest.mark.parametrize(
    "call", [lambda p: to_horizon([1.0, 2.0], 5, p), lambda p: li.norm_limits([1.0, 2.0], positions=p)]
)
def test_two_positions_increase_too_and_are_named(call):
    call([0.0, 1.0])
    for positions in ([1.0, 0.0], [0.0, 0.0], [0.0, math.nan], [[0.0, 1.0]]):
        with pytest.raises(li.InputError) as caught:
            call(positions)
        assert caught.value.argument == "positions"


@pytest.mark.parametrize("positions", [[0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0, 3.0]])
def test_positions_increase_one_for_every_norm(positions):
    for call in (lambda p: to_horizon([1.0, 2.0, 3.0], 5, p), lambda p: li.norm_limits([1.0, 2.0, 3.0], positions=p)):
        with pytest.raises(li.InputError, match="positions: expected 3 increasing numbers"):
            call(positions)


def test_norms_are_checked_by_name():
    assert check_norms([1, 2]).dtype == np.float64
    with pytest.raises(li.InputError, match="norms: expected at least one"):
        check_norms([])
    with pytest.raises(li.InputError, match=r"other: expected .* positive, got other\[2\] = 0.0"):
        check_norms([1.0, 2.0, 0.0, 5.0], "other")
    with pytest.raises(li.InputError, match=r"other\[1\] = nan"):
        check_norms([1.0, math.nan], "other")


def test_defaults():
    """A tenth of training is smoothed, and the norms are taken as known."""
    norms = rough(101)
    refined = quiet(norms)
    np.testing.assert_array_equal(refined.smoothed, quiet(norms, smoothing=0.1).smoothed)
    np.testing.assert_array_equal(refined.smoothed, smooth_norms(norms))
    assert (refined.smoothing, refined.known_within, refined.rule) == (0.1, 1.0, "sgd")
    assert quiet(norms, smoothing=0.0).smoothing == 0.0
    assert quiet(norms, known_within=1.5).known_within == 1.5
    assert refined.absolute is False
    assert refined.n_steps == 101


def literal_exponent(norms, smoothing):
    """Slope of a regression line through 64 points that are equally far apart in log(1 - s)."""
    n = len(norms)
    nearest = max(smoothing / 2, 2 / (n + 1))
    farthest = nearest + 0.3
    if n < 8:
        return 0.0
    at = [math.log(farthest) + (math.log(nearest) - math.log(farthest)) * i / 63 for i in range(64)]
    logs = []
    for x in at:
        k = (1.0 - math.exp(x)) * (n + 1) - 1.0  # norm k stands at s = (k + 1) / (n + 1)
        low = min(max(math.floor(k), 0), n - 2)
        share = min(max(k - low, 0.0), 1.0)
        logs.append((1 - share) * math.log(norms[low]) + share * math.log(norms[low + 1]))
    mean_x, mean_y = statistics.fmean(at), statistics.fmean(logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(at, logs, strict=True)) / sum((x - mean_x) ** 2 for x in at)


@pytest.mark.parametrize("n", [7, 8, 9, 30, 300])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6, 1.0])
def test_end_exponent_vs_a_regression_point_by_point(n, smoothing):
    refined = quiet(rough(n, seed=n), smoothing=smoothing)
    assert refined.end_exponent == pytest.approx(literal_exponent(refined.smoothed.tolist(), smoothing), abs=1e-9)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_a_schedule_hardly_decays_where_its_end_or_its_peak_is_late(rule):
    n = 400
    remaining = 1.0 - np.arange(1, n + 1) / (n + 1)
    limit = 0.5 / POWER[rule]
    for exponent, degenerate in ((limit - 0.01, False), (limit + 0.01, True)):
        assert quiet(remaining**exponent, rule, smoothing=0.0).degenerate is degenerate
    for exponent, degenerate in ((limit - 0.01, False), (limit + 0.01, True)):
        falls = np.minimum(remaining / 0.4, 1.0) ** exponent  # at the end alone: the maximum stays at the start
        refined = quiet(falls, rule, smoothing=0.0)
        assert refined.peak == 0.0
        assert refined.degenerate is degenerate
    for place, late in ((300, False), (321, False), (322, True), (360, True)):
        norms = np.ones(n)
        norms[place - 1 : place + 1] = 1e-3
        refined = quiet(norms, rule, smoothing=0.0)
        assert refined.peak == int(np.argmax(refined.steps)) / n == (place - 1) / n
        assert refined.degenerate is late


def test_warnings_of_a_refinement():
    norms = np.ones(400)
    norms[360:] = 1e-3
    with pytest.warns(RefinementWarning, match=r"maximum at 90% of training.*\(1-s\)\^.*sgd rule.*below 0\.25"):
        li.refine(norms, "sgd", smoothing=0.0)
    norms = np.ones(400)
    norms[:2] = 1e-3
    with pytest.warns(RefinementWarning, match="a few norms decide the predicted gain: gain 70"):
        refined = li.refine(norms, "sgd", smoothing=0.0)
    assert not refined.degenerate


def test_of_ordinary_norms_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rule in POWER:
            li.refine(rough(400), rule)


def test_known_within_one_is_the_smallest_factor():
    assert quiet(rough(20), known_within=1.0).guaranteed_gain == pytest.approx(quiet(rough(20)).gain, rel=1e-12)
    for value in (0.999, 0.0):
        with pytest.raises(li.InputError, match="known_within"):
            quiet(rough(20), known_within=value)


def literal_worst(costs, factor):
    """The common level by bisection in exact numbers of steps."""
    low, high = [c / factor for c in costs], [c * factor for c in costs]

    def clipped(level):
        return [min(max(level, a), b) for a, b in zip(low, high, strict=True)]

    left, right = min(low), max(high)
    for _ in range(200):
        middle = 0.5 * (left + right)
        left, right = (middle, right) if sum(clipped(middle)) < sum(costs) else (left, middle)
    return clipped(right)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("rho", [1.1, 2.0, 30.0])
@pytest.mark.parametrize("n", [1, 2, 13])
@pytest.mark.parametrize("order", [-1, 1])
def test_least_favourable_norms_vs_bisection(rule, rho, n, order):
    norms = rough(n, seed=1)[::order]
    refined = quiet(norms, rule, smoothing=0.0, known_within=rho)
    costs = [float(x) ** POWER[rule] for x in [*norms, norms[-1]]]
    worst = literal_worst(costs, rho ** POWER[rule])
    np.testing.assert_allclose(refined.weights, [min(worst) / x for x in worst], rtol=1e-9)
    mean, inverse = statistics.fmean(costs), statistics.fmean([1.0 / x for x in worst])
    assert refined.guaranteed_gain == pytest.approx(math.sqrt(mean * inverse), rel=1e-9)
    assert refined.gain == pytest.approx(predicted_gain(refined.weights.tolist(), costs), rel=1e-9)

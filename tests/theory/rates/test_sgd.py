"""Rates against semidefinite programs, extended precision, brute force and published numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.sgd import BOUNDS
from lastiterate.theory.rates.theorem10 import classical_average_rate

RATES = {"exact": li.exact_rate, "theorem10": li.theorem10_rate, "average": classical_average_rate}


def literal_exact(steps, sigma, D=1.0, G=1.0):
    """R(sigma) as written in the theory, in the precision of the arguments."""
    caps = np.broadcast_to(np.asarray(G, dtype=steps.dtype), (len(steps) + 1,))
    s, total = sigma, (sigma * caps[-1]) ** 2
    for h, cap in zip(steps[::-1], caps[-2::-1], strict=True):
        w = h / s
        s = s + w
        total = total + (w * cap) ** 2
    return (D * D / (s * s) + total) / 2


def literal_theorem10(steps, D=1.0, G=1.0):
    """The published three-term form as a double sum, for steps that include the fictitious last one."""
    h = np.asarray(steps, dtype=np.longdouble)
    caps = np.broadcast_to(np.asarray(G, dtype=np.longdouble), h.shape)
    squares = h * h * caps * caps
    bound = (np.longdouble(D) ** 2 + squares.sum()) / (2 * h.sum())
    for k in range(len(h) - 1):
        after, since = h[k + 1 :].sum(), h[k:].sum()
        bound += h[k] / (2 * after) * (squares[k:].sum() / since)
    return bound


def random_steps(rng, n_steps):
    kind = rng.integers(5)
    if kind == 0:
        steps = rng.uniform(0.0, 1.0, n_steps)
    elif kind == 1:
        steps = 10.0 ** rng.uniform(-4, 0, n_steps)
    elif kind == 2:
        steps = np.sort(rng.uniform(0.0, 1.0, n_steps))
    elif kind == 3:
        steps = np.where(rng.random(n_steps) < 0.2, 10.0, 0.1) * rng.random(n_steps)
    else:
        steps = rng.uniform(0.0, 1.0, n_steps) * (rng.random(n_steps) < 0.6)
    return steps * 10.0 ** rng.uniform(-1, 1)


shapes = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e3), st.floats(1e-70, 1e70)), min_size=1, max_size=40).map(
    np.array
)
positive = st.floats(1e-3, 1e3)


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("linear", 1.000),
        ("one_minus_sqrt", 1.007),
        ("cosine", 1.030),
        ("quadratic", 1.060),
        ("inverse_sqrt", 1.374),
        ("constant", 1.608),
        ("inverse", 3.10),
    ],
)
def test_tuned_rates_vs_published_table(family, value):
    n = 999
    s = np.arange(1, n + 1) / (n + 1)
    shape = {
        "linear": 1 - s,
        "one_minus_sqrt": 1 - np.sqrt(s),
        "cosine": (1 + np.cos(np.pi * s)) / 2,
        "quadratic": (1 - s) ** 2,
        "inverse_sqrt": 1 / np.sqrt(np.arange(1, n + 1)),
        "constant": np.ones(n),
        "inverse": 1.0 / np.arange(1, n + 1),
    }[family]
    assert li.tune_base_lr(shape).value * math.sqrt(n + 1) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("linear", 2.006),
        ("rex", 2.025),
        ("cosine", 2.063),
        ("sqrt", 2.121),
        ("inverse_sqrt", 2.570),
        ("constant", 2.913),
    ],
)
def test_theorem10_in_the_published_convention_vs_published_constants(family, value):
    """All T = 1000 values of the schedule are in the bound, none is minimised over."""
    s = np.arange(1000) / 1000
    shape = {
        "linear": 1 - s,
        "rex": (1 - s) / (1 - s / 2),
        "cosine": (1 + np.cos(np.pi * s)) / 2,
        "sqrt": np.sqrt(1 - s),
        "inverse_sqrt": 1 / np.sqrt(np.arange(1, 1001)),
        "constant": np.ones(1000),
    }[family]
    rate = li.tune_base_lr(shape, bound="theorem10", last_value="schedule")
    assert rate.value * math.sqrt(1000) == pytest.approx(value, abs=1e-2)
    assert rate.n_steps == 999
    assert li.theorem10_rate(shape * rate.base_lr, last_value="schedule").value == pytest.approx(rate.value, rel=1e-13)


def _pepit_rate(steps, D, G):
    from PEPit import PEP
    from PEPit.functions import ConvexLipschitzFunction

    problem = PEP()
    function = problem.declare_function(ConvexLipschitzFunction, M=G)
    x_star = function.stationary_point()
    f_star = function(x_star)
    x = problem.set_initial_point()
    problem.set_initial_condition((x - x_star) ** 2 <= D**2)
    for h in steps:
        gradient, _ = function.oracle(x)
        x = x - h * gradient
    problem.set_performance_metric(function(x) - f_star)
    tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
    return problem.solve(verbose=0, solver="CLARABEL", **tolerances)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(20))
def test_exact_rate_vs_pepit(seed):
    rng = np.random.default_rng(seed)
    steps = random_steps(rng, int(rng.integers(1, 8 if seed else 13)))
    D, G = 1.0, 1.0
    if seed % 4 == 0:
        D, G = 1.5, 0.7
    assert li.exact_rate(steps, D, G).value == pytest.approx(_pepit_rate(steps, D, G), rel=1e-6)


@pytest.mark.parametrize("n_steps", [1, 2, 7, 60, 500, 2000])
@pytest.mark.parametrize("caps", ["constant", "wild"])
def test_exact_rate_vs_brute_force_grid(n_steps, caps):
    rng = np.random.default_rng(n_steps)
    grid = np.exp(np.linspace(-18.0, 5.0, 23_001))
    for _ in range(4):
        steps = random_steps(rng, n_steps)
        steps[0] += 0.01
        G = 1.0 if caps == "constant" else 10.0 ** rng.uniform(-1, 1, n_steps + 1)
        s, total = grid.copy(), (grid * np.broadcast_to(G, n_steps + 1)[-1]) ** 2
        for h, cap in zip(steps[::-1], np.broadcast_to(G, n_steps + 1)[-2::-1], strict=True):
            w = h / s
            s += w
            total += (w * cap) ** 2
        brute = (0.5 * (1 / s**2 + total)).min()
        tuned = np.sqrt((total / s**2).min())
        rate = li.exact_rate(steps, G=G)
        # the grid has spacing 1e-3 in log sigma and R'' <= 4 R, so it overshoots by at most 5e-7
        assert brute * (1 - 1e-6) <= rate.value <= brute * (1 + 1e-12)
        best = li.tune_base_lr(steps, G=G)
        assert tuned * (1 - 4e-6) <= best.value <= tuned * (1 + 1e-12)


def test_local_minima_do_not_catch_the_search():
    """A seeded hunt for schedules with several local minima; the lowest must win on all of them."""
    rng = np.random.default_rng(5)
    grid = np.exp(np.linspace(-7.0, 4.0, 2201))
    several = 0
    for _ in range(300):
        steps = 10.0 ** rng.uniform(-3, 1, int(rng.integers(2, 12)))
        values = np.array([literal_exact(steps, sigma) for sigma in (grid,)])[0]
        interior = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
        several += interior.sum() > 1
        assert li.exact_rate(steps).value <= values.min() * (1 + 1e-13)
    assert several >= 20


@pytest.mark.parametrize("n_steps", [1, 5, 300, 2000])
def test_theorem10_vs_literal_double_sum(n_steps):
    rng = np.random.default_rng(n_steps)
    for steps in (random_steps(rng, n_steps) + 1e-9, (1.0 - np.arange(n_steps) / n_steps) ** 2):
        G = 10.0 ** rng.uniform(-0.5, 0.5, n_steps)
        fixed = li.theorem10_rate(np.append(steps, 0.3), G=np.append(G, 1.2), last_value="schedule")
        literal = literal_theorem10(np.append(steps, 0.3), G=np.append(G, 1.2))
        assert fixed.value == pytest.approx(float(literal), rel=1e-13)
        assert li.theorem10_rate(steps, G=np.append(G, 1.2), last_value=0.3).value == fixed.value
        best = li.theorem10_rate(steps, G=np.append(G, 1.2))
        literal = literal_theorem10(np.append(steps, best.sigma), G=np.append(G, 1.2))
        assert best.value == pytest.approx(float(literal), rel=1e-13)
        for factor in (0.7, 0.999, 1.001, 1.5):
            around = li.theorem10_rate(steps, G=np.append(G, 1.2), last_value=best.sigma * factor)
            assert best.value <= around.value * (1 + 1e-14)


def test_theorem10_stays_accurate_at_a_million_steps_vs_extended_precision():
    n = 1_000_000
    steps = (1.0 - np.arange(n) / n) ** 2 * 1e-3
    h = np.append(steps, 1e-9).astype(np.longdouble)
    tails = np.cumsum(h[::-1])[::-1]
    expected = (1 / tails[0] + np.sum(h[:-1] ** 2 / tails[1:]) + h[-1]) / 2
    assert li.theorem10_rate(steps, last_value=1e-9).value == pytest.approx(float(expected), rel=1e-14)


def test_exact_rate_at_a_million_steps_vs_closed_form():
    n = 1_000_000
    tuned = li.tune_base_lr(1.0 - np.arange(1, n + 1) / (n + 1))
    assert tuned.value == pytest.approx(1 / math.sqrt(n + 1), rel=1e-13)
    assert tuned.base_lr == pytest.approx(1 / math.sqrt(n + 1), rel=1e-6)
    assert tuned.tolerance < 1e-11


def test_long_runs_agree_with_the_literal_recursion():
    """Runs above 20,000 steps are searched through an interpolation; the value must not know."""
    rng = np.random.default_rng(3)
    for steps in (10.0 ** rng.uniform(-3, 0, 25_000), np.linspace(1, 0, 25_000, endpoint=False) ** 3):
        rate = li.exact_rate(steps * 0.01)
        grid = rate.sigma * np.exp(np.linspace(-3, 3, 601)).astype(np.longdouble)
        values = literal_exact((steps * 0.01).astype(np.longdouble), grid)
        assert rate.value == pytest.approx(float(values[300]), rel=1e-13)
        assert rate.value <= float(values.min()) * (1 + 1e-12)


@settings(max_examples=150, deadline=None)
@given(shapes, positive, positive, positive)
def test_scaling_laws(steps, D, G, a):
    for bound, rate in RATES.items():
        base = rate(steps, D, G).value
        assert math.isfinite(base)
        assert base > 0.0
        assert rate(a * steps, a * D, G).value == pytest.approx(a * base, rel=1e-11), bound
        assert rate(steps / a, D, a * G).value == pytest.approx(a * base, rel=1e-11), bound


@settings(max_examples=150, deadline=None)
@given(shapes, positive, positive)
def test_exact_rate_lies_between_the_optimum_and_theorem10(steps, D, G):
    rate = li.exact_rate(steps, D, G)
    assert rate.value >= D * G / math.sqrt(steps.size + 1) * (1 - 1e-13)
    assert rate.value <= li.theorem10_rate(steps, D, G).value * (1 + 1e-13)
    assert li.exact_rate(np.append(steps, 0.0), D, G).value == pytest.approx(rate.value, rel=1e-13)
    assert rate.weights.shape == (steps.size + 1,)


@settings(max_examples=150, deadline=None)
@given(shapes, positive, positive, st.sampled_from(BOUNDS))
def test_tuned_base_lr_reaches_its_value_and_is_optimal(steps, D, G, bound):
    if not steps.any():
        with pytest.raises(InputError, match="only zeros"):
            li.tune_base_lr(steps, D, G, bound)
        return
    tuned = li.tune_base_lr(steps, D, G, bound)
    assert RATES[bound](steps * tuned.base_lr, D, G).value == pytest.approx(tuned.value, rel=1e-11)
    for factor in (0.3, 0.9, 1.1, 4.0):
        assert RATES[bound](steps * tuned.base_lr * factor, D, G).value >= tuned.value * (1 - 1e-12)


def test_steps_140_orders_of_magnitude_apart_vs_mpmath():
    from mpmath import mp, mpf

    rng = np.random.default_rng(11)
    with mp.workdps(60):
        for _ in range(20):
            steps = 10.0 ** rng.uniform(-70, 70, 12)
            rate = li.exact_rate(steps)
            s = mpf(rate.sigma)
            total = s**2
            for h in steps[::-1]:
                w = mpf(h) / s
                s += w
                total += w**2
            assert rate.value == pytest.approx(float((1 / s**2 + total) / 2), rel=1e-13)
            assert rate.value <= li.theorem10_rate(steps).value * (1 + 1e-13)
            assert li.tune_base_lr(steps).value <= 1.0


@pytest.mark.parametrize(("D", "G"), [(1e-150, 1e150), (1e150, 1e-150), (1e-140, 1e-140), (1e100, 1e100)])
def test_extreme_units_vs_rescaled_problem(D, G):
    shape = np.array([1.0, 0.3, 0.0, 0.5])
    steps = shape * (D / G)
    assert li.exact_rate(steps, D, G).value == pytest.approx(li.exact_rate(shape).value * D * G, rel=1e-12)
    assert li.theorem10_rate(steps, D, G).value == pytest.approx(li.theorem10_rate(shape).value * D * G, rel=1e-12)
    assert li.tune_base_lr(steps, D, G).value == pytest.approx(li.tune_base_lr(shape).value * D * G, rel=1e-12)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300, 1e-200, 1e150])
def test_steps_at_the_ends_of_the_floating_point_range(size):
    steps = np.array([size, 0.0, size])
    for bound, rate in RATES.items():
        if bound == "average" and size < 1e-305:  # D^2 over the sum of the steps
            with pytest.raises(InputError, match="float64"):
                rate(steps)
        else:
            assert rate(steps).value == pytest.approx(rate(steps, 1.0, [1.0, 1.0, 1.0, 1.0]).value, rel=1e-14)
        if size > 1e-305:
            assert math.isfinite(li.tune_base_lr(steps, bound=bound).value)
        else:
            with pytest.raises(InputError, match="base learning rate"):
                li.tune_base_lr(steps, bound=bound)
    if size < 1e-100:
        assert li.exact_rate(steps).value == pytest.approx(1.0, rel=1e-14)
        assert li.theorem10_rate(steps).value == pytest.approx(1.0, rel=1e-14)


ladder = st.sampled_from([0.0, 5e-324, 1e-320, 2.3e-308, 1e-300, 1e-291, 1e-289, 1e-200, 1e-100, 1e-10, 1e-3, 1.0, 5.0])


@settings(max_examples=300, deadline=None)
@given(st.lists(ladder, min_size=1, max_size=6).map(np.array), st.integers(0, 10**6), st.booleans())
def test_steps_hundreds_of_orders_apart_give_finite_rates(steps, seed, falling):
    """A last step too small to count is no step, where gradient bounds do not increase."""
    caps = 10.0 ** np.random.default_rng(seed).uniform(-1, 1, steps.size + 1)
    caps = np.sort(caps)[::-1] if falling else caps
    values = [rate(steps, 2.0, caps).value for rate in (li.exact_rate, li.theorem10_rate)]
    assert np.isfinite(values).all()
    assert values[0] <= values[1] * (1 + 1e-12)
    if np.any(steps >= 1e-290):
        assert math.isfinite(li.tune_base_lr(steps, 2.0, caps).value)
    if falling:
        counted = np.where(steps < 1e-100, 0.0, steps)
        assert values[0] == pytest.approx(li.exact_rate(counted, 2.0, caps).value, rel=1e-12)


def test_no_steps_and_only_zero_steps():
    for steps in (np.empty(0), np.zeros(1), np.zeros(5)):
        for rate in (li.exact_rate, li.theorem10_rate, classical_average_rate):
            assert rate(steps, D=2.0, G=3.0).value == 6.0
        assert li.exact_rate(steps, D=2.0, G=3.0).weights.shape == (steps.size + 1,)
    assert li.theorem10_rate(np.array([0.0, 0.0]), last_value="schedule").value == math.inf
    assert li.theorem10_rate(np.array([1.0, 0.0]), last_value="schedule").value == math.inf


def test_one_step_vs_calculus():
    """f(x_1) - f* <= (sigma^2 + h^2 / sigma^2 + 1 / (sigma + h / sigma)^2) / 2, least at sigma^2 = h for h >= 1/4."""
    for h in (0.25, 1.0, 7.0):
        assert li.exact_rate([h]).value == pytest.approx(h + 1 / (8 * h), rel=1e-14)
    tuned = li.tune_base_lr([3.0], D=2.0, G=5.0)
    assert tuned.value == pytest.approx(10 / math.sqrt(2), rel=1e-14)


def test_gradient_bounds_of_n_values_repeat_the_last_one():
    steps = np.array([0.5, 0.2, 0.4])
    short, full = [1.0, 2.0, 0.5], [1.0, 2.0, 0.5, 0.5]
    for rate in RATES.values():
        assert rate(steps, G=short).value == rate(steps, G=full).value
    assert li.exact_rate(steps, G=[2.0, 2.0, 2.0]).exact
    assert li.exact_rate(steps, G=[3.0, 2.0, 2.0]).exact
    assert li.exact_rate(steps, G=full).kind == "attained"
    assert li.exact_rate([0.15, 0.11], G=[0.35, 0.75, 0.44]).kind == "upper"


def test_weights_are_those_of_the_theory():
    steps = np.array([0.5, 0.0, 0.2, 0.4])
    rate = li.tune_base_lr(steps)
    tails = np.cumsum(rate.weights[::-1])[::-1]
    np.testing.assert_allclose(rate.weights[:-1] * tails[1:], steps * rate.base_lr, rtol=1e-14, atol=0.0)
    value = 0.5 * (1 / tails[0] ** 2 + (rate.weights**2).sum())
    assert rate.value == pytest.approx(value, rel=1e-14)
    assert float(rate) == rate.value


@pytest.mark.parametrize("bound", ["exact", "theorem10"])
def test_certificate_proves_the_rate(bound):
    steps = np.array([0.5, 0.0, 0.2, 0.4])
    for G in (1.0, [2.0, 1.5, 1.0, 1.0, 0.5]):
        rate = RATES[bound](steps, D=2.0, G=G)
        certificate = rate.certificate()
        assert certificate.check()
        assert float(certificate.prove()) <= rate.value * (1 + 1e-12)
    with pytest.raises(InputError, match="last iterate"):
        classical_average_rate(steps).certificate()


def test_rate_keeps_its_steps_when_the_caller_reuses_the_array():
    steps = np.array([0.5, 0.2])
    rate = li.exact_rate(steps)
    expected = rate.value
    steps[:] = 7.0
    np.testing.assert_array_equal(rate.steps, [0.5, 0.2])
    assert "array" not in repr(rate)
    assert li.exact_rate(rate.steps).value == expected


BAD_STEPS = [
    [],
    (),
    [-1.0],
    [math.nan],
    [1.0, math.inf],
    [[[1.0, 2.0]]],
    ["a"],
    [1j],
    [[1.0], [1.0, 2.0]],
    None,
]


@pytest.mark.parametrize("steps", BAD_STEPS, ids=repr)
@pytest.mark.parametrize("function", [*RATES.values(), li.tune_base_lr])
def test_bad_steps_are_named(function, steps):
    with pytest.raises(InputError, match=r"^steps: expected"):
        function(steps)


@pytest.mark.parametrize("function", [*RATES.values(), li.tune_base_lr])
def test_a_text_of_steps_asks_for_their_number(function):
    with pytest.raises(InputError, match=r"^n_steps: expected the number of steps of the schedule 'linear'"):
        function("linear")


@pytest.mark.parametrize("function", [*RATES.values(), li.tune_base_lr])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"D": 0.0}, "D"),
        ({"D": -1.0}, "D"),
        ({"D": math.inf}, "D"),
        ({"D": "1"}, "D"),
        ({"G": 0.0}, "G"),
        ({"G": -2.0}, "G"),
        ({"G": math.nan}, "G"),
        ({"G": [1.0]}, "G"),
        ({"G": [1.0, 1.0, 1.0, 1.0]}, "G"),
        ({"G": [1.0, 0.0, 1.0]}, "G"),
        ({"G": [1.0, -1.0]}, "G"),
        ({"G": [[1.0, 1.0]]}, "G"),
        ({"G": "big"}, "G"),
        ({"G": 1j}, "G"),
    ],
)
def test_bad_bounds_are_named(function, arguments, name):
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        function([0.5, 0.5], **arguments)


def test_bad_choices_are_named():
    with pytest.raises(InputError, match="theorem10"):
        li.tune_base_lr([1.0], bound="theorem11")
    for last_value in ("free", 0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="last_value"):
            li.theorem10_rate([1.0], last_value=last_value)

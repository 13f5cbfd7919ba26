"""The exact rate in one pass: 50 digits, brute force over sigma, finite differences, runs on the attaining function."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from rate_references import FAMILIES, bound, constant_rate, falling_caps, least_bound, random_schedule

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [12, pytest.param(220, marks=pytest.mark.slow)])
def test_constant_bounds_vs_50_digits(family, count):
    rng = np.random.default_rng(FAMILIES.index(family))
    with mp.workdps(50):
        for _ in range(count):
            steps = random_schedule(rng, int(rng.integers(1, 200)), family)
            D, G = 10.0 ** rng.uniform(-2, 2), 10.0 ** rng.uniform(-1, 1)
            expected = constant_rate(steps, D, G)
            assert abs(exact_rate(steps, D, G).value / expected - 1) < 4e-15


@pytest.mark.slow
@pytest.mark.parametrize("power", [1, 3])
def test_a_hundred_thousand_steps_vs_50_digits(power):
    steps = np.linspace(1.0, 0.0, 100_000, endpoint=False) ** power
    with mp.workdps(50):
        assert abs(exact_rate(steps, 5.0).value / constant_rate(steps, 5.0, 1.0) - 1) < 1e-13


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [3, pytest.param(225, marks=pytest.mark.slow)])
def test_falling_bounds_vs_50_digits_and_a_scan_over_sigma(family, count):
    """The minimum near sigma has the value, and no other sigma is better."""
    rng = np.random.default_rng(FAMILIES.index(family))
    with mp.workdps(50):
        for _ in range(count):
            steps = random_schedule(rng, int(rng.integers(1, 40)), family)
            if not steps.any():
                continue
            caps, D = falling_caps(rng, steps.size), 10.0 ** rng.uniform(-1, 1)
            rate = exact_rate(steps, D, caps)
            assert rate.kind == "exact"
            least = least_bound(steps, D, caps, math.log(rate.sigma))
            assert abs(rate.value / least - 1) < 4e-15
            grid = rate.sigma * np.exp(np.linspace(-6.0, 6.0, 97))
            assert min(bound(steps, D, caps, float(sigma)) for sigma in grid) > least * (1 - mpf(10) ** -20)


def test_a_step_decay_whose_ties_hide_the_sign():
    """Reading the sign of E_N - sigma G_N^2 at theta_N as the rule gives 11,488 here."""
    steps = np.array([4.5449, 19.1929, 4.798225, 1.19955625, 0.2998890625])
    caps = np.array([34.3551, 34.3551, 1.0, 1.0, 1.0, 1.0])
    grid = np.exp(np.linspace(-6.0, 6.0, 200_001))
    s, total = grid.copy(), grid**2
    for h, cap in zip(steps[::-1], caps[-2::-1], strict=True):
        s, total = s + h / s, total + (h / s * cap) ** 2
    brute = (0.5 * (3.92062**2 / s**2 + total)).min()
    assert exact_rate(steps, 3.92062, caps).value == pytest.approx(brute, rel=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_tuned_rates_of_falling_bounds_vs_a_scan(family):
    rng = np.random.default_rng(FAMILIES.index(family))
    for _ in range(10):
        steps = random_schedule(rng, int(rng.integers(1, 30)), family)
        if not steps.any():
            continue
        caps = falling_caps(rng, steps.size)
        tuned = tune_base_lr(steps, 1.0, caps)
        assert exact_rate(steps * tuned.base_lr, 1.0, caps).value == pytest.approx(tuned.value, rel=1e-13)
        for factor in np.exp(np.linspace(-3.0, 3.0, 13)):
            assert exact_rate(steps * tuned.base_lr * factor, 1.0, caps).value >= tuned.value * (1 - 1e-14)


def test_every_schedule_is_equally_sensitive_to_its_base_learning_rate():
    for shape in (li.schedules.linear(50), li.schedules.cosine(50), np.ones(50)):
        tuned = tune_base_lr(shape, 2.0, 3.0)
        for t in (0.9, 1.5, 2.0, 7.0):
            value = exact_rate(shape * tuned.base_lr * t, 2.0, 3.0).value
            assert value == pytest.approx(tuned.value * (t + 1 / t) / 2, rel=1e-13)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("caps_of", ["constant", "falling"])
def test_gradient_vs_finite_differences_in_50_digits(family, caps_of):
    rng = np.random.default_rng(FAMILIES.index(family))
    with mp.workdps(50):
        for _ in range(3):
            steps = random_schedule(rng, int(rng.integers(1, 12)), family)
            steps = steps[steps > 0.0]
            D = 10.0 ** rng.uniform(-1, 1)
            caps = np.ones(steps.size + 1) if caps_of == "constant" else falling_caps(rng, steps.size)
            rate = exact_rate(steps, D, caps)
            assert rate.gradient.shape == steps.shape
            for k in range(steps.size):
                change = mpf(10) ** -14 * mpf(steps[k])

                def value(shift, k=k, steps=steps, D=D, caps=caps, rate=rate):
                    moved = [mpf(float(h)) for h in steps]
                    moved[k] += shift
                    return _rate_of_mpf(moved, D, caps, rate.sigma)

                slope = (value(change) - value(-change)) / (2 * change)
                assert abs(rate.gradient[k] - slope) < 1e-9 * caps[0] ** 2


def _rate_of_mpf(steps, D, caps, sigma):
    """The least bound for mpf steps: by the one-pass formula, or by Newton on log sigma near the given one."""
    if (caps == caps[0]).all():
        least = mpf(0)
        for h in steps[::-1]:
            z = max(least, mp.sqrt(h))
            least = z + h / z
        u = max(least**2, mpf(D) / mpf(caps[0]))
        return (mpf(D) ** 2 / u + mpf(caps[0]) ** 2 * u) / 2 - mpf(caps[0]) ** 2 * sum(steps)

    def value(x):
        s = mp.exp(x)
        total = (s * mpf(caps[-1])) ** 2
        for h, cap in zip(steps[::-1], caps[-2::-1], strict=True):
            w = h / s
            s += w
            total += (w * mpf(float(cap))) ** 2
        return (mpf(D) ** 2 / s**2 + total) / 2

    x, step = mp.log(mpf(sigma)), mpf(10) ** -12
    for _ in range(4):
        up, here, down = value(x + step), value(x), value(x - step)
        x -= step * (up - down) / (2 * (up - 2 * here + down))
    return value(x)


SHAPES = {
    "constant": li.schedules.constant,
    "linear": li.schedules.linear,
    "cosine": li.schedules.cosine,
    "wsd": li.schedules.wsd,
    **{f"random {i}": lambda n, i=i: 10.0 ** np.random.default_rng(i).uniform(-i / 5, 0, n) for i in range(20)},
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("n_steps", "tolerance"), [(1000, 1e-10), pytest.param(10_000, 1e-9, marks=pytest.mark.slow)])
def test_sgd_on_the_worst_function_ends_at_the_rate(name, n_steps, tolerance):
    half = np.where(np.arange(n_steps + 1) < n_steps // 2, 1.5, 1.0)
    for caps in (2.0, np.linspace(2.0, 1.0, n_steps + 1), half):
        rate = tune_base_lr(SHAPES[name](n_steps), 3.0, caps)
        problem = rate.worst_case()
        run = li.simulate(problem, "sgd", rate.steps, n_steps=n_steps, base_lr=1.0)
        assert run.final.item() == pytest.approx(rate.value, rel=tolerance)
        assert pytest.approx(3.0, rel=tolerance) == problem.D
        assert np.max(caps) * (1 + 1e-12) >= problem.G


@pytest.mark.parametrize("family", FAMILIES)
def test_every_query_is_answered_with_a_subgradient(family):
    """By hand, in NumPy: piece t is active at x_t, has norm at most G_t, and the run ends at the rate."""
    rng = np.random.default_rng(FAMILIES.index(family))
    for caps_of in ("constant", "falling"):
        steps = random_schedule(rng, 25, family)
        if not steps.any():
            continue
        caps = np.full(26, 1.7) if caps_of == "constant" else falling_caps(rng, 25)
        rate = exact_rate(steps, 2.0, caps)
        problem = rate.worst_case()
        x, scale = problem.x0.copy(), 2.0 * caps[0]
        for t, h in enumerate(np.append(steps, 0.0)):
            pieces = problem.losses(x)
            assert pieces[min(t, problem.dim - 1)] >= pieces.max() - 1e-11 * scale
            gradient = problem.subgradient(x, step=t)
            assert np.linalg.norm(gradient) <= caps[t] * (1 + 1e-9)
            x = x - h * gradient
        assert problem.value(x) == pytest.approx(rate.value, rel=1e-9)


def test_attained_where_condition_c_holds_vs_the_run():
    rng = np.random.default_rng(0)
    kinds = {"attained": 0, "upper": 0, "exact": 0}
    for _ in range(150):
        steps, caps = rng.uniform(0.0, 1.0, 6), 10.0 ** rng.uniform(-0.5, 0.5, 7)
        rate = exact_rate(steps, 1.0, caps)
        kinds[rate.kind] += 1
        if rate.kind == "upper":
            assert rate.lower < rate.value
            assert rate.lower_note
            with pytest.raises(InputError, match="attained"):
                rate.worst_case()
            continue
        assert rate.lower == rate.value
        assert not rate.lower_note
        problem, x = rate.worst_case(), rate.worst_case().x0.copy()
        for t, h in enumerate(steps):
            gradient = problem.subgradient(x, step=t)
            assert np.linalg.norm(gradient) <= caps[t] * (1 + 1e-7)
            x = x - h * gradient
        assert problem.value(x) == pytest.approx(rate.value, rel=1e-8)
        assert pytest.approx(1.0, rel=1e-8) == problem.D
    assert min(kinds["attained"], kinds["upper"]) > 10


def test_the_lower_end_under_rising_bounds_vs_the_semidefinite_program():
    rng, count = np.random.default_rng(2), 0
    while count < 6:
        n = int(rng.integers(2, 6))
        steps, caps = 10.0 ** rng.uniform(-1.5, 0.5, n), 10.0 ** rng.uniform(-0.5, 0.5, n + 1)
        rate = exact_rate(steps, 2.0, caps)
        if rate.kind == "upper":
            program = li.worst_case(li.step_matrix.sgd(steps), D=2.0, G=caps)
            assert rate.lower == pytest.approx(program.value, rel=1e-6)
            assert rate.lower >= exact_rate(steps, 2.0, np.minimum.accumulate(caps)).value
            count += 1


@pytest.mark.parametrize("exponent", [-200, 0, 200])
def test_the_lower_end_at_any_scale_and_over_many_decades(exponent):
    rng = np.random.default_rng(1)
    for _ in range(4):
        steps, caps = 10.0 ** rng.uniform(-9, 0, 12), 10.0 ** rng.uniform(-1, 1, 13)
        base, unit = exact_rate(steps, 1.0, caps), 10.0**exponent
        scaled = exact_rate(steps * unit, unit**0.5, caps * unit**-0.5)
        assert 0.0 < scaled.lower <= scaled.value
        assert scaled.lower == pytest.approx(base.lower, rel=1e-9)


@pytest.mark.slow
def test_attained_and_lower_vs_the_semidefinite_program():
    rng = np.random.default_rng(7)
    for _ in range(12):
        steps, caps = rng.uniform(0.0, 1.0, 4), 10.0 ** rng.uniform(-0.5, 0.5, 5)
        rate, program = exact_rate(steps, 1.0, caps), li.worst_case(li.step_matrix.sgd(steps), D=1.0, G=caps)
        assert rate.lower <= program.value * (1 + 1e-7)
        assert rate.value >= program.value * (1 - 1e-7)
        assert rate.lower == pytest.approx(program.value, rel=1e-6)
        if rate.kind == "attained":
            assert rate.value == pytest.approx(program.value, rel=1e-6)


def test_binding_steps_and_free_steps():
    steps = np.array([1.0, 1.0, 0.01, 0.02, 0.01])
    rate = exact_rate(steps)
    assert rate.binding == 2
    np.testing.assert_array_equal(rate.gradient[2:], -1.0)
    more = exact_rate(steps + np.array([0.0, 0.0, 0.005, 0.0, 0.0]))
    assert more.value == pytest.approx(rate.value - 0.005, rel=1e-13)
    assert exact_rate(steps, D=1000.0).binding == 0
    np.testing.assert_array_equal(exact_rate(steps, D=1000.0).gradient, -1.0)
    assert np.abs(tune_base_lr(li.schedules.linear(40)).gradient).max() < 1e-14


def test_a_stack_of_schedules_vs_one_at_a_time():
    rng = np.random.default_rng(4)
    for caps in (1.5, np.linspace(2.0, 1.0, 31), np.linspace(1.0, 2.0, 31)):
        table = np.array([random_schedule(rng, 30, FAMILIES[i % 7]) + 1e-9 for i in range(15)])
        for function in (exact_rate, tune_base_lr):
            stack = function(table, 2.0, caps)
            rows = [function(row, 2.0, caps) for row in table]
            assert len(stack) == 15
            for name in ("value", "base_lr", "sigma", "lower", "gradient", "binding", "steps", "weights"):
                single = np.array([getattr(row, name) for row in rows])
                np.testing.assert_allclose(getattr(stack, name), single, rtol=1e-12, atol=1e-13, err_msg=name)
                np.testing.assert_allclose(getattr(stack[3], name), single[3], rtol=1e-12, atol=1e-13, err_msg=name)
            assert stack[-1].kind == rows[-1].kind
            with pytest.raises(TypeError, match="15 schedules"):
                float(stack)
            assert float(function(table[:1], 2.0, caps)) == pytest.approx(rows[0].value, rel=1e-14)
            assert not stack.value.flags.writeable
    with pytest.raises(TypeError, match="certificate"):
        exact_rate(table).certificate()
    with pytest.raises(TypeError, match="worst"):
        exact_rate(table).worst_case()
    with pytest.raises(IndexError):
        exact_rate(table)[15]


def test_long_rows_are_the_same():
    rng = np.random.default_rng(1)
    table = rng.uniform(0.0, 1.0, (9, 10_500))
    np.testing.assert_allclose(exact_rate(table).value, [exact_rate(row).value for row in table], rtol=1e-15)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=30).map(np.array), st.floats(0.01, 100.0))
def test_the_rate_is_convex_and_its_gradient_supports_it(steps, D):
    rate = exact_rate(steps, D)
    other = np.roll(steps, 1) * 1.3
    line = rate.value + float(rate.gradient @ (other - steps))
    assert exact_rate(other, D).value >= line - 1e-10 * (1.0 + abs(line))


@pytest.mark.parametrize("exponent", [-300, -200, 200, 290])
def test_huge_and_subnormal_scales_vs_the_unit_scale(exponent):
    shape = np.array([1.0, 0.3, 0.0, 0.5])
    base, unit = exact_rate(shape), 10.0**exponent
    for caps in (1.0, np.array([2.0, 1.5, 1.0, 1.0, 0.5])):
        base = exact_rate(shape, 1.0, caps)
        scaled = exact_rate(shape * unit, unit**0.5, caps * unit**-0.5)
        assert scaled.value == pytest.approx(base.value, rel=1e-13)
        assert scaled.sigma == pytest.approx(base.sigma * unit**0.5, rel=1e-12)
        np.testing.assert_allclose(scaled.gradient * unit, base.gradient, rtol=1e-12, atol=1e-13)
    stack = exact_rate(np.array([shape * unit, shape * unit]), unit**0.5, unit**-0.5)
    assert stack.value == pytest.approx(exact_rate(shape).value, rel=1e-13)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"steps": [1.0], "D": 1e-200, "G": 1e-200}, "D"),
        ({"steps": [1.0], "D": 1e200, "G": 1e200}, "D"),
        ({"steps": [1e300], "D": 1.0, "G": 1e200}, "steps"),
        ({"steps": [1.0], "D": 1.0, "G": [1.0, 1e-200]}, "G"),
        ({"steps": [[1.0, -1.0]]}, "steps"),
        ({"steps": [[1.0, math.nan]]}, "steps"),
        ({"steps": np.empty((0, 3))}, "steps"),
        ({"steps": np.empty((3, 0))}, "steps"),
        ({"steps": [["a"]]}, "steps"),
        ({"steps": [[1.0], [2.0]], "G": [1.0, 2.0, 3.0]}, "G"),
    ],
)
def test_what_cannot_be_computed_is_refused(arguments, name):
    with pytest.raises(InputError, match=rf"^{name}: expected"):
        exact_rate(**arguments)
    with pytest.raises(InputError, match=r"^G: expected"):
        _ = exact_rate([1e-300], 1e-100, 1e160).gradient


def test_results_are_small_frozen_values():
    for rate in (exact_rate([0.5, 0.2]), exact_rate([[0.5, 0.2]]), exact_rate([0.5, 0.2], G=[3.0, 2.0, 1.0])):
        assert len(repr(rate)) < 120
        assert hash(rate) == hash(rate)
        again = pickle.loads(pickle.dumps(rate))
        np.testing.assert_array_equal(again.gradient, rate.gradient)
        with pytest.raises(ValueError, match="read-only"):
            rate.gradient[0] = 1.0


def test_momentum_as_an_argument_is_deprecated():
    with pytest.warns(DeprecationWarning, match="momentum_rate"):
        rate = exact_rate([0.1, 0.1], momentum=0.5)
    assert rate.value == li.momentum.momentum_rate([0.1, 0.1], 0.5).value


def test_short_runs_import_neither_numba_nor_scipy():
    code = """
import sys, numpy as np, lastiterate as li
steps = li.schedules.linear(4000)
for G in (1.0, np.linspace(2, 1, 4001), np.r_[np.ones(2000), np.full(2001, 1.1)]):
    for rate in (li.exact_rate(steps, 1.0, G), li.tune_base_lr(steps, 1.0, G)):
        rate.gradient, rate.sigma, rate.weights, rate.lower, rate.binding, repr(rate)
li.exact_rate(np.ones((5, 4000))).gradient
li.theorem10_rate(steps), li.tune_base_lr(steps, bound="theorem10"), li.tune_base_lr(steps, bound="average")
print(*(name for name in ("numba", "scipy") if name in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""

"""Every number of a rate against a scan over the one free parameter, sigma, for gradient bounds of every shape."""

import math

import numpy as np
import pytest
from literal_sdp import primal_value

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.theorem10 import tuned_average_rate, tuned_theorem10_rate
from lastiterate.theory.rates.varying import tightened_rate

STEPS = {
    "falling": [0.9, 0.7, 0.3, 0.1],
    "rising": [0.1, 0.2, 0.6, 0.9],
    "zeros": [0.0, 0.5, 0.0, 0.4],
    "early": [2.0, 1.0, 0.01, 0.02],
}
CAPS = {
    "constant": [1.5] * 5,
    "falling": [2.0, 1.6, 1.6, 1.0, 0.7],
    "plateau": [2.0, 2.0, 2.0, 1.0, 1.0],
    "last": [2.0, 2.0, 2.0, 2.0, 1.0],
    "rising a little": [1.0, 1.05, 1.1, 1.15, 1.2],
    "any": [1.0, 3.0, 0.4, 2.0, 0.5],
}
CASES = [(steps, caps, D) for steps in STEPS for caps in CAPS for D in (0.3, 1.0, 4.0)]


def sums(steps, caps, sigma):
    """s_0^2 and sum_k (w_k G_k)^2 for an array of sigmas."""
    s, total = sigma.copy(), (sigma * caps[-1]) ** 2
    for h, cap in zip(steps[::-1], caps[-2::-1], strict=True):
        w = h / s
        s, total = s + w, total + (w * cap) ** 2
    return s**2, total


def scan(objective):
    """The least value over sigma, on grids that close in, and where it is."""
    low, high = -12.0, 6.0
    for _ in range(6):
        grid = np.linspace(low, high, 4001).astype(np.longdouble)
        values = objective(np.exp(grid))
        best = int(np.argmin(values))
        low, high = grid[max(best - 4, 0)], grid[min(best + 4, 4000)]
    return float(values[best]), math.exp(grid[best])


def scanned_rate(steps, D, caps):
    def bound(sigma):
        first, total = sums(steps, caps, sigma)
        return 0.5 * (D * D / first + total)

    return scan(bound)


@pytest.mark.parametrize(("steps", "caps", "D"), CASES)
def test_exact_rate(steps, caps, D):
    h, G = np.array(STEPS[steps]), np.array(CAPS[caps])
    value, _ = scanned_rate(h, D, G)
    rate = li.exact_rate(h, D, G)
    assert rate.value == pytest.approx(value, rel=1e-12)
    first, total = sums(h, G, np.array([rate.sigma]))  # several sigmas may be best: one of them
    assert 0.5 * (D * D / first[0] + total[0]) == pytest.approx(value, rel=1e-12)
    assert (rate.base_lr, rate.n_steps, rate.D) == (1.0, 4, D)
    assert rate.steps.tolist() == h.tolist()
    if caps == "constant":
        assert rate.G == 1.5
    else:
        assert rate.G.tolist() == G.tolist()
    if caps in ("any", "rising a little"):
        assert rate.kind in ("attained", "upper")
        assert 0.0 <= rate.tolerance < 1e-9
        assert rate.binding == 4
    else:
        assert rate.kind == "exact"
        assert rate.tolerance == 0.0
    w, s = [rate.sigma], rate.sigma
    for step in h[::-1]:
        w.insert(0, step / s)
        s += step / s
    assert rate.weights.tolist() == pytest.approx(w, rel=1e-12)


@pytest.mark.parametrize(("steps", "caps", "D"), CASES)
def test_tuned_rate(steps, caps, D):
    h, G = np.array(STEPS[steps]), np.array(CAPS[caps])

    def ratio(sigma):
        first, total = sums(h, G, sigma)
        return total / first

    least, _ = scan(ratio)
    tuned = li.tune_base_lr(h, D, G)
    assert tuned.value == pytest.approx(D * math.sqrt(least), rel=1e-12)
    first, total = (float(x[0]) for x in sums(h, G, np.array([tuned.sigma / math.sqrt(tuned.base_lr)])))
    assert total / first == pytest.approx(least, rel=1e-12)
    assert tuned.base_lr == pytest.approx(D / math.sqrt(first * total), rel=1e-12)
    assert li.exact_rate(h * tuned.base_lr, D, G).value == pytest.approx(tuned.value, rel=1e-13)
    assert tuned.steps.tolist() == pytest.approx((h * tuned.base_lr).tolist(), rel=1e-15)
    assert (tuned.n_steps, tuned.D) == (4, D)
    again = li.exact_rate(h * tuned.base_lr, D, G)
    assert tuned.binding == again.binding
    assert np.array_equal(tuned.G, again.G)
    exact = caps not in ("any", "rising a little")
    assert (tuned.kind == "exact") is exact
    assert (tuned.tolerance == 0.0) is exact
    assert tuned.tolerance < 1e-9
    assert tuned.kind in ("exact", "attained", "upper")


@pytest.mark.parametrize("G", [[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]])
def test_one_step_vs_the_scan(G):
    h, caps = np.array([0.4]), np.array(G)
    assert li.exact_rate(h, 1.5, caps).value == pytest.approx(scanned_rate(h, 1.5, caps)[0], rel=1e-12)

    def ratio(sigma):
        first, total = sums(h, caps, sigma)
        return total / first

    assert li.tune_base_lr(h, 1.5, caps).value == pytest.approx(1.5 * math.sqrt(scan(ratio)[0]), rel=1e-12)


def test_bounds_that_differ_and_hardly_rise_are_searched():
    """Where G falls everywhere the rate is exact, and a last value above the one before it makes the difference."""
    for caps, kinds in (([2.0, 1.0, 1.0], {"exact"}), ([2.0, 1.0, 1.0 + 1e-9], {"attained", "upper"})):
        assert li.exact_rate([0.5, 0.2], G=caps).kind in kinds
        assert li.tune_base_lr([0.5, 0.2], G=caps).kind in kinds


@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("caps", [1.5, [2.0, 1.6, 1.6, 1.0, 0.7]])
def test_stacks_are_their_rows(count, caps):
    table = np.array([*STEPS.values(), *STEPS.values(), [1e-200, 0.0, 1e-200, 1e-201]])[:count]
    for function in (li.exact_rate, li.tune_base_lr):
        stack = function(table, 3.0, caps)
        rows = [function(row, 3.0, caps) for row in table]
        for name in ("value", "base_lr", "sigma"):
            expected = [getattr(row, name) for row in rows]
            assert getattr(stack, name).tolist() == pytest.approx(expected, rel=1e-13)
        assert stack.kind == "exact"
        assert len(stack) == count


def test_texts_defaults_and_other_bounds():
    linear = li.schedules.linear(6)
    assert li.exact_rate("linear", 2.0, 3.0, n_steps=6).value == li.exact_rate(linear, 2.0, 3.0).value
    assert li.exact_rate(linear).value == li.exact_rate(linear, 1.0, 1.0).value
    assert li.tune_base_lr("linear", 2.0, 3.0, n_steps=6).value == li.tune_base_lr(linear, 2.0, 3.0).value
    assert li.tune_base_lr(linear).value == li.tune_base_lr(linear, 1.0, 1.0, "exact").value
    caps = np.linspace(2.0, 1.0, 7)
    assert (
        li.tune_base_lr("linear", 2.0, caps, "average", n_steps=6).value == tuned_average_rate(linear, 2.0, caps).value
    )
    for last in ("optimal", 0.25):
        expected = tuned_theorem10_rate(linear, 2.0, caps, last)
        for given in (linear, "linear"):
            n_steps = 6 if given is not linear else None
            found = li.tune_base_lr(given, 2.0, caps, "theorem10", last_value=last, n_steps=n_steps)
            assert (found.value, found.base_lr, found.kind) == (expected.value, expected.base_lr, "theorem10")
    assert li.tune_base_lr(linear, bound="theorem10").value == tuned_theorem10_rate(linear, 1.0, 1.0, "optimal").value
    with pytest.raises(InputError, match=r"^bound: expected"):
        li.tune_base_lr(linear, bound="EXACT")
    with pytest.warns(DeprecationWarning, match="momentum"):
        found = li.exact_rate([0.1, 0.2], 2.0, 3.0, momentum=0.5)
    assert found.value == li.momentum.momentum_rate([0.1, 0.2], 0.5, 2.0, 3.0).value


def test_without_a_positive_step_the_least_bound_counts():
    for steps in ([0.0, 0.0], np.empty(0)):
        rate = li.exact_rate(steps, 2.0, [3.0, 1.0, 2.0][: len(steps) + 1])
        least = 1.0 if len(steps) else 3.0
        assert (rate.value, rate.kind, rate.base_lr, rate.tolerance) == (2.0 * least, "exact", 1.0, 0.0)
        assert (rate.G, rate.n_steps, rate.D) == (least, len(steps), 2.0)
        assert rate.steps.tolist() == list(steps)
    for steps in ([0.0, 0.0], np.empty(0), [[1.0, 0.0], [0.0, 0.0]]):
        with pytest.raises(InputError, match="steps: expected at least one positive step to scale, got only zeros"):
            li.tune_base_lr(steps)
    assert li.tune_base_lr([[1.0, 0.0], [0.0, 1.0]]).value.tolist() == pytest.approx([math.sqrt(0.5)] * 2)


@pytest.mark.parametrize("caps", ["constant", "falling", "any"])
@pytest.mark.parametrize("unit", [2.0**-560, 2.0**-100, 2.0**560])
def test_units_change_nothing(caps, unit):
    h, G = np.array(STEPS["falling"]), np.array(CAPS[caps])
    for function in (li.exact_rate, li.tune_base_lr):
        base = function(h, 2.0, G)
        scaled = function(h * unit, 2.0 * math.sqrt(unit), G / math.sqrt(unit))
        assert scaled.value == pytest.approx(base.value, rel=1e-13)
        assert scaled.base_lr == pytest.approx(base.base_lr, rel=1e-7)
        assert scaled.sigma == pytest.approx(base.sigma * math.sqrt(unit), rel=1e-7)
    alone = li.tune_base_lr(h * unit, 2.0, G)
    assert alone.value == pytest.approx(base.value, rel=1e-13)
    assert alone.base_lr * unit == pytest.approx(base.base_lr, rel=1e-7)


def test_rates_and_base_learning_rates_beyond_floating_point_are_refused():
    for caps in (1e200, [2e200, 1e200], [1e200, 2e200]):
        with pytest.raises(InputError, match="steps: expected steps for which the rate is a finite number"):
            li.exact_rate([1e300], 1e-100, caps)
    for caps in (1.0, [2.0, 1.0], [1.0, 2.0]):
        with pytest.raises(InputError, match="base learning rate"):
            li.tune_base_lr([1e-307], 1.0, caps)


@pytest.mark.parametrize(("D", "seed"), [(1.0, 0), (0.2, 1), (5.0, 2), (1.0, 3)])
def test_tightened_rate_vs_the_literal_program(D, seed):
    rng = np.random.default_rng(seed)
    steps, G = 10.0 ** rng.uniform(-1.5, 0.5, 3), 10.0 ** rng.uniform(-0.7, 0.7, 4)
    rate = tightened_rate(steps, D, G)
    assert rate.value == pytest.approx(primal_value(li.step_matrix.sgd(steps), D, G), rel=1e-6)
    assert rate.recursion_value == li.exact_rate(steps, D, G).value
    assert (rate.D, rate.steps.tolist(), rate.G.tolist()) == (D, steps.tolist(), G.tolist())
    assert rate.kind in ("exact", "attained")
    assert float(rate.certificate().prove()) == pytest.approx(rate.value, rel=1e-8)
    certificate = rate.certificate()
    assert certificate.G.tolist() == G.tolist()
    assert certificate.D == D


TIGHT = ([0.0107, 0.1245], [0.1436, 2.0194, 0.3529])


def test_a_pivot_tightens_the_recursion():
    rate = tightened_rate(TIGHT[0], G=TIGHT[1])
    assert rate.kind == "exact"
    assert rate.value < 0.64 * rate.recursion_value
    again = tightened_rate([x * 9.0 for x in TIGHT[0]], 18.0, [x * 2.0 for x in TIGHT[1]])
    assert again.value == pytest.approx(36.0 * rate.value, rel=1e-12)
    assert again.weights.tolist() == pytest.approx((3.0 * rate.weights).tolist(), rel=1e-9)
    assert float(again.certificate().prove()) == pytest.approx(again.value, rel=1e-9)


def test_weights_of_the_theorem():
    """With the u_k that the weights stand for the value is (D^2 / u_0 + sum_k G_k^2 z_k + G_N^2 u_N) / 2."""
    for steps, G in (TIGHT, ([0.5, 0.3, 0.2], [1.0, 0.8, 0.6, 0.6])):
        rate = tightened_rate(steps, 2.0, G)
        s = np.cumsum(rate.weights[::-1])[::-1]
        h, u = np.array(steps), [s[0] ** 2]
        for k in range(len(steps)):  # s_{k+1} = s_k (u_{k+1} + h_k) / u_k
            u.append(s[k + 1] / s[k] * u[k] - h[k])
        u = np.array(u)
        z = u[:-1] - u[1:] - 2.0 * h
        assert (rate.weights >= 0.0).all()
        assert (z * u[1:] >= h**2 * (1.0 - 1e-9)).all()
        value = 0.5 * (4.0 / u[0] + z @ np.square(G[:-1]) + u[-1] * G[-1] ** 2)
        assert value == pytest.approx(rate.value, rel=1e-9)


def test_where_the_recursion_is_attained_it_stands():
    for steps, G in (
        ([0.5, 0.3], [2.0, 1.0, 1.0]),
        ([0.5, 0.2, 0.4], [1.0, 1.0, 1.0, 1.0]),
        ([0.0, 0.0], [3.0, 2.0, 1.0]),
    ):
        rate, recursion = tightened_rate(steps, 2.0, G), li.exact_rate(steps, 2.0, G)
        assert (rate.value, rate.recursion_value, rate.kind) == (recursion.value, recursion.value, "exact")
        assert rate.weights.tolist() == recursion.weights.tolist()
        assert float(rate.certificate().prove()) == pytest.approx(rate.value, rel=1e-8)
    assert tightened_rate("linear", 2.0, 3.0, n_steps=4).value == li.exact_rate("linear", 2.0, 3.0, n_steps=4).value
    assert tightened_rate([0.5]).value == li.exact_rate([0.5]).value
    assert tightened_rate(np.empty(0), 2.0, 3.0).value == 6.0


@pytest.mark.parametrize("G", [[3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 1.0, 2.0, 1.0, 4.0]])
def test_without_steps_the_certificate_proves_the_least_bound(G):
    """Every query is at x_0: f(x_N) is compared with the point of the smallest subgradients."""
    rate = tightened_rate(np.zeros(len(G) - 1), 2.0, G)
    assert (rate.value, rate.kind) == (2.0, "exact")
    assert float(rate.certificate().prove()) == pytest.approx(2.0, rel=1e-12)


def test_many_zero_steps_underflow_without_a_word():
    """Forty of them leave weights that float64 cannot hold: the value stands."""
    rate = tightened_rate(np.zeros(40), 2.0, np.linspace(1.0, 2.0, 41))
    assert (rate.value, rate.kind) == (2.0, "exact")
    assert np.isfinite(rate.weights).all()


@pytest.mark.parametrize(
    ("steps", "G"),
    [
        ([0.0107, 0.1245, 5e-324], [0.1436, 2.0194, 0.3529, 3.0]),
        ([5e-324], [0.1, 10.0]),
        ([5e-324], [0.15, 0.3]),
        ([0.0, 0.0, 1.0, 5e-324], [1.9, 0.35, 0.12, 0.11, 4.2]),
    ],
)
def test_steps_that_underflow_leave_the_recursion(steps, G):
    """The weights of a step of 5e-324 are no numbers: the value is that of the recursion, or below."""
    rate = tightened_rate(steps, 1.0, G)
    assert rate.value <= rate.recursion_value
    assert np.isfinite(rate.weights).all()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"D": 0.0}, "D"), ({"D": "1"}, "D"), ({"G": [1.0]}, "G"), ({"G": 0.0}, "G"), ({"steps": [-1.0]}, "steps")],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(InputError, match=f"^{name}"):
        tightened_rate(**{"steps": [0.5, 0.5], **arguments})

"""The recursions of the exact rate, one by one, in 40 digits; what rounding takes is counted in the last digits."""

import math

import numpy as np
import pytest
from mpmath import mp, mpf
from rate_references import FAMILIES, random_schedule

from lastiterate.theory.rates import closed_form as recursions
from lastiterate.theory.rates.closed_form import OnePass

SEEDED = [(family, seed) for family in FAMILIES for seed in range(3)]
LONG = 20_000  # steps of linear decay, where plain sums lose four digits


@pytest.fixture(autouse=True)
def forty_digits():
    with mp.workdps(40):
        yield


def schedule(family, seed, n=None):
    rng = np.random.default_rng([FAMILIES.index(family), seed])
    return random_schedule(rng, int(rng.integers(1, 40)) if n is None else n, family)


def linear(n=LONG):
    return np.arange(n, 0, -1) / n


def exactly(values):
    return [mpf(float(x)) for x in values]


def close(found, expected, digits=2e-15):
    """Whether numbers agree up to a few units in their last digits."""
    return all(abs(mpf(float(a)) - b) <= digits * abs(b) for a, b in zip(found, expected, strict=True))


def literal_pass(steps):
    """M_0, Q, the sums of the free and of all steps, the number that bind, and lambda."""
    h, M, squares, binding = exactly(steps), mpf(0), mpf(0), 0
    ratios = [mpf(0)] * len(h)
    for k in reversed(range(len(h))):
        if h[k] == 0:
            continue
        z = max(M, mp.sqrt(h[k]))
        if h[k] > M * M:
            squares, binding = h[k], k + 1
        w, ratios[k] = h[k] / z, h[k] / z**2
        M, squares = z + w, squares + w**2
    return M, squares, mp.fsum(h[binding:]), mp.fsum(h), binding, ratios


@pytest.mark.parametrize("as_given", [list, np.asarray])
@pytest.mark.parametrize(("family", "seed"), SEEDED)
def test_one_pass(family, seed, as_given):
    steps = schedule(family, seed)
    *expected, binding, ratios = literal_pass(steps)
    if family == "ties":  # rounding decides which of two equal passes it is
        return
    *found, bound = recursions.one_pass(as_given(steps))
    assert bound == binding
    assert close(found, expected)
    filled = as_given(np.full(steps.size, np.nan))
    recursions.binding_ratios(as_given(steps), filled)
    assert close(filled, ratios, 1e-14)


def test_one_pass_starts_anew_at_steps_above_what_the_later_ones_need():
    """Steps of 1 over four of 1/16: M is 2 sqrt(1/16) and on, then z = 1."""
    first, squares, free, total, binding = recursions.one_pass([1.0, 0.0625, 0.0625, 0.0, 0.0])
    assert (first, squares, binding) == (2.0, 2.0, 1)
    assert (free, total) == (0.125, 1.125)
    assert recursions.one_pass([]) == recursions.one_pass([0.0, 0.0]) == (0.0, 0.0, 0.0, 0.0, 0)
    assert recursions.one_pass([0.25, 0.0625])[4] == 2  # z is 1/2 either way: a tie does not start anew
    assert recursions.one_pass([0.25, 0.0625])[1] == 0.25 + 2 * 0.0625


@pytest.mark.parametrize("n", [15, 16, 17, 32, 33])
def test_the_folds_of_a_pass_join(n):
    *expected, binding, ratios = literal_pass(linear(n))
    *found, bound = recursions.one_pass(linear(n).tolist())
    assert bound == binding
    assert close(found, expected, 1e-15)
    filled = [0.0] * n
    recursions.binding_ratios(linear(n).tolist(), filled)
    assert close(filled, ratios, 4e-15)


@pytest.mark.parametrize("before", [[], [1e9, 1e9]])
def test_a_long_pass_loses_little_to_rounding(before):
    """Plain sums lose 1.3e-13 of M, 1e-13 of the squares and 5e-16 of the total."""
    steps = np.append(before, linear())
    first, squares, free, total, _, ratios = literal_pass(steps)
    found = recursions.one_pass(steps.tolist())
    assert close(found[:1], [first], 1e-14)
    assert close(found[1:2], [squares], 3e-14)
    assert close(found[2:4], [free, total], 2.3e-16)
    filled = [0.0] * steps.size
    recursions.binding_ratios(steps.tolist(), filled)
    assert close(filled, ratios, 6e-14)


def test_a_pass_over_a_hundred_thousand_steps_of_linear_decay():
    """Every w is N^-1/2, the first one twice, so that M = (N + 1) / sqrt(N) and Q = (N + 1) / N."""
    n = 100_000
    first, squares, _, total, _ = recursions.one_pass(linear(n).tolist())
    assert first == pytest.approx((n + 1) / math.sqrt(n), rel=4e-14, abs=0.0)
    assert squares == pytest.approx((n + 1) / n, rel=4e-14, abs=0.0)
    assert total == (n + 1) / 2


@pytest.mark.parametrize("seed", range(4))
def test_one_pass_of_rows(seed):
    table = np.array([schedule(family, seed, 21) for family in FAMILIES if family != "ties"])
    ratios = np.full((21, len(table)), np.nan)
    found = recursions.one_pass_of_rows(table, ratios)
    again = recursions.one_pass_of_rows(table)
    for i, row in enumerate(table):
        *expected, binding, literal = literal_pass(row)
        assert found.binding[i] == binding
        assert close([numbers[i] for numbers in found[:4]], expected)
        assert close(ratios[:, i], literal, 1e-14)
        assert [numbers[i] for numbers in again] == [numbers[i] for numbers in found]
    assert found.binding.dtype == np.int64


def test_a_tie_does_not_start_a_row_anew():
    found = recursions.one_pass_of_rows(np.array([[0.25, 0.0625]]))
    assert (found.binding.tolist(), found.squares.tolist(), found.free.tolist()) == ([2], [0.375], [0.0])


def test_rows_lose_nothing_to_rounding_and_may_be_zero():
    found = recursions.one_pass_of_rows(np.array([linear(3000), np.zeros(3000)]))
    *expected, _, _ = literal_pass(linear(3000))
    assert close([found.first[0]], expected[:1], 1e-16)
    assert close([found.squares[0], found.total[0]], [expected[1], expected[3]], 1e-13)
    assert 0.0 < found.first[1] < 1e-169  # of no step: below the root of every positive number
    assert (found.free[1], found.total[1], found.binding[1]) == (0.0, 0.0, 0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_slopes(share):
    """-rho_k / G^2 = d_k (1 + lambda_k) - 1, d_{k+1} = (1 - lambda_k^2) d_k."""
    ratios = [0.5, 0.0, 1.0, 0.25, 0.75]
    expected, d = [], mpf(share)
    for ratio in exactly(ratios):
        expected.append(d * (1 + ratio) - 1)
        d *= 1 - ratio**2
    recursions.slopes(ratios, share)
    assert [mpf(x) for x in ratios] == pytest.approx(expected, abs=1e-15)


def literal_sigma(steps, start):
    """s_{k+1} is the larger root of s_k = s_{k+1} + h_k / s_{k+1}; without a root the pass starts at the least s_k."""
    s, binding = mpf(start), 0
    for k, h in enumerate(exactly(steps)):
        if h == 0:
            continue
        if s * s <= 4 * h:
            s, binding = mp.sqrt(h), k + 1
        else:
            s = (s + mp.sqrt(s * s - 4 * h)) / 2
    return s, binding


@pytest.mark.parametrize("start", [0.0, 0.5, 30.0])
@pytest.mark.parametrize(("family", "seed"), SEEDED)
def test_largest_sigma(family, seed, start):
    steps = schedule(family, seed)
    if family in ("ties", "quarters", "plateaus"):  # a root of zero: rounding decides
        return
    theta, binding = literal_sigma(steps, start)
    found, bound = recursions.largest_sigma(steps.tolist(), start)
    assert bound == binding
    assert close([found], [theta], 1e-12)
    every = [math.nan] * steps.size
    recursions.largest_sigmas(steps.tolist(), start, every)
    assert every == [recursions.largest_sigma(steps[: k + 1].tolist(), start)[0] for k in range(steps.size)]


def test_largest_sigma_by_hand():
    assert recursions.largest_sigma([1.0], 2.0) == (1.0, 1)  # a tie starts anew
    assert recursions.largest_sigma([1.0, 0.0], 2.5) == (2.0, 0)
    assert recursions.largest_sigma([0.0, 0.0], 3.0) == (3.0, 0)
    assert recursions.largest_sigma([0.0, 0.0], 0.0) == (0.0, 0)
    assert recursions.largest_sigma([4.0, 0.75], 0.0) == (1.5, 1)
    every = [0.0] * 3
    recursions.largest_sigmas([0.0, 4.0, 0.0], 0.0, every)
    assert every == [0.0, 2.0, 2.0]
    recursions.largest_sigmas([1.0, 0.0, 0.0], 2.0, every)
    assert every == [1.0, 1.0, 1.0]


def literal_chain(steps, caps, sigma):
    """s_0, the sum of squares, w and lambda."""
    s, w, ratios = mpf(sigma), [mpf(sigma)], []
    for h in reversed(exactly(steps)):
        w.insert(0, h / s)
        ratios.insert(0, h / s**2)
        s += h / s
    return s, mp.fsum((a * b) ** 2 for a, b in zip(w, exactly(caps), strict=True)), w, ratios


@pytest.mark.parametrize("sigma", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(("family", "seed"), SEEDED)
def test_weights_and_chain(family, seed, sigma):
    steps = schedule(family, seed)
    caps = np.random.default_rng(seed).uniform(0.5, 2.0, steps.size + 1)
    s, squares, w, expected = literal_chain(steps, caps, sigma)
    out, ratios = [math.nan] * (steps.size + 1), [math.nan] * steps.size
    recursions.weights(steps.tolist(), sigma, out)
    assert close(out, w, 2e-14)
    assert close(recursions.chain(steps.tolist(), caps.tolist(), sigma, ratios), (s, squares))
    assert close(ratios, expected, 2e-15)


@pytest.mark.parametrize("n", [1023, 1024, 1025, LONG])
def test_chain_loses_nothing_to_rounding(n):
    caps = np.linspace(2.0, 1.0, n + 1)
    s, squares, _, expected = literal_chain(linear(n), caps, 1.0)
    ratios = [math.nan] * n
    assert close(recursions.chain(linear(n).tolist(), caps.tolist(), 1.0, ratios), (s, squares), 1e-15)
    assert close(ratios, expected, 1e-15)


def test_distance_term():
    assert recursions.distance_term(3.0, 2.0) == (3.0 / 4.0) ** 2
    assert recursions.distance_term(1.0, 1e-80) == pytest.approx(1e300, rel=1e-14)
    assert recursions.distance_term(1e149, 1.0) == pytest.approx(1e298)


def literal_slacks(ratios, caps, term):
    """d_0..d_N with the sizes of what they are made of: G_t^2 - e_t, or the one before, as is better."""
    G, e = exactly(caps), mpf(term)
    d, sizes = [G[0] ** 2 - e], [G[0] ** 2 + e]
    for t, ratio in enumerate(exactly(ratios)):
        kept, fall, square = 1 - ratio**2, G[t] ** 2 - G[t + 1] ** 2, G[t + 1] ** 2
        e = kept * e + ratio**2 * G[t] ** 2
        d.append(kept * d[t] - fall)
        sizes.append(min(kept * (sizes[t] + 3 * abs(d[t])) + 3 * abs(fall), (t + 3) * e + square))
    return d, sizes


FALLS = {
    "slow": lambda rng, n: np.sort(rng.uniform(1.0, 2.0, n + 1))[::-1],
    "deep": lambda rng, n: np.sort(10.0 ** rng.uniform(-7, 0, n + 1))[::-1],
    "flat": lambda rng, n: np.full(n + 1, 1.5),
    "plateaus": lambda rng, n: np.sort(rng.choice([1.0, 1e-3, 1e-6], n + 1))[::-1],
    "rising": lambda rng, n: np.sort(10.0 ** rng.uniform(-7, 0, n + 1)),
    "any": lambda rng, n: 10.0 ** rng.uniform(-4, 0, n + 1),
}


@pytest.mark.parametrize("kind", FALLS)
@pytest.mark.parametrize("seed", range(8))
def test_slacks(kind, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    ratios, caps = rng.uniform(0.0, 1.0, n) * (1e-4 if kind == "deep" and seed % 2 else 1.0), FALLS[kind](rng, n)
    term = float(caps[0] ** 2 * rng.choice([0.0, 0.5, 1.0 - 1e-9, 1.0, 1.5]))
    expected, sizes = literal_slacks(ratios, caps, term)
    out = [math.nan] * (n + 1)
    recursions.slacks(ratios.tolist(), caps.tolist(), term, out)
    found = [out]
    if kind in ("slow", "deep", "flat", "plateaus"):
        found.append([recursions.slack(ratios.tolist(), caps.tolist(), term, stop) for stop in range(n + 1)])
    for values in found:
        for value, d, size in zip(values, expected, sizes, strict=True):
            assert abs(value - d) <= 1e-15 * size + 1e-280


def test_slacks_between_falls_are_products():
    """The first d is 2^-40: as a difference of squares it would lose its last twelve digits."""
    expected = mpf(2) ** -40 * (1 - mpf(0.3) ** 2) * (1 - mpf(0.7) ** 2)
    out = [math.nan] * 3
    recursions.slacks([0.3, 0.7], [1.0, 1.0, 1.0], 1.0 - 2.0**-40, out)
    assert close([out[2], recursions.slack([0.3, 0.7], [1.0, 1.0, 1.0], 1.0 - 2.0**-40, 2)], [expected] * 2, 1e-15)


def test_the_sign_of_a_slack_survives_ties():
    """Where G does not fall and lambda is 1, d stays on its side of zero; rounding beyond 1 counts as 1."""
    for ratio in (1.0, 1.0 + 1e-15):
        assert 0.0 < recursions.slack([ratio] * 3, [1.0] * 4, 0.5, 3) <= 1e-280
        assert -1e-280 <= recursions.slack([ratio] * 3, [1.0] * 4, 1.5, 3) < 0.0
    assert 0.0 < recursions.slack([0.0], [1.0, 1.0], 1.0, 1) <= 1e-280
    assert recursions.slack([0.5], [1.0, 1.0], 0.5, 1) == 0.375
    assert recursions.slack([0.5], [1.0, 1.0], 1.5, 1) == -0.375


@pytest.mark.parametrize("D", [0.5, 1.0, 40.0])
@pytest.mark.parametrize(("family", "seed"), SEEDED)
def test_rates_of_a_pass(family, seed, D):
    """With u = max(M_0^2, D) the rate is (D^2 / u + u) / 2 - S; tuned it is sqrt(1 - 2 S / M_0^2)."""
    one = OnePass(*recursions.one_pass(schedule(family, seed).tolist()))
    M, _, _, S, _, _ = literal_pass(schedule(family, seed))
    if one.first == 0.0:
        return
    u = max(M * M, mpf(D))
    expected = (mpf(D) ** 2 / u + u) / 2 - S
    assert mpf(one.rate(math.sqrt(D)) * D) == pytest.approx(expected, rel=1e-14)
    rows = one.rates(np.array([math.sqrt(D), 2.0 * math.sqrt(D)]))
    assert rows.tolist() == pytest.approx([one.rate(math.sqrt(D)), one.rate(2.0 * math.sqrt(D))], rel=1e-15)
    tuned = mp.sqrt(1 - 2 * S / M**2)
    assert mpf(one.tuned_rate) == pytest.approx(tuned, rel=1e-14)
    assert mpf(one.tuned_reach**2) == pytest.approx(M**2 * tuned, rel=1e-14)


def test_no_step_at_all():
    one = OnePass(0.0, 0.0, 0.0, 0.0, 0)
    assert one.rate(2.0) == 1.0
    assert one.rates(np.array([2.0])).tolist() == [1.0]


def test_a_rate_at_the_reach_of_the_pass_itself():
    """Both formulas hold there."""
    one = OnePass(*recursions.one_pass([0.25]))
    assert one.first == 1.0
    assert one.rate(1.0) == one.rates(np.array([1.0]))[0] == 0.75
    with np.errstate(all="raise"):  # of the branch that is dropped nothing is heard
        assert OnePass(1e-200, 0.0, 0.0, 0.0, 0).rates(np.array([1e200])).tolist() == [1.0]


@pytest.mark.parametrize("largest", [1e-150, 1e150, 1e-151, 1e151, 3e-200, 7e307, 1e-290, 1.7e308])
def test_powers_of_four_bring_steps_to_one(largest):
    factor = recursions.power_of_four(largest)
    mantissa, exponent = math.frexp(factor)
    assert mantissa == 0.5
    assert (exponent - 1) % 2 == 0
    assert 0.5 <= factor * largest <= 2.0


def test_steps_of_ordinary_size_stay():
    for largest in (0.0, 1.01e-150, 1.0, 0.99e150):
        assert recursions.power_of_four(largest) == 1.0
    for largest in (5e-324, 1e-310):
        assert recursions.power_of_four(largest) == 2.0**1000

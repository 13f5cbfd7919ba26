"""The worst case for gradient bounds in any order: against its own lower bound, the recursion and a cone program."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.rates.pivots import least_tails


def random_run(generator, n_steps):
    """Steps and bounds of several kinds: wild, sorted, smooth, with zero steps."""
    steps = np.exp(generator.normal(-1.0, generator.choice([0.1, 1.0, 3.0]), n_steps))
    caps = np.exp(generator.normal(0.0, generator.choice([0.1, 0.5]), n_steps + 1))
    kind = generator.integers(4)
    if kind == 0:
        caps = np.sort(caps)
    elif kind == 1:
        steps[generator.random(n_steps) < 0.2] = 0.0
    elif kind == 2:
        caps = np.exp(generator.normal(0.0, 0.5) * np.linspace(0.0, 1.0, n_steps + 1))
    return steps, caps / caps.max()


def guess(steps, caps):
    return float(li.exact_rate(steps, 1.0, caps).weights.sum() ** 2)


def lower_bound(steps, tails, caps):
    """Weak duality with the multipliers d_k of the optimality system, clipped into their domain, written out."""
    ratios = np.divide(steps, tails[1:], out=np.zeros_like(steps), where=steps > 0.0)
    d = [caps[0] ** 2 - 1.0 / tails[0] ** 2]
    for k in range(steps.size):
        d.append((1.0 - ratios[k] ** 2) * d[k] - caps[k] ** 2 + caps[k + 1] ** 2)
    rho = caps[:-1] ** 2 - (1.0 + ratios) * np.array(d[:-1])
    common = caps[-1] ** 2
    for k in range(steps.size - 1, -1, -1):
        slope = min(rho[k], caps[k] ** 2, common)
        own, later = caps[k] ** 2 - slope, common - slope
        common = slope + (own * later / (own + later) if own + later > 0.0 else 0.0)
    return np.sqrt(common) - rho @ steps


def test_value_lies_between_its_bounds():
    generator = np.random.default_rng(0)
    gaps = []
    for _ in range(300):
        steps, caps = random_run(generator, int(generator.integers(1, 40)))
        tails, extra, value = least_tails(steps, 1.0, caps, guess(steps, caps))
        assert np.all(tails[:-1] - tails[1:] - 2.0 * steps >= extra - 1e-12 * tails[:-1])
        assert np.all(extra * tails[1:] >= steps**2 * (1.0 - 1e-12))
        rate = li.exact_rate(steps, 1.0, caps)
        assert value <= rate.value * (1.0 + 1e-12)
        if rate.exact:
            assert value == pytest.approx(rate.value, rel=1e-8)
        gaps.append(1.0 - lower_bound(steps, tails, caps) / value)
    assert np.max(gaps) < 1e-6
    assert np.median(gaps) < 1e-13


def test_value_vs_cone_program():
    import cvxpy as cp

    generator = np.random.default_rng(1)
    for _ in range(15):
        steps, caps = random_run(generator, int(generator.integers(1, 12)))
        n, squares = steps.size, caps**2
        u, z = cp.Variable(n + 1), cp.Variable(n)
        rows = [
            u[:-1] == u[1:] + 2 * steps + z,
            cp.SOC(u[1:] + z, cp.vstack([2 * steps, u[1:] - z]), axis=0),
            u[n] >= 0,
        ]
        objective = 0.5 * (cp.inv_pos(u[0]) + squares[:-1] @ z + squares[n] * u[n])
        expected = cp.Problem(cp.Minimize(objective), rows).solve(solver="CLARABEL")
        assert least_tails(steps, 1.0, caps, guess(steps, caps))[2] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_guess_does_not_matter(factor):
    steps, caps = random_run(np.random.default_rng(3), 20)
    best = least_tails(steps, 1.0, caps, guess(steps, caps))[2]
    assert least_tails(steps, 1.0, caps, factor * guess(steps, caps))[2] == pytest.approx(best, rel=1e-13)


def test_smooth_growth_of_the_bounds():
    caps = np.geomspace(0.01, 1.0, 501)
    steps = li.schedules.linear(500) / np.sqrt(500)
    tails, _, value = least_tails(steps, 1.0, caps, guess(steps, caps))
    assert value < 0.7 * li.exact_rate(steps, 1.0, caps).value
    assert lower_bound(steps, tails, caps) == pytest.approx(value, rel=1e-6)

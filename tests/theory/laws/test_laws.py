"""Every law: its gradients against finite differences, its fast curve against its sums, and its published formula."""

import numpy as np
import pytest
from scipy import integrate

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.laws.effective_steps import effective_steps
from lastiterate.theory.laws.pieces import falls, falls_adjoint
from lastiterate.theory.laws.protocol import Run
from lastiterate.theory.laws.registry import LAWS
from lastiterate.theory.rates.sgd import exact_rate, theorem10_rate

NAMES = sorted(LAWS)
AT = np.array([10, 60, 155, 240, 300])


def schedule(seed=0):
    """Warm-up, noise about a plateau, a sudden fall, a recovery and a decay; no two steps equal."""
    rng = np.random.default_rng(seed)
    shape = np.concatenate([np.linspace(0.02, 1, 50), np.ones(100), np.full(60, 0.3), np.linspace(0.8, 0.01, 90)])
    return 1e-3 * shape * np.exp(0.01 * rng.standard_normal(300))


def theta_of(law, run, seed=0):
    parameters = law.parameters([run], 3.0, 3.1)
    return np.array([p.start for p in parameters]) + 0.1 * np.random.default_rng(seed).standard_normal(len(parameters))


def run_of(steps):
    return Run(steps, 0.1, 0.02)


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_vs_finite_differences(name):
    law, run = LAWS[name], run_of(schedule())
    theta = theta_of(law, run)
    terms = law.terms(run, AT, exact=True)
    expected = [
        (law.evaluate(theta + e, terms)[0] - law.evaluate(theta - e, terms)[0]) / 2e-6
        for e in 1e-6 * np.eye(theta.size)
    ]
    jacobian = law.evaluate(theta, terms)[1]
    np.testing.assert_allclose(jacobian, np.array(expected).T, rtol=1e-5, atol=1e-6 * np.abs(jacobian).max())


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_near_a_logarithmic_kernel(name):
    """q = 0 is a limit: the formulas switch to series there."""
    law, run = LAWS[name], run_of(schedule())
    names = [p.name for p in law.parameters([run], 3.0, 3.1)]
    if "q" not in names:
        pytest.skip("a law without q")
    theta, terms = theta_of(law, run), law.terms(run, AT, exact=True)
    values = []
    for q in (-1e-3, -1e-5, 0.0, 1e-5, 1e-3):
        theta[names.index("q")] = q
        values.append(law.evaluate(theta, terms))
    slope = values[2][1][:, names.index("q")]
    np.testing.assert_allclose((values[4][0] - values[0][0]) / 2e-3, slope, rtol=1e-3)
    np.testing.assert_allclose((values[3][0] - values[1][0]) / 2e-5, slope, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_curve_vs_direct_sums(name):
    law, run = LAWS[name], run_of(schedule())
    theta = theta_of(law, run)
    every = np.arange(1, 301)
    curve = law.curve(theta, run)
    assert curve.shape == (301,)
    assert np.isfinite(curve).all()
    np.testing.assert_allclose(curve[1:], law.evaluate(theta, law.terms(run, every, exact=True))[0], rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_final_gradient_vs_finite_differences(name):
    law, steps = LAWS[name], schedule()
    theta = theta_of(law, run_of(steps))
    value, gradient = law.final_gradient(theta, run_of(steps))
    assert value == pytest.approx(law.curve(theta, run_of(steps))[-1], rel=1e-10)
    chosen = np.arange(0, 300, 13)
    expected = []
    for k in chosen:
        change = 1e-5 * steps[k] * (np.arange(300) == k)
        ends = [law.final_gradient(theta, run_of(steps + sign * change))[0] for sign in (1.0, -1.0)]
        expected.append((ends[0] - ends[1]) / (2.0 * change[k]))
    np.testing.assert_allclose(gradient[chosen], expected, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("name", NAMES)
def test_pieces_vs_every_step(name):
    law, run = LAWS[name], run_of(np.repeat(schedule(), 40))
    theta, at = theta_of(law, run), np.arange(400, 12_001, 400)
    pieces = law.evaluate(theta, law.terms(run, at))[0]
    np.testing.assert_allclose(pieces, law.evaluate(theta, law.terms(run, at, exact=True))[0], atol=0.004)


@pytest.mark.parametrize("name", NAMES)
def test_trailing_and_inner_zero_steps(name):
    law = LAWS[name]
    steps = np.concatenate([[0.0], schedule()[:200], np.zeros(5), schedule()[200:], [0.0]])
    theta = theta_of(law, run_of(steps))
    curve = law.curve(theta, run_of(steps))
    assert np.isfinite(curve).all()
    every = np.arange(2, steps.size + 1)
    np.testing.assert_allclose(
        curve[2:], law.evaluate(theta, law.terms(run_of(steps), every, exact=True))[0], rtol=1e-9
    )


def test_annealing_vs_its_definition():
    law, steps = LAWS["annealing"], schedule()
    L0, log_a, alpha, log_c, log_memory = theta = theta_of(law, run_of(steps))
    kept = np.exp(-np.exp(-log_memory))
    drop = -np.diff(np.maximum.accumulate(steps) - steps, prepend=0.0) * -1.0
    momentum, area, expected = 0.0, 0.0, []
    for k in range(300):
        momentum = kept * momentum + drop[k] / 1e-3
        area += momentum
        expected.append(L0 + np.exp(log_a) * steps[: k + 1].sum() ** -alpha - np.exp(log_c) * area)
    np.testing.assert_allclose(law.curve(theta, run_of(steps))[1:], expected, rtol=1e-12)


def test_multi_power_vs_its_definition():
    law, steps = LAWS["multi_power"], schedule()
    L0, log_a, alpha, log_b, log_c, beta, gamma = theta = theta_of(law, run_of(steps))
    eta, drop = steps / 1e-3, falls(steps / 1e-3)
    expected = []
    for n in AT:
        gain = 0.0
        for k in range(n):
            gain += drop[k] * (1.0 - (1.0 + np.exp(log_c) * eta[k] ** -gamma * steps[k:n].sum()) ** -beta)
        expected.append(L0 + np.exp(log_a) * steps[:n].sum() ** -alpha - np.exp(log_b) * gain)
    np.testing.assert_allclose(law.curve(theta, run_of(steps))[AT], expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["functional", "functional_power", "norm_memory"])
def test_functional_laws_vs_quadrature(name):
    law, steps = LAWS[name], schedule()
    theta = theta_of(law, run_of(steps))
    L0, log_a, s, log_b, log_c, q = theta[:6]
    if name == "norm_memory":
        steps = effective_steps(steps, weight_decay=0.1, init_std=0.02)
    volume = {
        "functional": lambda h: h,
        "functional_power": lambda h: h ** theta[-1],
        "norm_memory": lambda h: h / (1.0 + h / np.exp(theta[-1])),
    }[name]
    clock = np.concatenate([[0.0], np.cumsum(steps)])
    c, total, noise = np.exp(log_c), clock[-1], 0.0
    for k in range(300):
        kernel = integrate.quad(lambda S: c * (1.0 + c * (total - S)) ** (-1.0 - q), clock[k], clock[k + 1])[0]
        noise += volume(steps[k] / 1e-3) * kernel
    expected = L0 + np.exp(log_a) * total**-s + np.exp(log_b) * noise
    assert law.curve(theta, run_of(schedule()))[-1] == pytest.approx(expected, rel=1e-10)


def test_rate_laws_vs_the_rates():
    steps = schedule()
    for name, rate in (("exact", exact_rate), ("theorem10", theorem10_rate)):
        law = LAWS[name]
        for log_distance in (1.0, 3.0, 6.0):
            theta = np.array([3.0, 0.3, log_distance, 0.7])
            expected = [3.0 + np.exp(0.3) * rate(steps[:n] / 1e-3, np.exp(log_distance)).value ** 0.7 for n in AT]
            np.testing.assert_allclose(law.evaluate(theta, law.terms(run_of(steps), AT))[0], expected, rtol=1e-9)


def test_falls_and_their_adjoint():
    rng = np.random.default_rng(3)
    rates, slopes = rng.random(50), rng.standard_normal(50)
    assert falls(np.sort(rates)).tolist() == [0.0] * 50
    expected = [(slopes @ falls(rates + e) - slopes @ falls(rates - e)) / 2e-7 for e in 1e-7 * np.eye(50)]
    np.testing.assert_allclose(falls_adjoint(rates, slopes), expected, atol=1e-6)


def test_norm_memory_needs_decay_and_scale():
    with pytest.raises(InputError, match="weight_decay"):
        LAWS["norm_memory"].terms(Run(schedule()), AT)

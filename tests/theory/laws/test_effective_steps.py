"""Effective learning rates against a simulation of the weights, closed forms and finite differences."""

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.laws.effective_steps import adjoint, effective_steps, learning_rates

RATES = npst.arrays(np.float64, st.integers(1, 40), elements=st.floats(0.0, 0.05))


def test_effective_steps_vs_weights_under_random_sign_updates():
    """AdamW's update of pure noise is a random sign for every weight."""
    rng = np.random.default_rng(0)
    rates, decay, std = np.concatenate([np.full(300, 3e-3), np.linspace(3e-3, 0.0, 200)]), 0.5, 0.02
    weights = rng.normal(0.0, std, 20_000)
    start = np.sqrt(np.mean(weights**2))
    measured = []
    for rate in rates:
        measured.append(rate * start / np.sqrt(np.mean(weights**2)))
        weights = (1.0 - decay * rate) * weights - rate * rng.choice([-1.0, 1.0], weights.size)
    np.testing.assert_allclose(effective_steps(rates, weight_decay=decay, init_std=start), measured, rtol=0.01)


def test_constant_rate_settles_at_the_fixed_point():
    rate, decay, std = 1e-3, 0.1, 0.02
    effective = effective_steps(np.full(200_000, rate), weight_decay=decay, init_std=std)
    fixed = rate**2 / std**2 / (1.0 - (1.0 - decay * rate) ** 2)
    np.testing.assert_allclose(effective[-1], rate / np.sqrt(fixed), rtol=1e-12)


def test_no_decay_is_a_random_walk():
    rates = np.linspace(1e-3, 2e-3, 50)
    walked = 1.0 + np.concatenate([[0.0], np.cumsum((rates / 0.02) ** 2)[:-1]])
    np.testing.assert_allclose(
        effective_steps(rates, weight_decay=0.0, init_std=0.02), rates / np.sqrt(walked), rtol=1e-14
    )


@given(rates=RATES, decay=st.floats(0.0, 5.0), std=st.floats(1e-3, 1.0))
def test_inverse(rates, decay, std):
    effective = effective_steps(rates, weight_decay=decay, init_std=std)
    np.testing.assert_allclose(
        learning_rates(effective, weight_decay=decay, init_std=std), rates, rtol=1e-9, atol=1e-300
    )


@given(rates=RATES, decay=st.floats(0.0, 5.0), scale=st.floats(0.1, 10.0))
def test_scaling_the_weights_and_the_rates_together(rates, decay, scale):
    """The angle does not change if weights and updates grow alike; decay acts per unit of the rate."""
    one = effective_steps(rates, weight_decay=decay, init_std=0.1)
    other = effective_steps(scale * rates, weight_decay=decay / scale, init_std=0.1 * scale)
    np.testing.assert_allclose(other, scale * one, rtol=1e-12, atol=1e-300)


def test_adjoint_vs_finite_differences():
    rng = np.random.default_rng(1)
    rates, slopes = rng.uniform(0.0, 5e-3, 60), rng.standard_normal(60)

    def value(lr):
        return slopes @ effective_steps(lr, weight_decay=1.0, init_std=0.02)

    expected = [(value(rates + e) - value(rates - e)) / 2e-8 for e in 1e-8 * np.eye(60) if (rates - e).min() >= 0.0]
    np.testing.assert_allclose(adjoint(rates, 1.0, 0.02, slopes), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"lr": [-1.0]}, "lr"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"init_std": 0.0}, "init_std"),
        ({"weight_decay": 200.0}, "lr"),
    ],
)
def test_bad_input(changes, argument):
    arguments = {"lr": [0.01, 0.01], "weight_decay": 0.1, "init_std": 0.02, **changes}
    with pytest.raises(InputError) as error:
        effective_steps(arguments.pop("lr"), **arguments)
    assert error.value.argument == argument


def test_rates_that_no_learning_rate_reaches():
    with pytest.raises(InputError, match="effective"):
        learning_rates(np.full(1000, 0.5), weight_decay=1.0, init_std=0.01)

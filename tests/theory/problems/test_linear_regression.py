"""The expected-loss recursion against simulation, brute force and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.linear_regression import LinearRecursion


def literal_losses(work: LinearRecursion, steps: np.ndarray) -> np.ndarray:
    """The recursion as the paper prints it, in NumPy, with the decay of the mean written out separately."""
    lam, p = work.spectrum, work.start.copy()
    mean, target = -np.sqrt(work.start), np.sqrt(work.start)  # x starts at 0, so the error is minus the target
    losses = [np.mean(lam * p) / 2]
    for h in steps:
        decay = work.weight_decay * (1.0 if work.independent else h)
        noise = h**2 * (1 / work.batch_size - 1 / work.n_samples) * lam * np.sum(lam * p)
        variance = p - mean**2
        mean = (1 - h * lam - decay) * mean - decay * target
        p = mean**2 + (1 - h * lam - decay) ** 2 * variance + noise
        losses.append(np.mean(lam * p) / 2)
    return np.array(losses)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(1, 4),
    st.floats(0.0, 0.3),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_losses_vs_literal_mean_and_variance(size, n_steps, batch, decay, independent, seed):
    rng = np.random.default_rng(seed)
    work = LinearRecursion(
        rng.random(size), rng.random(size), batch, batch + 3, weight_decay=decay, independent=independent
    )
    steps = 1.5 * rng.random(n_steps)
    expected = literal_losses(work, steps)
    np.testing.assert_allclose(work.losses(steps), expected, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(work.final_losses(np.stack([steps, steps])), expected[-1], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.02, "independent": True}])
def test_gradient_vs_complex_step(options):
    work = LinearRecursion.power_law(12, batch_size=3, **options)
    steps = np.random.default_rng(1).random(15) * 2.0
    value, gradient = work.gradient(steps)
    assert value == work.losses(steps)[-1]
    for t in range(steps.size):
        shifted = steps.astype(complex)
        shifted[t] += 1e-30j
        derivative = literal_losses_complex(work, shifted).imag / 1e-30
        assert gradient[t] == pytest.approx(derivative, rel=1e-11, abs=1e-16)


def literal_losses_complex(work: LinearRecursion, steps: np.ndarray) -> complex:
    lam, p, q = work.spectrum, work.start.astype(complex), -work.start.astype(complex)
    for h in steps:
        decay = work.weight_decay * (1.0 if work.independent else h)
        noise = h**2 * (1 / work.batch_size - 1 / work.n_samples) * lam * np.sum(lam * p)
        a = 1 - h * lam - decay
        p, q = a**2 * p - 2 * a * decay * q + decay**2 * work.start + noise, a * q - decay * work.start
    return np.mean(lam * p) / 2


def test_losses_vs_monte_carlo():
    """E over Gaussian gradient noise of covariance (1/B - 1/N) lam_i sum_j lam_j e_j^2."""
    rng = np.random.default_rng(0)
    work = LinearRecursion.power_law(6, batch_size=2, n_samples=10)
    steps, lam = np.linspace(1.5, 0.1, 20), work.spectrum
    error = np.ones((50_000, 6)) * np.sqrt(work.start)
    for h in steps:
        level = (1 / 2 - 1 / 10) * np.sum(lam * error**2, axis=1)
        error -= h * (lam * error + np.sqrt(level[:, None] * lam) * rng.normal(size=error.shape))
    measured = 0.5 * np.mean(lam * error**2, axis=1)
    deviation = measured.std() / np.sqrt(len(measured))
    assert abs(measured.mean() - work.losses(steps)[-1]) < 5 * deviation


def test_full_batch_vs_gradient_descent():
    lam = np.array([1.0, 0.3])
    work = LinearRecursion(lam, batch_size=4, n_samples=4)
    steps = np.array([0.7, 1.9, 0.0])
    error = np.prod(1 - steps[:, None] * lam, axis=0)
    assert work.losses(steps)[-1] == pytest.approx(np.mean(lam * error**2) / 2, rel=1e-14)


def test_published_ordering_of_families():
    """Best losses over base learning rates, N = 128, B = 8, lam_i ~ i^-1.5, T = 100: REX .29, constant .35."""
    work = LinearRecursion.power_law(128, batch_size=8)
    z = np.arange(100) / 100
    shapes = {"constant": np.ones(100), "cosine": (1 + np.cos(np.pi * z)) / 2, "rex": (1 - z) / (1 - z / 2)}
    lrs = np.geomspace(0.01, 100.0, 200)
    best = {name: work.final_losses(lrs[:, None] * shape).min() for name, shape in shapes.items()}
    assert best["rex"] < best["cosine"] < best["constant"]
    assert best["rex"] == pytest.approx(0.2903, rel=0.02)
    assert best["constant"] == pytest.approx(0.3518, rel=0.01)


def test_divergence_is_infinite():
    work = LinearRecursion.power_law(8, batch_size=1)
    assert np.isinf(work.final_losses(np.full((1, 400), 1e6))[0])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"spectrum": [-1.0]}, "spectrum"),
        ({"spectrum": []}, "spectrum"),
        ({"spectrum": [1.0], "start": [1.0, 2.0]}, "start"),
        ({"spectrum": [1.0], "batch_size": 0}, "batch_size"),
        ({"spectrum": [1.0], "batch_size": 4, "n_samples": 2}, "n_samples"),
        ({"spectrum": [1.0], "weight_decay": np.nan}, "weight_decay"),
    ],
)
def test_bad_input_names_the_argument(arguments, name):
    with pytest.raises(InputError, match=name):
        LinearRecursion(**arguments)

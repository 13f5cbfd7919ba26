"""Recursions as they stand and compiled: the same numbers, and a process that stops waiting for the slow form."""

import subprocess
import sys

import numpy as np
import pytest

from lastiterate.theory.base import jit
from lastiterate.theory.rates import closed_form as recursions
from lastiterate.theory.rates.sgd import exact_rate
from lastiterate.theory.schedules import cosine

SHAPES = {
    "falling": np.linspace(1.0, 0.0, 5001),
    "rising": np.linspace(0.0, 1.0, 5001),
    "random": np.random.default_rng(0).random(5001) ** 4,
    "wild": np.exp(40.0 * np.random.default_rng(1).standard_normal(5001)),
}


@pytest.mark.parametrize("steps", SHAPES.values(), ids=SHAPES)
def test_compiled_recursions_give_the_numbers_of_the_plain_ones(steps):
    """Every digit: which of the two runs depends on what the process did before."""
    caps = np.random.default_rng(2).random(steps.size + 1) + 0.5
    small, sigma = steps[:500], 0.3
    cases = [
        (recursions.one_pass, small),
        (recursions.largest_sigma, small, 0.0),
        (recursions.largest_sigmas, small, 0.0, np.empty(small.size)),
        (recursions.chain, small, caps[: small.size + 1], sigma, np.empty(small.size)),
        (recursions.weights, small, sigma, np.empty(small.size + 1)),
        (recursions.binding_ratios, small, np.empty(small.size)),
    ]
    for function, *arguments in cases:
        filled = [np.array(value) if isinstance(value, np.ndarray) else value for value in arguments]
        lists = [value.tolist() if isinstance(value, np.ndarray) else value for value in arguments]
        returned, expected = jit.compiled(function)(*filled), function(*lists)
        np.testing.assert_array_equal(np.array(returned, dtype=float), np.array(expected, dtype=float))
        for compiled, plain in zip(filled[1:], lists[1:], strict=True):
            np.testing.assert_array_equal(compiled, plain)


def test_a_long_run_gives_the_same_rate_once_patience_is_spent(monkeypatch):
    steps = cosine(10_000)
    first = exact_rate(steps, G=2.0)
    monkeypatch.setattr(jit._patience, "steps", 0)
    assert isinstance(jit.room(3, 10_000), np.ndarray)
    again = exact_rate(steps, G=2.0)
    assert (first.value, first.sigma) == (again.value, again.sigma)
    np.testing.assert_array_equal(first.weights, again.weights)


def test_ten_thousand_steps_import_no_compiler():
    code = (
        "import sys, lastiterate as li; li.tune_base_lr(li.schedules.cosine(10_000)); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_patience_ends():
    assert isinstance(jit.room(3, 10_000), list) or jit._patience.steps < 10_000
    before, jit._patience.steps = jit._patience.steps, 15_000
    try:
        assert isinstance(jit.room(1, 10_000), list)
        jit.run(recursions.one_pass, cosine(10_000))
        assert jit._patience.steps == 5_000
        assert isinstance(jit.room(1, 10_000), np.ndarray)
    finally:
        jit._patience.steps = before

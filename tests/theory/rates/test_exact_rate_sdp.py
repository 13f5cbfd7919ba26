"""The exact rate against the semidefinite program: the claim "exact" for constant and nonincreasing G."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rate_references import falling_caps, random_schedule

from lastiterate.solvers.worst_case.solve import worst_case
from lastiterate.theory.methods import step_matrix as step_matrices
from lastiterate.theory.rates.sgd import exact_rate


@st.composite
def schedules(draw):
    """Up to 15 steps over two decades around D/G, a third of them zero in some draws; the seed is what is recorded."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.integers(1, 15), label="n_steps")
    steps = 10.0 ** rng.uniform(-1.5, 0.5, n)
    if draw(st.booleans(), label="with zeros"):
        steps[rng.random(n) < 1 / 3] = 0.0
    return steps


@pytest.mark.slow
@settings(max_examples=200)
@given(schedules())
def test_exact_rate_vs_sdp_on_random_schedules(steps):
    program = worst_case(step_matrices.sgd(steps), D=1.0, G=1.0)
    assert program.value - program.lower < 1e-6 * program.value
    assert exact_rate(steps).value == pytest.approx(program.value, rel=1e-6)


@st.composite
def falling(draw):
    """Up to 10 steps with nonincreasing gradient bounds, most of them with ties and plateaus."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.integers(1, 10), label="n_steps")
    family = draw(st.sampled_from(["uniform", "zeros", "quarters", "plateaus", "ties"]), label="family")
    return random_schedule(rng, n, family), falling_caps(rng, n)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(falling())
def test_exact_rate_vs_sdp_on_falling_bounds(instance):
    steps, caps = instance
    program = worst_case(step_matrices.sgd(steps), D=1.0, G=caps)
    assert exact_rate(steps, 1.0, caps).value == pytest.approx(program.value, rel=1e-6)
